"""Stillness of tracks: what keeps its place and looks, as dirt on the glass does among cells that move."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sam2_engine.frames import FrameSource
from sam2_plugins.everything.likeness import correlation, gray_levels
from sam2_plugins.everything.linking import Track, found_by_frame
from sam2_plugins.everything.sightings import Sighting

__all__ = ["stillness"]

_MARGIN = 3
"""Pixels around an object that show whether it is still where it was."""


def stillness(tracks: Sequence[Track], frames: FrameSource) -> NDArray[np.float64]:
    """Return by how much the pixels where each track begins stay the same while it lasts, (N,) 0..1.

    The median correlation of the box around its first mask with the same box on the frames on which it was
    found later; not a number for what was found once. Each frame is read once.
    """
    first: dict[int, NDArray[np.float64]] = {}
    found: list[list[float]] = [[] for _ in tracks]
    for frame, there in found_by_frame(tracks):
        pixels = gray_levels(frames[frame])
        for number in there:
            crop = pixels[_around(_first(tracks[number]))]
            if number in first:
                found[number].append(correlation(first[number], crop))
            else:
                first[number] = crop.copy()
    return np.array([np.median(one) if one else np.nan for one in found], np.float64)


def _first(track: Track) -> Sighting:
    return track.sightings[min(frame for frame, one in track.sightings.items() if one.found)]


def _around(sighting: Sighting) -> tuple[slice, slice]:
    rows, columns = (slice(max(one.start - _MARGIN, 0), one.stop + _MARGIN) for one in sighting.mask.box)
    return rows, columns
