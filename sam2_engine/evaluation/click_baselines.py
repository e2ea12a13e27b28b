"""Baselines for one click: flood fill, and scikit-image's watershed and random walker.

All take gray levels in 0..1 within the model's intensity window, blurred a little (sigma 1). Watershed and
random walker need background seeds: they are given the clicks on all other objects of the frame, and its
outermost pixels. That is more than the model gets.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from skimage.draw import disk
from skimage.filters import gaussian, sobel
from skimage.segmentation import random_walker, watershed

from sam2_engine.evaluation.image_protocol import objects_by_frame
from sam2_engine.evaluation.labeled_sequence import LabeledSequence, MasksByObject
from sam2_engine.evaluation.video_protocol import WithProgress, without_progress
from sam2_engine.masks import PackedMask, mask_center
from sam2_engine.preprocessing import estimate_window, to_rgb

__all__ = [
    "CLICK_BASELINES",
    "flood_fill",
    "random_walker_regions",
    "segment_by_baseline",
    "watershed_regions",
]

FLOOD_TOLERANCE = 0.1
"""Gray levels around that of the click, of 0..1."""
WALKER_BETA = 130.0
WALKER_SIDE = 256
"""Longest side at which the random walker works; its cost grows with pixels times objects."""
SEED_RADIUS = 2
"""A click is a disk of this radius in pixels to watershed and random walker."""

Gray = NDArray[np.float64]
Clicks = list[tuple[int, int]]
Masks = list[NDArray[np.bool_]]


def flood_fill(gray: Gray, clicks: Clicks) -> Masks:
    """Flood from each click into pixels (four neighbors) within ``FLOOD_TOLERANCE`` of its gray level."""
    masks = []
    for x, y in clicks:
        alike, _ = label(np.abs(gray - gray[y, x]) <= FLOOD_TOLERANCE)
        masks.append(alike == alike[y, x])
    return masks


def watershed_regions(gray: Gray, clicks: Clicks) -> Masks:
    """Flood the Sobel gradient from all clicks and from the frame's border (watershed)."""
    return _regions(watershed(sobel(gray), _seeds(gray.shape, clicks)), len(clicks))


def random_walker_regions(gray: Gray, clicks: Clicks) -> Masks:
    """Give each pixel to the seed that a random walker reaches first (Grady, PAMI 2006; beta 130)."""
    from skimage.transform import resize  # needs docstrings, which PYTHONOPTIMIZE=2 takes away

    height, width = gray.shape
    scale = min(1.0, WALKER_SIDE / max(height, width))
    small = resize(gray, (round(height * scale), round(width * scale)), anti_aliasing=scale < 1)
    seeds = _seeds(small.shape, [(int(x * scale), int(y * scale)) for x, y in clicks])
    labels = random_walker(small, seeds, beta=WALKER_BETA, mode="bf")
    regions = resize(labels, (height, width), order=0, preserve_range=True, anti_aliasing=False)
    return _regions(regions.round().astype(int), len(clicks))


CLICK_BASELINES: dict[str, Callable[[Gray, Clicks], Masks]] = {
    "flood fill": flood_fill,
    "watershed": watershed_regions,
    "random walker": random_walker_regions,
}
"""By the name in the table."""


def segment_by_baseline(
    sequence: LabeledSequence, name: str, *, min_area: int = 1, with_progress: WithProgress = without_progress
) -> MasksByObject:
    """Segment every object on every annotated frame from one click at its center.

    Parameters
    ----------
    sequence
        Frames and ground truth.
    name
        A key of ``CLICK_BASELINES``.
    min_area
        Leave out smaller objects, in pixels.
    with_progress
        Wraps the iteration over frames, for a progress bar.
    """
    window = estimate_window(sequence.frames)
    chosen = objects_by_frame(sequence, min_area)
    masks: MasksByObject = {}
    for frame, ids in with_progress(chosen.items(), len(chosen), f"{sequence.name}, {name}"):
        gray = gaussian(to_rgb(sequence.frames[frame], window).mean(-1, dtype=np.float64), 1)
        clicks = [mask_center(sequence.mask(object_id, frame))[0] for object_id in ids]
        for object_id, mask in zip(ids, CLICK_BASELINES[name](gray, clicks), strict=True):
            masks.setdefault(object_id, {})[frame] = PackedMask.from_array(mask, sequence.frames.shape)
    return masks


def _seeds(shape: tuple[int, ...], clicks: Clicks) -> NDArray[np.int32]:
    """Return the clicks as 1 to N, the frame's outermost pixels as N + 1, and 0 elsewhere."""
    seeds = np.zeros(shape, np.int32)
    seeds[[0, -1], :] = seeds[:, [0, -1]] = len(clicks) + 1
    for number, (x, y) in enumerate(clicks, start=1):
        seeds[disk((y, x), SEED_RADIUS + 0.5, shape=shape)] = number
    for number, (x, y) in enumerate(clicks, start=1):  # no disk covers another one's center
        seeds[y, x] = number
    return seeds


def _regions(labels: NDArray[np.integer], count: int) -> Masks:
    return [labels == number for number in range(1, count + 1)]
