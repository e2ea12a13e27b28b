"""Sightings, an object's mask on one frame each, and which of two frames' sightings lie on one another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sam2_engine.masks import PackedMask
from sam2_plugins.session.masks import AcceptedMask

__all__ = ["Overlap", "Sighting", "assign", "overlaps"]


@dataclass(frozen=True, eq=False, slots=True)
class Sighting:
    """One object on one frame.

    Attributes
    ----------
    mask, area
        Its pixels, and how many.
    score
        How sure the model is of the mask, 0..1.
    found
        Whether it was found there by itself; False: followed from another frame.
    """

    mask: PackedMask
    area: int
    score: float
    found: bool = True

    @classmethod
    def of(cls, accepted: AcceptedMask) -> "Sighting":
        """Return an accepted mask as a sighting; an empty one has no area."""
        mask = accepted.mask.decompress()
        return cls(mask, int(np.count_nonzero(mask.crop())), accepted.scores.predicted_iou)

    @property
    def center(self) -> tuple[float, float]:
        """Center of mass, row and column."""
        crop, (rows, columns) = self.mask.crop(), self.mask.box
        y, x = np.nonzero(crop)
        return float(rows.start + y.mean()), float(columns.start + x.mean())

    @property
    def at_border(self) -> bool:
        """Whether it touches the border of the frame, beyond which it may go on."""
        (rows, columns), (height, width) = self.mask.box, self.mask.shape
        return bool(min(rows.start, columns.start) == 0 or rows.stop == height or columns.stop == width)


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two sightings share.

    Attributes
    ----------
    one, other
        Their positions in their lists.
    iou
        Intersection over union, 0..1.
    of_one, of_other
        Part of each that is shared, 0..1.
    """

    one: int
    other: int
    iou: float
    of_one: float
    of_other: float

    @property
    def of_smaller(self) -> float:
        """Part of the smaller one that is shared."""
        return max(self.of_one, self.of_other)


def overlaps(ones: Sequence[Sighting | None], others: Sequence[Sighting | None]) -> Iterator[Overlap]:
    """Yield every pair that shares pixels; None stands for nothing.

    Examples
    --------
    >>> mask = np.zeros((20, 20), bool)
    >>> mask[4:12, 4:12] = True
    >>> left = Sighting(PackedMask.from_array(mask), 64, 0.9)
    >>> right = Sighting(PackedMask.from_array(np.roll(mask, 4, 1)), 64, 0.9)
    >>> [(pair.one, pair.other, round(pair.iou, 2)) for pair in overlaps([left], [None, right])]
    [(0, 1, 0.33)]
    """
    first, second = _boxes(ones), _boxes(others)
    crops: dict[int, NDArray[np.bool_]] = {}
    for i, (top, bottom, left, right) in enumerate(first.tolist()):
        one = ones[i]
        if one is None:
            continue
        near = (second[:, 0] < bottom) & (second[:, 1] > top) & (second[:, 2] < right) & (second[:, 3] > left)
        for j in np.flatnonzero(near).tolist():
            other = others[j]
            assert other is not None  # its box is empty otherwise
            if i not in crops:
                crops = {i: one.mask.crop()}
            shared = int(np.count_nonzero(crops[i] & other.mask.within(one.mask.box)))
            if shared:
                union = one.area + other.area - shared
                yield Overlap(i, j, shared / union, shared / one.area, shared / other.area)


def _boxes(sightings: Sequence[Sighting | None]) -> NDArray[np.int64]:
    """Return (N, 4) first and last rows and columns of boxes, the last ones exclusive."""
    boxes = [
        (0, 0, 0, 0)
        if one is None
        else (one.mask.box[0].start, one.mask.box[0].stop, one.mask.box[1].start, one.mask.box[1].stop)
        for one in sightings
    ]
    return np.array(boxes, np.int64).reshape(-1, 4)


def assign(scores: dict[tuple[int, int], float]) -> dict[int, int]:
    """Return for some of the first their partner, so that the sum of scores is the largest; one each at most.

    Parameters
    ----------
    scores
        Of the pairs that may be, above 0; of thousands on each side few are near one another, so each
        group of these is assigned by itself.

    Examples
    --------
    >>> assign({(0, 0): 0.6, (0, 1): 0.5, (1, 0): 0.55, (7, 7): 0.3})
    {0: 1, 1: 0, 7: 7}
    """
    if not scores:
        return {}
    ones, others = (sorted({pair[side] for pair in scores}) for side in (0, 1))
    place, other_place = ({one: n for n, one in enumerate(ids)} for ids in (ones, others))
    rows = np.array([place[i] for i, _ in scores])
    columns = np.array([other_place[j] for _, j in scores])
    values = np.fromiter(scores.values(), float, len(scores))
    size = len(ones) + len(others)
    links = coo_array((np.ones(len(rows)), (rows, columns + len(ones))), shape=(size, size))
    _, group = connected_components(links, directed=False)
    chosen: dict[int, int] = {}
    order = np.argsort(group[rows], kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(group[rows][order])) + 1):
        here, there = np.unique(rows[members]), np.unique(columns[members])
        matrix = np.zeros((len(here), len(there)))
        at = np.searchsorted(here, rows[members]), np.searchsorted(there, columns[members])
        matrix[at] = values[members]
        for i, j in zip(*linear_sum_assignment(matrix, maximize=True)):
            if matrix[i, j] > 0:
                chosen[ones[here[i]]] = others[there[j]]
    return dict(sorted(chosen.items()))
