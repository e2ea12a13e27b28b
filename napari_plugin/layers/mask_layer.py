"""The Labels layer that shows the session's masks."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_plugin.layers.brush_stroke import BrushStroke, ChangedPixels
from napari_plugin.layers.image_stack import AXES, ImageStack
from napari_plugin.layers.label_stack import LabelStack
from napari_plugin.layers.object_colormap import ObjectColormap
from sam2_plugins.session.annotations import AnnotatedObject
from sam2_plugins.session.label_image import label_dtype

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
        Called with the reason after something was painted where no stroke counts; it is taken away again.
    earlier
        A layer that serves the stack, of before or of another place in the same image; it is used further.

    Attributes
    ----------
    layer
        Labels of the image's shape, 16 bits or 32 where an id needs them, few of them as plain pixels; on an
        image with channels, all channels show the same pixels.
    """

    def __init__(
        self,
        viewer: Viewer,
        stack: ImageStack,
        on_paint: Callable[[BrushStroke], None],
        on_stray: Callable[[str], None] = lambda _: None,
        earlier: Labels | None = None,
    ) -> None:
        self._viewer = viewer
        self._stack = stack
        self._on_paint, self._on_stray = on_paint, on_stray
        if earlier is None:
            rows, columns = sorted(stack.dims.index(letter) for letter in "YX")
            channels = [axis for axis, letter in enumerate(stack.dims) if letter == "C"]
            self._labels = LabelStack(stack.shape, np.uint16, (rows, columns), channels)
            self._colors: dict[int | None, Any] = {}
            self.layer = Labels(
                self._labels,
                name=f"objects of {stack.layer.name}",
                opacity=0.5,
                metadata={AXES: stack.dims},
                **stack.placement(),
            )
        else:
            self._labels, self.layer = earlier.data, earlier
            known = getattr(earlier.colormap, "color_dict", {})  # none before there was an object
            self._colors = {i: tuple(float(part) for part in known[i]) for i in list(known)}
            for frame in range(stack.plan.length):
                self._labels[self._index_of(frame)] = 0  # what is known now is written anew
        self.layer.events.paint.connect(self._painted)
        self.layer.events.data.connect(self._replaced)

    def select(self, object_id: int) -> None:
        """Let the brush paint an object."""
        self._make_room(label_dtype(object_id))
        self.layer.selected_label = object_id

    def color(self, objects: Iterable[AnnotatedObject]) -> None:
        """Show every object in its own color."""
        colors: dict[int | None, Any] = {None: (0.0, 0.0, 0.0, 0.0), 0: (0.0, 0.0, 0.0, 0.0)}
        colors |= self._colors if self._stack.fixed else {}  # objects of other places stay visible
        colors |= {one.id: (*(side / 255 for side in one.color), 1.0) for one in objects}
        if colors != self._colors:
            self._colors = colors
            self.layer.colormap = ObjectColormap(color_dict=colors)

    def write(self, frame: int, labels: NDArray[Any]) -> None:
        """Show the (H, W) label image of a frame; it is drawn only if it is shown."""
        self._make_room(labels.dtype)
        self._labels[self._index_of(frame)] = labels
        if self._viewer.dims.ndisplay == 3 or self._stack.shown_frame(self._viewer) == frame:
            self.layer.refresh(thumbnail=False, extent=False)

    def _make_room(self, dtype: "np.dtype[Any]") -> None:
        if dtype.itemsize > self._labels.dtype.itemsize:
            self._labels.widen(dtype)
            self.layer.data = self._labels

    def label_at(self, frame: int, x: float, y: float) -> int:
        """Return whose mask is shown at a pixel, 0 where there is none."""
        if not self.layer.visible or not self._stack.contains(frame, x, y):
            return 0
        return int(np.asarray(self._labels[self._index_of(frame)])[round(y), round(x)])

    def first_on(self, ray: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return the middle of the first pixel on a ray that a mask is drawn on; None if there is none.

        Parameters
        ----------
        ray
            (N, axes) places in the layer's data, the nearest one first, closer to each other than pixels.
        """
        places = np.round(ray).astype(np.intp)
        places = places[((places >= 0) & (places < self._labels.shape)).all(axis=1)]
        rows, columns = (self._stack.dims.index(letter) for letter in "YX")
        others = [axis for axis in range(places.shape[1]) if axis not in (rows, columns)]
        ends = np.flatnonzero((np.diff(places[:, others], axis=0) != 0).any(axis=1)) + 1
        for part in np.split(places, ends) if len(places) else ():
            index = tuple(
                slice(None) if axis in (rows, columns) else part[0, axis] for axis in range(len(part[0]))
            )
            plane = np.asarray(self._labels[index])
            plane = plane if rows < columns else plane.T
            labels = plane[part[:, rows], part[:, columns]]
            drawn = labels == self.layer.selected_label if self.layer.show_selected_label else labels != 0
            if drawn.any():
                found: NDArray[np.float64] = part[int(drawn.argmax())].astype(float)
                return found
        return None

    @staticmethod
    def serves(layer: Layer, stack: ImageStack) -> bool:
        """Whether a layer that shows masks of the same image may be used further for a stack of it."""
        same = layer.metadata.get(AXES) == stack.dims and isinstance(layer.data, LabelStack)
        return isinstance(layer, Labels) and same and layer.data.shape == stack.shape

    def close(self) -> None:
        """Stop listening; from now on the layer is only a layer."""
        self.layer.events.paint.disconnect(self._painted)
        self.layer.events.data.disconnect(self._replaced)

    def _index_of(self, frame: int) -> tuple[int | slice, ...]:
        index = iter(self._stack.index_of(frame))
        return tuple(0 if letter == "C" else next(index) for letter in self._stack.dims)

    def _painted(self, event: Any) -> None:
        stack, changed = self._stack, ChangedPixels.of(event.value, len(self._stack.dims))
        if stack.is_rolled(self._viewer):
            self._take_back(changed)
            self._on_stray(
                f"A stroke across {stack.nouns} was left out: the view is rolled, and a mask is painted on "
                "one frame. Roll the view back and paint it there."
            )
            return
        here, elsewhere = changed.split(stack)
        if len(here):
            self._on_paint(BrushStroke.of(here, stack))
        if len(elsewhere):
            self._take_back(elsewhere)
            self._on_stray(f"What was painted elsewhere was taken away: objects are {stack.tracked_along}.")

    def _take_back(self, changed: ChangedPixels) -> None:
        self.layer.data[tuple(changed.places[:, ::-1])] = changed.before[::-1]  # the first one wins
        self.layer.refresh(extent=False)

    def _replaced(self, event: Any) -> None:
        if self.layer.data is not self._labels:  # nobody would see what is written then
            self.layer.data = self._labels
