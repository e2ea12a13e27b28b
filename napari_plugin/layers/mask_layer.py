"""The Labels layer that shows the session's masks."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Labels
from numpy.typing import NDArray

from napari_plugin.layers.brush_stroke import BrushStroke, ChangedPixels
from napari_plugin.layers.image_stack import ImageStack
from napari_plugin.layers.object_colormap import ObjectColormap
from sam2_plugins.annotations import AnnotatedObject

__all__ = ["MaskLayer"]


class MaskLayer:
    """A view of the session's masks, frame by frame; the session stays the owner.

    Parameters
    ----------
    viewer, stack
        Where, and on what.
    on_paint
        Called with what was painted on the stack's frames.
    on_stray
        Called after something was painted elsewhere in a layer of further axes, which is taken away again.
    earlier
        Of the same image at another place, closed: its layer is gone on with.

    Attributes
    ----------
    layer
        Labels of the image's shape, 16 bits or 32 where an id needs them; on an image with channels, all
        channels show the same pixels.
    """

    def __init__(
        self,
        viewer: Viewer,
        stack: ImageStack,
        on_paint: Callable[[BrushStroke], None],
        on_stray: Callable[[], None] = lambda: None,
        earlier: "MaskLayer | None" = None,
    ) -> None:
        self._viewer = viewer
        self._stack = stack
        self._on_paint, self._on_stray = on_paint, on_stray
        if earlier is None:
            sizes = [size for letter, size in zip(stack.dims, stack.shape) if letter != "C"]
            self._labels: NDArray[Any] = np.zeros(sizes, np.uint16)  # pages are only taken where written
            self._colors: dict[int | None, Any] = {}
            self.layer = Labels(
                self._over_channels(),
                name=f"objects of {stack.layer.name}",
                opacity=0.5,
                **stack.placement(),
            )
        else:
            self._labels, self._colors, self.layer = earlier._labels, earlier._colors, earlier.layer
            for frame in range(stack.plan.length):
                if self._labels[stack.index_of(frame)].any():  # what is known now is written anew
                    self._labels[stack.index_of(frame)] = 0
        self.layer.events.paint.connect(self._painted)
        self.layer.events.data.connect(self._replaced)

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
        colors |= self._colors if self._stack.fixed else {}  # objects of other places stay visible
        colors |= {one.id: (*(side / 255 for side in one.color), 1.0) for one in objects}
        if colors != self._colors:
            self._colors = colors
            self.layer.colormap = ObjectColormap(color_dict=colors)

    def write(self, frame: int, labels: NDArray[Any]) -> None:
        """Show the (H, W) label image of a frame; it is drawn only if somebody is looking at it."""
        if labels.dtype.itemsize > self._labels.dtype.itemsize:
            self._widen(labels.dtype)
        self._labels[self._stack.index_of(frame)] = labels
        if self._viewer.dims.ndisplay == 3 or self._stack.shown_frame(self._viewer) == frame:
            self.layer.refresh(thumbnail=False, extent=False)

    def serves(self, stack: ImageStack) -> bool:
        """Whether the layer may be gone on with for another place in the same image."""
        mine = self._stack
        same = (mine.layer, mine.dims, mine.shape) == (stack.layer, stack.dims, stack.shape)
        return bool(stack.fixed) and same and self.layer in self._viewer.layers

    def close(self) -> None:
        """Stop listening; from now on the layer is only a layer."""
        self.layer.events.paint.disconnect(self._painted)
        self.layer.events.data.disconnect(self._replaced)

    def _painted(self, event: Any) -> None:
        here, elsewhere = ChangedPixels.of(event.value, len(self._stack.dims)).split(self._stack)
        if len(here):
            self._on_paint(BrushStroke.of(here, self._stack))
        if len(elsewhere):
            self.layer.data[tuple(elsewhere.places[:, ::-1])] = elsewhere.before[::-1]  # the first one wins
            self.layer.refresh(extent=False)
            self._on_stray()

    def _replaced(self, event: Any) -> None:
        if not np.may_share_memory(self.layer.data, self._labels):  # nobody would see what is written then
            self.layer.data = self._over_channels()

    def _widen(self, dtype: "np.dtype[Any]") -> None:
        """Let labels have more bits; planes without any stay without memory."""
        wider = np.zeros(self._labels.shape, dtype)
        leading = self._labels.shape[:-2]
        for place in np.ndindex(*leading):
            if self._labels[place].any():
                wider[place] = self._labels[place]
        self._labels = wider
        self.layer.data = self._over_channels()

    def _over_channels(self) -> NDArray[Any]:
        """Return the labels with the axis of channels put in: a view in which all channels are one memory."""
        letters = self._stack.dims
        if "C" not in letters:
            return self._labels
        strides = list(self._labels.strides)
        strides.insert(letters.index("C"), 0)
        return np.lib.stride_tricks.as_strided(self._labels, self._stack.shape, strides)
