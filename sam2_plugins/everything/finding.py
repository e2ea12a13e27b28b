"""Finding of objects on some frames of a stack: which frames, and what is on them."""

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from sam2_engine.frames import FrameSource
from sam2_plugins.everything.likeness import correlation, gray_levels
from sam2_plugins.everything.settings import EverythingSettings
from sam2_plugins.everything.sightings import Sighting
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.automatic_segmentation import find_objects

__all__ = ["find_sightings", "frames_to_look_at"]

SHORT = 64
"""Frames of a stack that is looked at as a whole."""
_STEPS = (8, 4, 2)
_PLACES = 6
_SIDE = 128
"""Pixels a side in which frames are compared."""
_LOSS = 2.0
"""Frames are as like one another as neighbors are where they differ by less than so many times as much."""


def frames_to_look_at(frames: FrameSource, every: int | None = None) -> list[int]:
    """Return the frames on which objects are looked for: the first, the last, and some between.

    Parameters
    ----------
    frames
        Of a known length.
    every
        On every so many; None: on all of a short stack, and of a long one on as many as it changes.
    """
    length = len(frames)
    step = every or (1 if length <= SHORT else _slow_step(frames))
    looked = list(range(0, length, step))
    return looked if looked[-1] == length - 1 else [*looked, length - 1]


def _slow_step(frames: FrameSource) -> int:
    """Return the largest step over which frames differ by little more than neighbors do."""
    places = np.linspace(0, len(frames) - 1 - _STEPS[0], _PLACES).astype(int).tolist()
    loss: dict[int, float] = {}
    for step in (1, *_STEPS):
        loss[step] = float(np.mean([1 - _likeness(frames, place, place + step) for place in places]))
    return next((step for step in _STEPS if loss[step] <= _LOSS * loss[1]), 1)


def _likeness(frames: FrameSource, one: int, other: int) -> float:
    """Return the correlation of two frames, 0..1."""
    return correlation(_small(frames[one]), _small(frames[other]))


def _small(image: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return a frame in gray, of few pixels."""
    gray = gray_levels(image)
    return gray[:: max(1, gray.shape[0] // _SIDE), :: max(1, gray.shape[1] // _SIDE)]


def find_sightings(
    session: AnnotationSession, frame: int, settings: EverythingSettings, confidence: float
) -> Generator[tuple[int, int], None, list[Sighting]]:
    """Find what is on a frame, without a click; the device is held in steps.

    Yields
    ------
    tuple of int
        Clicks done and clicks in all.

    Returns
    -------
    list of Sighting
        The surest first.
    """
    found = yield from find_objects.steps(
        session.store,
        session.model_name,
        session.frames[frame],
        session.window,
        settings.on_each_frame(confidence),
    )
    return [Sighting(one.mask.decompress(), one.area, one.score) for one in found]
