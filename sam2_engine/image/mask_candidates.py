"""Candidates of automatic mask generation: masks with their crops and scores, and their suppression."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sam2_engine.masks import PackedMask, non_maximum_suppression
from sam2_engine.preprocessing import Region
from sam2_engine.tiles import TileGrid

__all__ = [
    "Candidate",
    "Crop",
    "nested_crops",
    "suppress",
    "suppress_masks",
    "tiles_and_whole",
    "touches_edge",
]

CROP_EDGE_TOLERANCE = 20
"""A mask that ends within so many pixels of its crop's edge may be cut off by it, as in SAM."""


class Crop(NamedTuple):
    """A part of the image that is segmented by itself.

    Attributes
    ----------
    x0, y0, x1, y1
        First and last-plus-one column and row.
    layer
        0 is the image itself.
    keep_cut
        Whether masks that its edge may have cut off stay, to be merged with those of its neighbors.
    larger_than
        Only masks count whose longer side is more than so many pixels.
    core
        Only clicks in this part of the image, ``x0, y0, x1, y1``, are made; None: everywhere in the crop.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    layer: int
    keep_cut: bool = False
    larger_than: int = 0
    core: Region | None = None

    @property
    def area(self) -> int:
        """Pixels."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)


@dataclass(frozen=True, eq=False)
class Candidate:
    """One mask.

    Attributes
    ----------
    mask, area
        The pixels, and how many.
    box
        Inclusive, ``x0, y0, x1, y1``.
    predicted_iou, stability
        Both 0..1.
    point
        The click that gave it.
    crop
        Where it was predicted.
    is_cut
        Whether an edge of the crop may have cut it off.
    """

    mask: PackedMask
    box: tuple[int, int, int, int]
    predicted_iou: float
    stability: float
    point: tuple[float, float]
    crop: Crop
    area: int
    is_cut: bool = False


def nested_crops(width: int, height: int, layers: int, overlap_ratio: float) -> Iterator[Crop]:
    """Yield the image, then for each layer i the crops of a grid of 2**i by 2**i that overlap."""
    yield Crop(0, 0, width, height, 0)
    for layer in range(1, layers + 1):
        side = 2**layer
        overlap = int(overlap_ratio * min(width, height) * (2 / side))
        crop_width = ceil((overlap * (side - 1) + width) / side)
        crop_height = ceil((overlap * (side - 1) + height) / side)
        for column, row in product(range(side), range(side)):
            x0, y0 = (crop_width - overlap) * column, (crop_height - overlap) * row
            yield Crop(x0, y0, min(x0 + crop_width, width), min(y0 + crop_height, height), layer)


def tiles_and_whole(grid: TileGrid) -> Iterator[Crop]:
    """Yield the whole plane, for what is larger than a tile, then all tiles.

    Each place is clicked in the tile that it lies deepest in: an object is smaller than the overlap, and
    then whole in that one, or large enough to be clicked in each.
    """
    height, width = grid.shape
    yield Crop(0, 0, width, height, 0, larger_than=grid.side)
    for tile, core in zip(grid.tiles, grid.cores):
        yield Crop(*tile, layer=0, keep_cut=True, core=core)


def touches_edge(boxes: Tensor, crop: Crop, shape: tuple[int, int]) -> Tensor:
    """Return (N,) bool: the mask ends near an edge of its crop that is not an edge of the image."""
    height, width = shape

    def near(edges: tuple[int, int, int, int]) -> Tensor:
        return (boxes - torch.tensor(edges)).abs() <= CROP_EDGE_TOLERANCE

    return (near(crop[:4]) & ~near((0, 0, width, height))).any(1)


def suppress(candidates: Sequence[Candidate], scores: Sequence[float], threshold: float) -> list[Candidate]:
    """Return what remains, highest score first, of masks whose boxes overlap by more than ``threshold``."""
    boxes = torch.tensor([candidate.box for candidate in candidates]).reshape(-1, 4)
    remaining = non_maximum_suppression(boxes, torch.tensor(scores, dtype=torch.float32), threshold)
    return [candidates[i] for i in remaining.tolist()]


def suppress_masks(candidates: Sequence[Candidate], threshold: float) -> list[Candidate]:
    """Return what remains, highest predicted IoU first, of masks whose IoU is above ``threshold``.

    Masks are compared, not boxes, because a small component far away changes the box of an object. The score
    is predicted IoU times stability, since a part of an object is predicted as well as all of it.
    """
    remaining: list[Candidate] = []
    for one in sorted(candidates, key=lambda c: c.predicted_iou * c.stability, reverse=True):
        if all(_iou(one, other) <= threshold for other in remaining):
            remaining.append(one)
    return sorted(remaining, key=lambda c: c.predicted_iou, reverse=True)


def _iou(one: Candidate, other: Candidate) -> float:
    if one.box[0] > other.box[2] or other.box[0] > one.box[2]:
        return 0.0
    if one.box[1] > other.box[3] or other.box[1] > one.box[3]:
        return 0.0
    shared = int(np.count_nonzero(one.mask.crop() & other.mask.within(one.mask.box)))
    return shared / (one.area + other.area - shared)
