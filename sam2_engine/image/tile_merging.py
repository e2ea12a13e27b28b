"""Merging of masks of overlapping tiles: duplicates are removed, masks cut by tile boundaries united."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sam2_engine.image.mask_candidates import Candidate, Crop, suppress
from sam2_engine.masks import PackedMask
from sam2_engine.tiles import CUT_MARGIN, reaches_inner_edge

__all__ = ["merge_tile_masks"]

Window = tuple[slice, slice]

SAME_OBJECT_IOU = 0.5
"""Masks of two tiles are one object if they agree by at least this IoU where their tiles overlap."""


def merge_tile_masks(candidates: Sequence[Candidate], box_threshold: float) -> list[Candidate]:
    """Return one mask per object of several tiles.

    Masks that are each other's best match where their tiles overlap are one object. If a tile holds all of
    it, the best such mask stays; otherwise its parts are united. A part without its other side is left out,
    as its end is the tile's and not the object's.

    Parameters
    ----------
    candidates
        Masks of all tiles, without duplicates within a tile; and of the whole plane, which cuts nothing.
    box_threshold
        Of masks whose boxes still overlap by more than this IoU, the best stays.
    """
    groups = _groups(candidates)
    merged = [_merge_group([candidates[i] for i in group]) for group in groups]
    complete = [one for one in merged if not _ends_at_its_tile(one)]
    return suppress(complete, [one.predicted_iou for one in complete], box_threshold)


def _groups(candidates: Sequence[Candidate]) -> list[list[int]]:
    """Return the numbers of the candidates, those of one object together."""
    best: dict[tuple[int, Crop], tuple[float, int]] = {}  # of each mask in each other tile
    for i, j in _neighbors(candidates):
        agreement = _agreement(candidates[i], candidates[j])
        for one, other in ((i, j), (j, i)):
            key = (one, candidates[other].crop)
            if agreement >= SAME_OBJECT_IOU and agreement > best.get(key, (0.0, 0))[0]:
                best[key] = (agreement, other)
    parent = list(range(len(candidates)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for (one, _), (_, other) in best.items():
        if best.get((other, candidates[one].crop), (0.0, -1))[1] == one:
            low, high = sorted((root(one), root(other)))
            parent[high] = low
    groups: dict[int, list[int]] = {}
    for i in range(len(candidates)):
        groups.setdefault(root(i), []).append(i)
    return list(groups.values())


def _neighbors(candidates: Sequence[Candidate]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of different tiles whose boxes overlap."""
    boxes = np.array([one.box for one in candidates]).reshape(-1, 4)
    for i, (one, (x0, y0, x1, y1)) in enumerate(zip(candidates, boxes)):
        later = boxes[i + 1 :]
        overlaps = (later[:, 0] <= x1) & (later[:, 2] >= x0) & (later[:, 1] <= y1) & (later[:, 3] >= y0)
        for j in (np.flatnonzero(overlaps) + i + 1).tolist():
            if candidates[j].crop != one.crop:
                yield i, j


def _agreement(one: Candidate, other: Candidate) -> float:
    """Return the IoU of two masks within the overlap of their tiles; 0 if there is none."""
    x0, y0 = max(one.crop.x0, other.crop.x0), max(one.crop.y0, other.crop.y0)
    x1, y1 = min(one.crop.x1, other.crop.x1), min(one.crop.y1, other.crop.y1)
    parts = [_shared(candidate.mask.box, (slice(y0, y1), slice(x0, x1))) for candidate in (one, other)]
    if any(side.start >= side.stop for part in parts for side in part):
        return 0.0
    window = _around(parts)
    here, there = one.mask.within(window), other.mask.within(window)
    union = int(np.count_nonzero(here | there))
    return int(np.count_nonzero(here & there)) / union if union else 0.0


def _shared(one: Window, other: Window) -> Window:
    rows, columns = (slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other))
    return rows, columns


def _around(windows: Sequence[Window]) -> Window:
    rows, columns = (
        slice(min(part.start for part in parts), max(part.stop for part in parts)) for parts in zip(*windows)
    )
    return rows, columns


def _merge_group(group: list[Candidate]) -> Candidate:
    """Return the best complete mask of an object, or the union of its parts."""
    whole = [one for one in group if not one.is_cut]
    if whole or len(group) == 1:
        return max(whole or group, key=lambda one: one.predicted_iou)
    window = _around([one.mask.box for one in group])
    shape = group[0].mask.shape
    mask = _union(group, window)
    areas = [one.area for one in group]
    largest = max(group, key=lambda one: one.area)
    packed = PackedMask.from_array(mask, shape, (window[0].start, window[1].start))
    rows, columns = packed.box
    return Candidate(
        mask=packed,
        box=(columns.start, rows.start, columns.stop - 1, rows.stop - 1),
        predicted_iou=float(np.average([one.predicted_iou for one in group], weights=areas)),
        stability=float(np.average([one.stability for one in group], weights=areas)),
        point=largest.point,
        crop=Crop(
            min(one.crop.x0 for one in group),
            min(one.crop.y0 for one in group),
            max(one.crop.x1 for one in group),
            max(one.crop.y1 for one in group),
            layer=0,
        ),
        area=int(np.count_nonzero(mask)),
        is_cut=True,
    )


def _union(group: list[Candidate], window: Window) -> NDArray[np.bool_]:
    """Return the parts as one mask on ``window``: each pixel from the tile whose edges are farthest."""
    rows, columns = (np.arange(side.start, side.stop) for side in window)
    height, width = group[0].mask.shape
    mask = np.zeros((len(rows), len(columns)), bool)
    depth = np.full(mask.shape, -np.inf)
    for crop in dict.fromkeys(one.crop for one in group):
        part = np.logical_or.reduce([one.mask.within(window) for one in group if one.crop == crop])
        across = _depths(columns, crop.x0, crop.x1, width)
        inside = np.minimum(_depths(rows, crop.y0, crop.y1, height)[:, None], across)
        deeper = inside > depth
        mask[deeper], depth[deeper] = part[deeper], inside[deeper]
    return mask


def _depths(positions: NDArray[np.intp], first: int, stop: int, length: int) -> NDArray[np.float64]:
    """Return how far positions on one axis lie within a tile; edges of the plane do not count."""
    return np.minimum(
        np.inf if first == 0 else positions - first, np.inf if stop == length else stop - 1.0 - positions
    ) * np.ones(len(positions))


def _ends_at_its_tile(one: Candidate) -> bool:
    """Whether a mask is cut off by all of its tiles; the plane's own edges cut nothing."""
    if not one.is_cut:
        return False
    x0, y0, x1, y1, *_ = one.crop
    return reaches_inner_edge(one.box, (x0, y0, x1, y1), one.mask.shape, CUT_MARGIN)
