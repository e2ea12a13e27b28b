"""Annotation of one frame: its objects as a label image or as run lengths."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from sam2_engine.labels import Labels
from sam2_engine.masks import PackedMask, decode_rle, rle_area

__all__ = ["Annotation", "LabelImage", "RunLengths", "ids_persist"]

_SAME_OBJECT = 0.15


class Annotation(ABC):
    """Annotated objects of a frame.

    Attributes
    ----------
    unknown
        Ids of objects that are on the frame, but whose mask is not known.
    void
        (H, W) bool: pixels of which nobody knows what they are; None if there are none.
    """

    unknown: frozenset[int] = frozenset()
    void: NDArray[np.bool_] | None = None

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int] | None:
        """(H, W) of the masks; None if there are none."""

    @property
    @abstractmethod
    def ids(self) -> frozenset[int]:
        """Ids of the objects with a mask; none of these masks is empty."""

    @abstractmethod
    def mask(self, object_id: int) -> NDArray[np.bool_]:
        """Return the (H, W) mask of one of ``ids``."""

    def crops(self) -> Iterator[tuple[int, tuple[int, int], NDArray[np.bool_]]]:
        """Yield all objects: the id, (row, column) of the mask's box on the plane, and the mask in it."""
        for object_id in self.ids:
            mask = self.mask(object_id)
            rows, columns = PackedMask.from_array(mask).box
            yield object_id, (rows.start, columns.start), mask[rows, columns]


class LabelImage(Annotation):
    """(H, W) whole numbers: one value per object, 0 is background."""

    def __init__(
        self,
        labels: NDArray[Any],
        unknown: frozenset[int] = frozenset(),
        void: NDArray[np.bool_] | None = None,
    ) -> None:
        self.labels = labels
        self.unknown = unknown
        self.void = void

    @classmethod
    def of(cls, labels: Labels) -> Self:
        """Return the annotation of a label image."""
        return cls(labels.ids, void=labels.void)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.labels.shape[0], self.labels.shape[1]

    @cached_property
    def ids(self) -> frozenset[int]:
        """The values but 0."""
        return frozenset(int(value) for value in np.unique(self.labels) if value)

    def mask(self, object_id: int) -> NDArray[np.bool_]:
        """Return where the labels have this value."""
        mask: NDArray[np.bool_] = self.labels == object_id
        return mask

    def crops(self) -> Iterator[tuple[int, tuple[int, int], NDArray[np.bool_]]]:
        """Yield all objects, found in one pass over the labels however many there are."""
        values = np.array(sorted(self.ids | {0}), self.labels.dtype)
        boxes = find_objects(np.searchsorted(values, self.labels))
        for value, (rows, columns) in zip(values[1:], boxes, strict=True):
            yield int(value), (rows.start, columns.start), self.labels[rows, columns] == value


class RunLengths(Annotation):
    """COCO run lengths per object, which may overlap; decoded on demand.

    Raises
    ------
    ValueError
        If they do not fill their size, or differ in it.
    """

    def __init__(self, runs: Mapping[int, dict[str, Any]]) -> None:
        if len({tuple(run["size"]) for run in runs.values()}) > 1:
            raise ValueError("run lengths of one frame differ in size")
        self._runs = {object_id: run for object_id, run in runs.items() if rle_area(run)}

    @property
    def shape(self) -> tuple[int, int] | None:
        """(H, W), as in the run lengths."""
        sizes = [tuple(run["size"]) for run in self._runs.values()]
        return None if not sizes else (int(sizes[0][0]), int(sizes[0][1]))

    @property
    def ids(self) -> frozenset[int]:
        """Objects with at least one pixel."""
        return frozenset(self._runs)

    def mask(self, object_id: int) -> NDArray[np.bool_]:
        """Decode one mask."""
        return decode_rle(self._runs[object_id])


def ids_persist(labels: Sequence[NDArray[Any]]) -> bool:
    """Whether ids mean the same object from one (H, W) label image to the next.

    True if the masks of an id overlap from frame to frame: in a video the median IoU is far from 0,
    among single images an id means another object each time.
    """
    ious = []
    for before, after in pairwise(labels):
        for object_id in np.intersect1d(before[before > 0], after[after > 0]).tolist():
            one, other = before == object_id, after == object_id
            ious.append(np.count_nonzero(one & other) / np.count_nonzero(one | other))
    return bool(ious) and float(np.median(ious)) > _SAME_OBJECT
