"""How long following will take and how much memory it will add, from what was measured here so far."""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

import numpy as np

from sam2_engine.frame_result import FrameResult

__all__ = ["RunEstimate", "RunMeasurements", "RunSize", "duration_in_words"]

_KEPT = 256
_WEIGHED = 8


@dataclass(frozen=True)
class RunSize:
    """How much is to be followed.

    Attributes
    ----------
    frames
        Frames on which there is something to do.
    masks
        Masks on these.
    """

    frames: int
    masks: int

    def __add__(self, other: "RunSize") -> "RunSize":
        return RunSize(self.frames + other.frames, self.masks + other.masks)


@dataclass(frozen=True)
class RunEstimate:
    """What a run will take.

    Attributes
    ----------
    size
        How much is to be followed.
    seconds
        How long, or None if nothing was measured yet.
    bound
        "about"; or "at least about", "at most about" where only other numbers of objects were measured.
    num_bytes
        Memory that it adds, or None if nothing was measured yet.
    """

    size: RunSize
    seconds: float | None
    bound: str
    num_bytes: float | None

    def __str__(self) -> str:
        """Return one line for people: ``39 frames, about 3 min, 0.4 GB``."""
        parts = [f"{self.size.frames} frame{'s'[: self.size.frames != 1]}"]
        if self.seconds is not None:
            parts.append(f"{self.bound} {duration_in_words(self.seconds)}")
        if self.num_bytes is not None:
            parts.append(_amount(self.num_bytes))
        if self.seconds is None:
            parts.append("time not known before the first ones")
        return ", ".join(parts)


class RunMeasurements:
    """Measured times of a host's runs; a key names what they depend on, a model and a device."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: dict[Hashable, deque[tuple[int, float]]] = {}
        self._bytes: dict[Hashable, float] = {}

    def measured(
        self, key: Hashable, steps: Iterator[FrameResult], num_bytes: Callable[[], int]
    ) -> Iterator[FrameResult]:
        """Pass ``steps`` through and note how long each takes, with what its user does in between.

        Parameters
        ----------
        key
            What it depends on.
        steps
            Frames as they are followed. The first one is not counted: before it, models are loaded.
        num_bytes
            Returns the bytes of the memories kept; asked for at the first few frames.
        """
        before, held = None, 0
        for number, result in enumerate(steps):
            now, count = time.monotonic(), len(result.object_ids)
            if before is not None:
                self._note(key, count, now - before)
            if number < _WEIGHED:
                earlier, held = held, num_bytes()
                if number and held > earlier:
                    self._bytes[key] = max(self._bytes.get(key, 0.0), (held - earlier) / count)
            before = now
            yield result

    def _note(self, key: Hashable, objects: int, seconds: float) -> None:
        with self._lock:
            self._seconds.setdefault(key, deque(maxlen=_KEPT)).append((objects, seconds))

    def estimate(
        self, key: Hashable, size: RunSize, mask_bytes: float | None, memory_cap: int | None
    ) -> RunEstimate:
        """Estimate a run.

        Parameters
        ----------
        key, size
            With what, and how much.
        mask_bytes
            Mean size of a mask as it is kept; None if there is none yet.
        memory_cap
            Bytes that the model's memories take at most; None for as many as there are frames.
        """
        seconds, bound = self._time(key, size)
        if mask_bytes is None:
            return RunEstimate(size, seconds, bound, None)
        memories = size.masks * self._bytes.get(key, 0.0)
        if memory_cap is not None:
            memories = min(memories, memory_cap)
        return RunEstimate(size, seconds, bound, size.masks * mask_bytes + memories)

    def _time(self, key: Hashable, size: RunSize) -> tuple[float | None, str]:
        with self._lock:
            noted = list(self._seconds.get(key, ()))
        if not noted:
            return None, "about"
        counts = sorted({count for count, _ in noted})
        typical = [float(np.median([s for count, s in noted if count == one])) for one in counts]
        wanted = size.masks / size.frames
        if len(counts) == 1:  # a frame with more objects takes longer, but nobody knows how much
            bounds = {-1: "at most about", 0: "about", 1: "at least about"}
            return typical[0] * size.frames, bounds[int(np.sign(round(wanted) - counts[0]))]
        slope, constant = (float(value) for value in np.polyfit(counts, typical, 1))
        if slope < 0:
            slope, constant = 0.0, float(np.mean(typical))
        elif constant < 0:
            slope, constant = float(np.dot(counts, typical) / np.dot(counts, counts)), 0.0
        return size.frames * constant + size.masks * slope, "about"


def duration_in_words(seconds: float) -> str:
    """Return a time as people say it: ``40 s``, ``3 min``, ``2.5 h``."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _amount(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e8 else f"{max(1, round(num_bytes / 1e6))} MB"
