"""The Labels layer that shows the session's masks."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_plugin.layers.brush_stroke import BrushStroke
from napari_plugin.layers.image_stack import ImageStack
from sam2_plugins.annotations import AnnotatedObject

__all__ = ["MaskLayer"]


class MaskLayer:
    """A view of the session's masks, frame by frame; the session stays the owner.

    Attributes
    ----------
    layer
        Labels of the image's shape; on an image with channels, all channels show the same pixels. What is
        painted in it is handed to ``on_paint``.
    """

    def __init__(self, viewer: Viewer, stack: ImageStack, on_paint: Callable[[BrushStroke], None]) -> None:
        self._viewer = viewer
        self._stack = stack
        letters = stack.dims
        sizes = [size for letter, size in zip(letters, stack.shape) if letter != "C"]
        self._labels: NDArray[np.uint16] = np.zeros(sizes, np.uint16)  # pages are only taken where written
        self.layer = Labels(
            _over_channels(self._labels, letters, stack.shape),
            name=f"objects of {stack.layer.name}",
            opacity=0.5,
            **stack.placement(),
        )
        self._on_paint = on_paint
        self.layer.events.paint.connect(self._painted)
        self._colors: dict[int | None, Any] = {}

    def select(self, object_id: int) -> None:
        """Let the brush paint an object."""
        self.layer.selected_label = object_id

    def paint(self) -> None:
        """Let the next drag in the viewer paint."""
        self._viewer.layers.selection.active = self.layer
        self.layer.mode = "paint"

    def color(self, objects: Iterable[AnnotatedObject]) -> None:
        """Show every object in its own colour."""
        colors: dict[int | None, Any] = {None: (0.0, 0.0, 0.0, 0.0), 0: (0.0, 0.0, 0.0, 0.0)}
        colors |= {one.id: (*(side / 255 for side in one.color), 1.0) for one in objects}
        if colors != self._colors:
            self._colors = colors
            self.layer.colormap = DirectLabelColormap(color_dict=colors)

    def write(self, frame: int, labels: NDArray[Any]) -> None:
        """Show the (H, W) label image of a frame; it is drawn only if somebody is looking at it."""
        self._labels[self._stack.index_of(frame)] = labels
        if self._viewer.dims.ndisplay == 3 or self._stack.shown_frame(self._viewer) == frame:
            self.layer.refresh(thumbnail=False, extent=False)

    def close(self) -> None:
        """Stop listening; from now on the layer is only a layer."""
        self.layer.events.paint.disconnect(self._painted)

    def _painted(self, event: Any) -> None:
        stroke = BrushStroke.of(event.value, self._stack)
        if stroke is not None:
            self._on_paint(stroke)

    def clear(self) -> None:
        """Take all masks away."""
        self._labels[...] = 0
        self.layer.refresh()


def _over_channels(labels: NDArray[Any], letters: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return ``labels`` with the axis of channels put in: a view in which all channels are one memory."""
    if "C" not in letters:
        return labels
    strides = list(labels.strides)
    strides.insert(letters.index("C"), 0)
    return np.lib.stride_tricks.as_strided(labels, shape, strides)
