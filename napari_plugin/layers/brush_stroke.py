"""What was painted in a Labels layer, as pixels of frames."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_plugin.layers.image_stack import ImageStack

__all__ = ["BrushStroke"]

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
    def of(cls, changes: Iterable[Any], stack: ImageStack) -> "BrushStroke | None":
        """Read the value of a ``Labels.events.paint``; None if nothing was changed.

        Parameters
        ----------
        changes
            Each ``(indices, before, after)`` or, since napari 0.9, a box with a mask of what was changed.
        stack
            Knows which axis is which.
        """
        parts = [_as_pixels(one) for one in changes]
        parts = [part for part in parts if len(part[1])]
        if not parts:
            return None
        places = np.concatenate([part[0] for part in parts], axis=1)
        before, after = (np.concatenate([part[i] for part in parts]).astype(np.int64) for i in (1, 2))
        axes = dict(zip(stack.dims, places))
        frames = axes.get(stack.plan.axis, np.zeros(len(before), np.intp))
        return cls(frames, axes["Y"], axes["X"], before, after)

    def by_label(self, frame: int, labels: NDArray[np.int64]) -> dict[int, Pixels]:
        """Return the pixels of a frame by their label, background left out; ``labels`` is one of the two."""
        there = self.frames == frame
        return {
            int(label): (self.rows[there & (labels == label)], self.columns[there & (labels == label)])
            for label in np.unique(labels[there])
            if label
        }


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
