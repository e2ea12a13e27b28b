"""The tools of the mouse, told by what napari's layers are really set to."""

from collections.abc import Callable
from enum import Enum
from typing import Any

from napari import Viewer
from napari.layers import Labels, Layer, Points, Shapes

__all__ = ["Tool", "Tools"]

_MOVES_VIEW = "pan_zoom"
_FLAT = 2
"""Axes shown at once for all tools to work: in three, only what lies on a mask's surface has a depth."""


class Tool(Enum):
    """What the next press in the viewer does."""

    CLICK = "click"
    BOX = "box"
    LASSO = "lasso"
    PAINT = "paint"


class Tools:
    """Sets layers so that a tool works, and says which one does.

    In 3D the mouse turns the view; clicks act on the surfaces of masks, boxes, lasso and brush nowhere: they
    would land on a plane that nobody sees. They are back with the slices.

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
    def flat(self) -> bool:
        """Whether the viewer shows slices, in which all tools work."""
        return bool(self._viewer.dims.ndisplay == _FLAT)

    @property
    def active(self) -> Tool | None:
        """The tool that works now; None if the mouse does something else."""
        active = self._viewer.layers.selection.active
        if not self.flat:
            clicks = self._asked is Tool.CLICK and active == self._modes[Tool.CLICK][0]
            return Tool.CLICK if clicks else None
        states = {tool: layer == active and layer.mode == mode for tool, (layer, mode) in self._modes.items()}
        return next((tool for tool, works in states.items() if works), None)

    def use(self, tool: Tool) -> None:
        """Let the next press in the viewer use a tool."""
        layer, mode = self._modes[tool]
        self._asked = tool
        self._viewer.layers.selection.active = layer
        layer.mode = mode if self.flat else _MOVES_VIEW

    def _on_ndisplay(self, event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        if not self.flat:
            for layer in self._layers:
                layer.mode = _MOVES_VIEW
        elif self._asked is not None and active == self._modes[self._asked][0]:
            self.use(self._asked)
        self._changed()

    def _changed(self, event: Any = None) -> None:
        self._on_change()
