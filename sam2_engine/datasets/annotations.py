"""Annotation of one frame: its objects as a label image or as run lengths."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from sam2_engine.errors import InputError
from sam2_engine.frames.image_files import read_image
from sam2_engine.masks import PackedMask, decode_rle, rle_area

__all__ = ["Annotation", "LabelImage", "RunLengths", "check_labels", "ids_persist", "read_label_file"]

_LOSSY = (".jpg", ".jpeg", ".webp")
_SAME_OBJECT = 0.15


class Annotation(ABC):
    """Annotated objects of a frame.

    Attributes
    ----------
    unknown
        Ids of objects that are on the frame, but whose mask is not known.
    """

    unknown: frozenset[int] = frozenset()

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

    def __init__(self, labels: NDArray[Any], unknown: frozenset[int] = frozenset()) -> None:
        self.labels = labels
        self.unknown = unknown

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
    """COCO run lengths per object, which may overlap; decoded on demand."""

    def __init__(self, runs: Mapping[int, dict[str, Any]]) -> None:
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


def check_labels(labels: NDArray[Any], name: str) -> NDArray[Any]:
    """Return labels as (H, W) whole numbers, whatever type they were stored in.

    Raises
    ------
    InputError
        If they are colors, fractions, or below 0.
    """
    if labels.ndim == 3 and (labels == labels[..., :1]).all():
        labels = labels[..., 0]  # a gray image that was stored as color
    if labels.ndim != 2:
        raise InputError(
            f"The labels {name} are a color image; save object ids as whole numbers, 0 for background."
        )
    if labels.dtype.kind == "f":
        whole = np.nan_to_num(labels, nan=-1.0).astype(np.int64)
        if not (whole == labels).all():
            raise InputError(f"The labels {name} are not whole numbers; save the objects' ids, not scores.")
        labels = whole
    if labels.dtype.kind == "i" and labels.size and labels.min() < 0:
        raise InputError(f"The labels {name} go below 0; ids are 1 and up, and 0 is background.")
    return labels.astype(np.uint8) if labels.dtype == np.bool_ else labels


def read_label_file(path: Path) -> NDArray[Any]:
    """Read one label image.

    Raises
    ------
    InputError
        As ``check_labels``; if the file cannot be read, or is of a kind that changes pixels.
    """
    if path.suffix.lower() in _LOSSY:
        raise InputError(f"The labels {path} are a JPEG, which changes ids; save them as PNG or TIFF.")
    return check_labels(read_image(path, labels=True), str(path))


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
