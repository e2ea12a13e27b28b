"""Clicks in three dimensions: they land on the surface of the first mask that is seen under the mouse."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from napari import Viewer
from numpy.typing import NDArray

from napari_plugin.layers.mask_layer import MaskLayer
from napari_plugin.layers.prompts.prompt_layers import PromptLayers
from napari_plugin.layers.tools import Tool, Tools

__all__ = ["SurfaceClicks"]

_STEPS_PER_PIXEL = 4
_STILL = 3
"""Pixels of the screen that the mouse may move in a click; further, the view is turned."""


class SurfaceClicks:
    """Lets a click in a 3D view do what it does on a slice, at the place of a mask's surface that it hits.

    A point in the open has no depth: only where a mask is drawn does a person see what is clicked on.

    Parameters
    ----------
    viewer, masks, prompts, tools
        Where, what is hit, and what clicks go to.
    on_miss
        Called with a sentence after a click that hit no mask.
    """

    def __init__(
        self,
        viewer: Viewer,
        masks: MaskLayer,
        prompts: PromptLayers,
        tools: Tools,
        on_miss: Callable[[str], None],
    ) -> None:
        self._viewer, self._masks, self._prompts, self._tools = viewer, masks, prompts, tools
        self._on_miss = on_miss
        viewer.mouse_drag_callbacks.append(self._on_mouse)

    def close(self) -> None:
        """Stop listening."""
        self._viewer.mouse_drag_callbacks.remove(self._on_mouse)

    def _on_mouse(self, viewer: Viewer, event: Any) -> Iterator[None]:
        if self._tools.flat or self._tools.active is not Tool.CLICK or event.button != 1:
            return
        pressed = np.asarray(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.asarray(event.pos) - pressed).max() > _STILL:
            return
        place = self._hit(event)
        if place is None:
            self._on_miss("The click hit no mask; in 3D, clicks act on the surfaces of masks.")
        else:
            self._prompts.click_at(place, event.modifiers)

    def _hit(self, event: Any) -> NDArray[np.float64] | None:
        """Return where in the data the ray under the mouse meets the first mask that is drawn."""
        layer, displayed = self._masks.layer, list(event.dims_displayed)
        if not layer.visible:
            return None
        start, end = layer.get_ray_intersections(event.position, event.view_direction, displayed, world=True)
        if start is None or end is None:
            return None
        way = end - start
        length = float(np.linalg.norm(way))
        if length == 0:
            return None
        margin = way / length  # napari's box ends half a pixel before the pixels of one side do
        number = int((length + 2) * _STEPS_PER_PIXEL) + 1
        return self._masks.first_on(np.linspace(start - margin, end + margin, number))
