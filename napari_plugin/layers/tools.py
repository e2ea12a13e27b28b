"""The tools of the mouse, told by what napari's layers are really set to."""

from collections.abc import Callable
from enum import Enum
from typing import Any

from napari import Viewer
from napari.layers import Labels, Layer, Points, Shapes

__all__ = ["Tool", "Tools"]

_MOVES_VIEW = "pan_zoom"
_FLAT = 2
"""Axes shown at once for a tool to say where it is: in three, a click has no depth."""


class Tool(Enum):
    """What the next press in the viewer does."""

    CLICK = "click"
    BOX = "box"
    LASSO = "lasso"
    PAINT = "paint"


class Tools:
    """Sets layers so that a tool works, and says which one does.

    In 3D, clicks would land on a plane that nobody sees: there, the mouse turns the view, and the tool is
    back with the slices.

    Parameters
    ----------
    viewer, points, boxes, masks
        Where, and the layers that the tools work in.
    on_change
        Called when another tool works, or none, by whatever was pressed.
    """

    def __init__(
        self, viewer: Viewer, points: Points, boxes: Shapes, masks: Labels, on_change: Callable[[], None]
    ) -> None:
        self._viewer, self._on_change = viewer, on_change
        self._modes: dict[Tool, tuple[Layer, str]] = {
            Tool.CLICK: (points, "add"),
            Tool.BOX: (boxes, "add_rectangle"),
            Tool.LASSO: (boxes, "add_polygon_lasso"),
            Tool.PAINT: (masks, "paint"),
        }
        self._asked: Tool | None = None
        self._layers = (points, boxes, masks)
        for layer in self._layers:
            layer.events.mode.connect(self._changed)
        viewer.layers.selection.events.active.connect(self._changed)
        viewer.dims.events.ndisplay.connect(self._on_ndisplay)

    def close(self) -> None:
        """Stop listening."""
        for layer in self._layers:
            layer.events.mode.disconnect(self._changed)
        self._viewer.layers.selection.events.active.disconnect(self._changed)
        self._viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)

    @property
    def works(self) -> bool:
        """Whether the viewer shows slices, in which tools work."""
        return bool(self._viewer.dims.ndisplay == _FLAT)

    @property
    def active(self) -> Tool | None:
        """The tool that works now; None if the mouse does something else."""
        active = self._viewer.layers.selection.active
        if not self.works:
            return None
        states = {tool: layer == active and layer.mode == mode for tool, (layer, mode) in self._modes.items()}
        return next((tool for tool, works in states.items() if works), None)

    def use(self, tool: Tool) -> None:
        """Let the next press in the viewer use a tool."""
        layer, mode = self._modes[tool]
        self._asked = tool
        self._viewer.layers.selection.active = layer
        layer.mode = mode if self.works else _MOVES_VIEW

    def _on_ndisplay(self, event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        if not self.works:
            for layer in self._layers:
                layer.mode = _MOVES_VIEW
        elif self._asked is not None and active == self._modes[self._asked][0]:
            self.use(self._asked)
        self._changed()

    def _changed(self, event: Any = None) -> None:
        self._on_change()
