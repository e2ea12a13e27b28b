"""Seeds of masklets: what a grid of clicks finds on one frame, and on zoomed crops of it."""

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sam2_engine.image.mask_candidates import Crop, nested_crops, touches_edge
from sam2_engine.masks import CompressedMask
from sam2_engine.preprocessing import IntensityWindow
from sam2_plugins.masklets.settings import MaskletSettings
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.automatic_segmentation import FoundObject, find_objects

__all__ = ["Seed", "boxes_meet", "distinct_seeds", "find_seeds", "mask_overlap", "shared_and_union"]

_CROP_OVERLAP = 512 / 1500


@dataclass(frozen=True, eq=False)
class Seed:
    """One mask from which a masklet is tracked; ``score`` is predicted IoU times stability."""

    mask: CompressedMask
    score: float


def find_seeds(
    store: ModelStore,
    model: str,
    image: NDArray[Any],
    window: IntensityWindow | None,
    settings: MaskletSettings,
) -> Generator[tuple[int, int], None, list[Seed]]:
    """Find seeds on a frame (H, W) or (H, W, C), step by step; the surest first, without duplicates.

    Yields
    ------
    tuple of int
        Crops done, and crops in all.
    """
    height, width = image.shape[:2]
    crops = list(nested_crops(width, height, settings.crop_layers, _CROP_OVERLAP))
    seeds: list[Seed] = []
    for number, crop in enumerate(crops):
        yield number, len(crops)
        pixels = image[crop.y0 : crop.y1, crop.x0 : crop.x1]
        search = find_objects.steps(store, model, pixels, window, settings.on_crop(crop.layer))
        found: list[FoundObject] = []
        while True:
            try:
                next(search)
            except StopIteration as end:
                found = end.value
                break
            yield number, len(crops)
        seeds += _whole_ones(found, crop, (height, width))
    return distinct_seeds(seeds, settings.max_overlap)


def distinct_seeds(
    seeds: Iterable[Seed], max_overlap: float, known: Iterable[CompressedMask] = ()
) -> list[Seed]:
    """Return the surest seeds, without those that overlap a surer one, or a known mask, by a larger IoU."""
    taken, distinct = list(known), list[Seed]()
    for seed in sorted(seeds, key=lambda one: one.score, reverse=True):
        if all(mask_overlap(seed.mask, other) <= max_overlap for other in taken):
            taken.append(seed.mask)
            distinct.append(seed)
    return distinct


def mask_overlap(one: CompressedMask, other: CompressedMask) -> float:
    """Return the IoU of two masks of one size; 0 if both are empty."""
    if not boxes_meet(one, other):
        return 0.0
    shared, union = shared_and_union(one, other)
    return shared / union if union else 0.0


def boxes_meet(one: CompressedMask, other: CompressedMask) -> bool:
    """Whether the boxes of two masks overlap: among thousands few do, and the others are not looked into."""
    return all(mine.start < its.stop and its.start < mine.stop for mine, its in zip(one.box, other.box))


def shared_and_union(one: CompressedMask, other: CompressedMask) -> tuple[int, int]:
    """Return how many pixels two masks of one size share, and how many either has."""
    mine, its = one.crop(), other.decompress()
    shared = int(np.count_nonzero(mine & its.within(one.box)))
    return shared, int(np.count_nonzero(mine) + np.count_nonzero(its.crop())) - shared


def _whole_ones(found: list[FoundObject], crop: Crop, shape: tuple[int, int]) -> list[Seed]:
    """Return what a crop shows on the frame, without what the crop's edge may have cut off."""
    whole = []
    for one in found:
        rows, columns = one.mask.box
        box = (
            columns.start + crop.x0,
            rows.start + crop.y0,
            columns.stop - 1 + crop.x0,
            rows.stop - 1 + crop.y0,
        )
        if crop.layer and bool(touches_edge(torch.tensor([box]), crop, shape)[0]):
            continue
        corner = (box[1], box[0])
        whole.append(Seed(CompressedMask.from_array(one.mask.crop(), shape, corner), one.score))
    return whole
