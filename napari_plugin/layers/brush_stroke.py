"""The pixels of frames that a stroke in a Labels layer has changed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_plugin.layers.image_stack import ImageStack

__all__ = ["BrushStroke", "ChangedPixels"]

Pixels = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Rows and columns."""


@dataclass(frozen=True, eq=False)
class BrushStroke:
    """One stroke of a brush, an eraser, a fill or a polygon.

    Attributes
    ----------
    frames, rows, columns
        (N,) the pixels that were changed; a pixel may be there several times.
    before, after
        (N,) their labels.
    """

    frames: NDArray[np.intp]
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    before: NDArray[np.int64]
    after: NDArray[np.int64]

    @classmethod
    def of(cls, changed: "ChangedPixels", stack: ImageStack) -> "BrushStroke":
        """Read as a stroke what was changed on the frames of a stack."""
        axes = dict(zip(stack.dims, changed.places))
        frames = axes.get(stack.plan.axis, np.zeros(len(changed), np.intp))
        return cls(frames, axes["Y"], axes["X"], changed.before, changed.after)

    def by_label(self, frame: int, labels: NDArray[np.int64]) -> dict[int, Pixels]:
        """Return the pixels of a frame by their label, background left out; ``labels`` is one of the two."""
        there = self.frames == frame
        return {
            int(label): (self.rows[there & (labels == label)], self.columns[there & (labels == label)])
            for label in np.unique(labels[there])
            if label
        }


@dataclass(frozen=True, eq=False)
class ChangedPixels:
    """Pixels of a Labels layer that were changed, wherever they lie.

    Attributes
    ----------
    places
        (axes, N) indices; a pixel may be there several times.
    before, after
        (N,) their labels.
    """

    places: NDArray[np.intp]
    before: NDArray[np.int64]
    after: NDArray[np.int64]

    @classmethod
    def of(cls, changes: Iterable[Any], ndim: int) -> "ChangedPixels":
        """Read the value of a ``Labels.events.paint`` of a layer with so many axes.

        Each is ``(indices, before, after)`` or, since napari 0.9, a box with a mask of what was changed.
        """
        nothing = np.zeros((ndim, 0), np.intp), np.zeros(0, np.int64), np.zeros(0, np.int64)
        parts = [nothing, *(_as_pixels(one) for one in changes)]
        before, after = (np.concatenate([part[i] for part in parts]).astype(np.int64) for i in (1, 2))
        return cls(np.concatenate([part[0] for part in parts], axis=1), before, after)

    def __len__(self) -> int:
        return len(self.before)

    def split(self, stack: ImageStack) -> tuple["ChangedPixels", "ChangedPixels"]:
        """Return what lies on the frames of a stack, and what lies elsewhere in its layer."""
        here = np.ones(len(self), bool)
        for letter, position in stack.fixed.items():
            here &= self.places[stack.dims.index(letter)] == position
        return self._where(here), self._where(~here)

    def _where(self, chosen: NDArray[np.bool_]) -> "ChangedPixels":
        return ChangedPixels(self.places[:, chosen], self.before[chosen], self.after[chosen])


def _as_pixels(change: Any) -> tuple[NDArray[np.intp], NDArray[Any], NDArray[Any]]:
    """Return (axes, N) indices, and the labels there before and after."""
    if not hasattr(change, "slice_key"):
        indices, before, after = change
        places = np.array([np.ravel(one) for one in indices], np.intp)
        return places, np.ravel(before), np.broadcast_to(after, places.shape[1:])
    shape = [part.stop - part.start for part in change.slice_key]
    mask = np.ones(shape, bool) if change.mask is None else change.mask.reshape(shape)
    corner = np.array([[part.start] for part in change.slice_key])
    places = np.array(np.nonzero(mask), np.intp) + corner
    before = np.ravel(change.old_values)
    return places, before, np.full(len(before), change.new_value)
