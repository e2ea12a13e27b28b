"""The Points layer that writes on the canvas what the objects of the shown frame are called."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Points

from napari_plugin.layers.image_stack import ImageStack
from sam2_plugins.session.annotations import AnnotatedObject
from sam2_plugins.session.masks import AcceptedMask

__all__ = ["NameLayer"]

_SIZE = 9
"""Of the letters, in points on the screen, at any zoom."""
_DEFAULTS = {"name": "", "color": "#ffffff"}


class NameLayer:
    """Small words at the upper left of masks, each in the color of its object.

    Parameters
    ----------
    viewer, stack
        Where, and on what.
    add
        Adds the layer to the viewer.

    Attributes
    ----------
    layer
        One point per name; only the shown frame's are there, so that the number of frames costs nothing.
    """

    def __init__(self, viewer: Viewer, stack: ImageStack, add: Callable[[Points], None]) -> None:
        self._viewer, self._stack = viewer, stack
        self._written: tuple[Any, Any] = ([], {})
        self.layer = Points(
            ndim=len(stack.dims),
            name=f"names on {stack.layer.name}",
            features={"name": np.zeros(0, str), "color": np.zeros(0, str)},
            feature_defaults=_DEFAULTS,
            text={"string": "{name}", "color": {"feature": "color"}, "size": _SIZE, "anchor": "upper_left"},
            size=1,
            face_color="transparent",
            border_color="transparent",
            border_width=0,
            **stack.placement(),
        )
        active = viewer.layers.selection.active
        add(self.layer)
        viewer.layers.selection.active = active  # clicks go on where they went

    def write(
        self, frame: int, masks: Mapping[int, AcceptedMask], objects: Iterable[AnnotatedObject]
    ) -> None:
        """Write the names of objects at their masks on a frame; nothing where frames do not lie flat."""
        flat = self._viewer.dims.ndisplay == 2 and not self._stack.is_rolled(self._viewer)
        seen = [one for one in objects if one.id in masks and not masks[one.id].mask.is_empty] if flat else []
        boxes = [masks[one.id].mask.box for one in seen]
        places = [
            self._stack.position(self._viewer, frame, columns.start - 0.5, rows.start - 0.5)
            for rows, columns in boxes
        ]
        words = {
            "name": [_short(one) for one in seen],
            "color": ["#{:02x}{:02x}{:02x}".format(*one.color) for one in seen],
        }
        before_places, before_words = self._written
        self._written = places, words
        if places != before_places:
            self.layer.data = np.array(places).reshape(-1, len(self._stack.dims))
        if words != before_words:  # to set them draws everything once more
            self.layer.features = {key: np.array(column, object) for key, column in words.items()}
            self.layer.feature_defaults = _DEFAULTS  # which features of no rows take along

    def close(self) -> None:
        """Take the layer away."""
        if self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)


def _short(one: AnnotatedObject) -> str:
    return one.name if one.is_named else str(one.id)
