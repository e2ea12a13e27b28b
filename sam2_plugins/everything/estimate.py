"""Estimate of how long finding and tracking everything takes, from earlier runs on this machine."""

import time
from dataclasses import dataclass

from sam2_engine.frames import FrameSource
from sam2_engine.tiles import TileGrid, tile_side
from sam2_engine.wording import counted, duration_in_words
from sam2_plugins.everything.finding import frames_to_look_at
from sam2_plugins.everything.settings import EverythingSettings
from sam2_plugins.runtime.run_estimate import RunSize
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["EverythingEstimate", "Stopwatch", "estimate_everything"]


@dataclass(frozen=True)
class EverythingEstimate:
    """How much there is to do, and how long it takes.

    Attributes
    ----------
    looked_at
        Frames on which objects are looked for.
    frames
        All frames.
    seconds
        How long, by what such frames took before; None if none did yet.
    """

    looked_at: int
    frames: int
    seconds: float | None

    def __str__(self) -> str:
        """Return one line for people: ``objects are looked for on 20 of 20 frames, about 3 min``."""
        where = f"objects are looked for on {self.looked_at} of {counted(self.frames, 'frame')}"
        if self.seconds is None:
            return f"{where}, time not known before the first ones"
        return f"{where}, about {duration_in_words(self.seconds)}"


def estimate_everything(
    session: AnnotationSession, settings: EverythingSettings | None = None
) -> EverythingEstimate:
    """Estimate a run of :func:`sam2_plugins.everything.run.track_everything`.

    How many objects there are is not known before; that of earlier runs on this machine is taken to be usual.

    Examples
    --------
    >>> import numpy as np
    >>> from sam2_plugins import AnnotationSession, ModelStore
    >>> session = AnnotationSession(np.zeros((3, 64, 80), np.uint8), ModelStore())
    >>> print(estimate_everything(session))
    objects are looked for on 3 of 3 frames, time not known before the first ones
    """
    wanted = settings or EverythingSettings()
    looked = len(frames_to_look_at(session.frames, wanted.every))
    size = RunSize(looked, looked * _clicks(session.frames, session, wanted))
    measured = session.store.measurements.estimate(_key(session), size, None, None)
    return EverythingEstimate(looked, len(session), measured.seconds)


class Stopwatch:
    """Measures how long each frame takes, for the estimates of later runs."""

    def __init__(self, session: AnnotationSession, settings: EverythingSettings) -> None:
        self._session, self._clicks = session, _clicks(session.frames, session, settings)
        self._since = time.monotonic()

    def lap(self, counts: bool) -> None:
        """End the frame at work; it counts if all of it was done now."""
        now = time.monotonic()
        if counts:
            measurements = self._session.store.measurements
            measurements.record(_key(self._session), self._clicks, now - self._since)
        self._since = now


def _key(session: AnnotationSession) -> tuple[str, str]:
    return f"{session.model_name}, everything", session.store.device_name


def _clicks(frames: FrameSource, session: AnnotationSession, settings: EverythingSettings) -> int:
    """Return how many clicks a frame takes at most: of a plane in tiles, those of every tile."""
    side = tile_side(frames.shape, session.store.load(session.model_name))
    tiles = 1
    if side < max(frames.shape):
        tiles += len(TileGrid(frames.shape, side, side // 4).tiles)
    return tiles * settings.points_per_side**2
