"""The Labels layer that shows objects found without a click, for a person to choose from."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_plugin.layers.image_stack import ImageStack
from napari_plugin.theme import rgba
from sam2_plugins.session.annotations import object_color

__all__ = ["CandidateLayer"]

_LEFT_OUT = (0.75, 0.75, 0.75, 0.3)
_INVISIBLE = (0.0, 0.0, 0.0, 0.0)


class CandidateLayer:
    """A preview on one frame: what is chosen in color, what is left out in gray; a click changes that.

    Parameters
    ----------
    viewer, stack, frame
        Where, and on what.
    labels
        (H, W): i for the i-th candidate, from 1; 0 is background.
    clicked
        Called with the number of a candidate that was clicked on.

    Attributes
    ----------
    layer
        Labels of the image's shape; active, so that it gets the clicks.
    """

    def __init__(
        self,
        viewer: Viewer,
        stack: ImageStack,
        frame: int,
        labels: NDArray[Any],
        clicked: Callable[[int], None],
    ) -> None:
        self._viewer, self._clicked = viewer, clicked
        sizes = [size for letter, size in zip(stack.dims, stack.shape) if letter != "C"]
        pixels = np.zeros(sizes, labels.dtype)  # pages are only taken where written
        pixels[stack.index_of(frame)] = labels
        if "C" in stack.dims:
            place = stack.dims.index("C")
            pixels = np.broadcast_to(np.expand_dims(pixels, place), stack.shape)
        self.layer = Labels(pixels, name=f"found on {stack.layer.name}", opacity=0.6, **stack.placement())
        self.layer.mouse_drag_callbacks.append(self._on_mouse)
        viewer.add_layer(self.layer)
        viewer.layers.selection.active = self.layer

    def color(self, shown: Collection[int], chosen: Collection[int]) -> None:
        """Show some candidates, the chosen ones among them in the colors of objects."""
        colors: dict[int | None, Any] = {None: _INVISIBLE, 0: _INVISIBLE}
        colors |= {i: rgba(object_color(i)) if i in chosen else _LEFT_OUT for i in shown}
        self.layer.colormap = DirectLabelColormap(color_dict=colors)

    def close(self) -> None:
        """Take the layer out of the viewer."""
        self.layer.mouse_drag_callbacks.remove(self._on_mouse)
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)

    def _on_mouse(self, layer: Labels, event: Any) -> Iterator[None]:
        """Report a click; a drag moves the view as ever."""
        pressed = np.asarray(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.asarray(event.pos) - pressed).max() > 3:
            return
        number = layer.get_value(
            event.position,
            view_direction=event.view_direction,
            dims_displayed=event.dims_displayed,
            world=True,
        )
        if number:
            self._clicked(int(number))
