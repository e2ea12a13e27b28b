"""Features of masks that the cues compare: size, position, pieces, border and overlap."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from sam2_plugins.session.masks import AcceptedMask, MaskRemark, MaskScores

__all__ = ["NO_OVERLAP", "MaskFeatures", "Overlap", "frame_overlaps"]

_EIGHT_NEIGHBORS = np.ones((3, 3), bool)


@dataclass(frozen=True, eq=False, slots=True)
class MaskFeatures:
    """Features of one mask.

    Attributes
    ----------
    scores
        The model's scores of it.
    area
        Pixels.
    x, y
        Center of mass in pixels of the frame; 0 if empty.
    pieces
        Number of connected pieces, over corners too.
    outside_largest
        Fraction of the pixels outside of the largest piece.
    at_border
        Whether it touches the border of the frame.
    remark
        What was noticed where it was tracked.
    """

    scores: MaskScores
    area: int
    x: float = 0.0
    y: float = 0.0
    pieces: int = 0
    outside_largest: float = 0.0
    at_border: bool = False
    remark: MaskRemark = MaskRemark.NONE

    @classmethod
    def of(cls, accepted: AcceptedMask) -> "MaskFeatures":
        """Measure a mask."""
        mask = accepted.mask
        if mask.is_empty:
            return cls(accepted.scores, 0, remark=accepted.remark)
        crop, (rows, columns) = mask.crop(), mask.box
        by_row, by_column = crop.sum(1), crop.sum(0)
        area = int(by_row.sum())
        labels, pieces = label(crop, _EIGHT_NEIGHBORS)
        largest = area if pieces == 1 else int(np.bincount(labels[crop]).max())
        return cls(
            accepted.scores,
            area,
            float(columns.start + by_column @ np.arange(len(by_column)) / area),
            float(rows.start + by_row @ np.arange(len(by_row)) / area),
            int(pieces),
            1 - largest / area,
            min(rows.start, columns.start) == 0
            or rows.stop == mask.shape[0]
            or columns.stop == mask.shape[1],
            accepted.remark,
        )


@dataclass(frozen=True, slots=True)
class Overlap:
    """Overlap of a mask with that of another object.

    Attributes
    ----------
    fraction
        Fraction of the mask's pixels that the other one has too, 0..1.
    other_id
        The object with the largest overlap.
    """

    fraction: float
    other_id: int


NO_OVERLAP = Overlap(0.0, 0)


def frame_overlaps(masks: Mapping[int, AcceptedMask], areas: Mapping[int, int]) -> dict[int, Overlap]:
    """Return by object its largest overlap with another one of a frame; those without any are left out."""
    found: dict[int, Overlap] = {}
    crops: dict[int, NDArray[np.bool_]] = {}

    def part(object_id: int, window: tuple[slice, slice]) -> NDArray[np.bool_]:
        if object_id not in crops:
            crops[object_id] = masks[object_id].mask.crop()
        box = masks[object_id].mask.box
        rows, columns = (slice(w.start - b.start, w.stop - b.start) for w, b in zip(window, box))
        return crops[object_id][rows, columns]

    for one, other, window in _overlapping_boxes(masks):
        shared = np.count_nonzero(part(one, window) & part(other, window))
        for mine, other_id in ((one, other), (other, one)) if shared else ():
            fraction = shared / areas[mine]
            if fraction > found.get(mine, NO_OVERLAP).fraction:
                found[mine] = Overlap(fraction, other_id)
    return found


def _overlapping_boxes(masks: Mapping[int, AcceptedMask]) -> Iterator[tuple[int, int, tuple[slice, slice]]]:
    """Yield each pair of objects whose boxes share pixels, and what they share."""
    ids = [object_id for object_id, accepted in masks.items() if not accepted.mask.is_empty]
    boxes = [masks[object_id].mask.box for object_id in ids]
    corners = np.array([(r.start, r.stop, c.start, c.stop) for r, c in boxes]).reshape(-1, 4)
    top, left = (np.maximum.outer(corners[:, side], corners[:, side]) for side in (0, 2))
    bottom, right = (np.minimum.outer(corners[:, side], corners[:, side]) for side in (1, 3))
    for i, j in np.argwhere(np.triu((top < bottom) & (left < right), 1)).tolist():
        window = (slice(int(top[i, j]), int(bottom[i, j])), slice(int(left[i, j]), int(right[i, j])))
        yield ids[i], ids[j], window
