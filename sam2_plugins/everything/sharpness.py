"""Sharpness of tracks: whether pixels change at their outlines, as they do not where nothing is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sam2_engine.frames import FrameSource
from sam2_plugins.everything.linking import Track, found_by_frame
from sam2_plugins.everything.sightings import Sighting

__all__ = ["sharpness"]

_MARGIN = 6
"""Pixels around an object that are compared with its outline."""
_LEAST = 10
"""Pixels away from the outline, of fewer of which nothing is known."""


def sharpness(tracks: Sequence[Track], frames: FrameSource) -> NDArray[np.float64]:
    """Return how many times as much pixels change at each track's outline as beside it, (N,).

    The median of the frames on which it was found: about 1 where nothing is; not a number where there is
    nothing beside it to compare with. Each frame is read once.
    """
    found: list[list[float]] = [[] for _ in tracks]
    for frame, there in found_by_frame(tracks):
        pixels = np.asarray(frames[frame])
        for number in there:
            found[number].append(_at_outline(pixels, tracks[number].sightings[frame]))
    return np.array([np.median(one) if one else np.nan for one in found], np.float64)


def _at_outline(pixels: NDArray[Any], sighting: Sighting) -> float:
    """Return the median gradient at an outline over that beside it."""
    window = sighting.mask.around(_MARGIN)
    mask = sighting.mask.within(window)
    outline = ndimage.binary_dilation(mask) & ~ndimage.binary_erosion(mask, border_value=1)
    beside = ~ndimage.binary_dilation(outline, iterations=2)
    if beside.sum() < _LEAST or not outline.any():
        return float("nan")
    crop = np.nan_to_num(np.asarray(pixels[window], np.float64))
    channels = np.moveaxis(crop, -1, 0) if crop.ndim == 3 else crop[None]
    change = np.max([ndimage.gaussian_gradient_magnitude(one, 1.0) for one in channels], 0)
    usual = float(np.median(change[beside]))
    return float(np.median(change[outline])) / usual if usual else float("nan")
