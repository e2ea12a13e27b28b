"""How long following will take and how much memory it will add, from what was measured here so far."""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sam2_engine.video.frame_result import FrameResult
from sam2_engine.wording import counted
from sam2_plugins.runtime.atomic_files import replacing

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
        parts = [counted(self.size.frames, "frame")]
        if self.seconds is not None:
            parts.append(f"{self.bound} {duration_in_words(self.seconds)}")
        if self.num_bytes is not None:
            parts.append(_amount(self.num_bytes))
        if self.seconds is None:
            parts.append("time not known before the first ones")
        return ", ".join(parts)


Key = tuple[str, str]
"""What a speed depends on: a model, with the size of its input, and a device."""


class RunMeasurements:
    """Measured times of a host's runs.

    Parameters
    ----------
    file
        JSON in which they are remembered after every run, for the next time; None to forget them at the end.
        A file that is damaged or cannot be written is no error: one measures again.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._seconds: dict[Key, deque[tuple[int, float]]] = {}
        self._bytes: dict[Key, float] = {}
        if file is not None:
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                self._recall(json.loads(file.read_text(encoding="utf-8")))

    def measured(
        self, key: Key, steps: Iterator[FrameResult], num_bytes: Callable[[], int]
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
        try:
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
        finally:
            self._remember()

    def _remember(self) -> None:
        """Write down what a frame took, by model, device and number of objects."""
        if self._file is None:
            return
        with self._lock:
            known = [
                {
                    "model": key[0],
                    "device": key[1],
                    "seconds": {str(count): round(typical, 6) for count, typical in _typical(noted).items()},
                    "bytes": self._bytes.get(key, 0.0),
                }
                for key, noted in self._seconds.items()
            ]
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._file) as aside:
                aside.write_text(json.dumps(known, indent=1), encoding="utf-8")

    def _recall(self, known: list[dict[str, Any]]) -> None:
        """Take what was written down; each number of objects counts as one frame, soon outnumbered."""
        for one in known:
            key = (str(one["model"]), str(one["device"]))
            noted = [(int(count), float(seconds)) for count, seconds in one["seconds"].items()]
            if any(count < 1 or not 0 < seconds < float("inf") for count, seconds in noted):
                raise ValueError(f"{one} is no measurement")
            self._seconds[key], self._bytes[key] = deque(noted, maxlen=_KEPT), float(one["bytes"])

    def _note(self, key: Key, objects: int, seconds: float) -> None:
        with self._lock:
            self._seconds.setdefault(key, deque(maxlen=_KEPT)).append((objects, seconds))

    def estimate(
        self, key: Key, size: RunSize, mask_bytes: float | None, memory_cap: int | None
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

    def _time(self, key: Key, size: RunSize) -> tuple[float | None, str]:
        with self._lock:
            noted = list(self._seconds.get(key, ()))
        if not noted:
            return None, "about"
        by_count = _typical(noted)
        counts, typical = list(by_count), list(by_count.values())
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


def _typical(noted: Iterable[tuple[int, float]]) -> dict[int, float]:
    """Return the median of the measured seconds by number of objects, ascending."""
    by_count: dict[int, list[float]] = {}
    for count, seconds in noted:
        by_count.setdefault(count, []).append(seconds)
    return {count: float(np.median(by_count[count])) for count in sorted(by_count)}


def duration_in_words(seconds: float) -> str:
    """Return a time as people say it: ``40 s``, ``3 min``, ``2.5 h``."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _amount(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e8 else f"{max(1, round(num_bytes / 1e6))} MB"
