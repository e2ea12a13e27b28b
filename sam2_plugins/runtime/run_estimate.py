"""Estimates of a propagation's time and memory, from measurements on this machine."""

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

from sam2_engine.disk import replacing
from sam2_engine.user_cache import user_cache
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.wording import counted, duration_in_words, size_in_words

__all__ = ["RunEstimate", "RunMeasurements", "RunSize"]

_MAX_SAMPLES = 256
_MEMORY_FRAMES = 8


@dataclass(frozen=True)
class RunSize:
    """How much is to be tracked.

    Attributes
    ----------
    frames
        Frames to predict masks on.
    masks
        Masks on these.
    """

    frames: int
    masks: int

    def __add__(self, other: "RunSize") -> "RunSize":
        return RunSize(self.frames + other.frames, self.masks + other.masks)


@dataclass(frozen=True)
class RunEstimate:
    """Time and memory that a run will take.

    Attributes
    ----------
    size
        How much is to be tracked.
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
        """Return one line for people: ``39 frames, about 3 min, 400 MB``, or ``nothing left to track``."""
        if not self.size.masks:
            return "nothing left to track"
        parts = [counted(self.size.frames, "frame")]
        if self.seconds is not None:
            parts.append(f"{self.bound} {duration_in_words(self.seconds)}")
        if self.num_bytes is not None:
            parts.append(size_in_words(self.num_bytes))
        if self.seconds is None:
            parts.append("time not known before the first ones")
        return ", ".join(parts)


Key = tuple[str, str]
"""What the speed depends on: a model, with the size of its input, and a device."""


class RunMeasurements:
    """Measured times of a host's runs.

    Parameters
    ----------
    file
        JSON file that they are saved to after every run, for the next start; None to save nothing.
        A file that is damaged or cannot be written is no error: they are measured again.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._seconds: dict[Key, deque[tuple[int, float]]] = {}
        self._bytes: dict[Key, float] = {}
        if file is not None:
            with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                self._load(json.loads(file.read_text(encoding="utf-8")))

    @classmethod
    def of_this_machine(cls) -> "RunMeasurements":
        """Return those of all runs on this machine, whichever program they were made with."""
        return cls(user_cache() / "measured-runs.json")

    def measured(
        self, key: Key, steps: Iterator[FrameResult], num_bytes: Callable[[], int]
    ) -> Iterator[FrameResult]:
        """Pass ``steps`` through and record how long each takes, with what its user does in between.

        Parameters
        ----------
        key
            What the speed depends on.
        steps
            Frames as they are propagated. The first one does not count: before it, models are loaded.
        num_bytes
            Returns the bytes of the stored memories; called at the first few frames.
        """
        before, held = None, 0
        try:
            for number, result in enumerate(steps):
                now, count = time.monotonic(), len(result.object_ids)
                if before is not None:
                    self._record(key, count, now - before)
                if number < _MEMORY_FRAMES:
                    earlier, held = held, num_bytes()
                    if number and held > earlier:
                        self._bytes[key] = max(self._bytes.get(key, 0.0), (held - earlier) / count)
                before = now
                yield result
        finally:
            self._save()

    def _save(self) -> None:
        """Write what a frame took, by model, device and number of objects."""
        if self._file is None:
            return
        with self._lock:
            entries = [
                {
                    "model": key[0],
                    "device": key[1],
                    "seconds": {
                        str(count): round(median, 6) for count, median in _median_by_count(samples).items()
                    },
                    "bytes": self._bytes.get(key, 0.0),
                }
                for key, samples in self._seconds.items()
            ]
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._file) as aside:
                aside.write_text(json.dumps(entries, indent=1), encoding="utf-8")

    def _load(self, entries: list[dict[str, Any]]) -> None:
        """Take what was written; each number of objects counts as one frame, soon outnumbered."""
        for entry in entries:
            key = (str(entry["model"]), str(entry["device"]))
            samples = [(int(count), float(seconds)) for count, seconds in entry["seconds"].items()]
            if any(count < 1 or not 0 < seconds < float("inf") for count, seconds in samples):
                raise ValueError(f"{entry} is no measurement")
            self._seconds[key], self._bytes[key] = deque(samples, maxlen=_MAX_SAMPLES), float(entry["bytes"])

    def record(self, key: Key, count: int, seconds: float) -> None:
        """Record one step of other work, which took so long for so many things, for its next estimate."""
        self._record(key, count, seconds)
        self._save()

    def _record(self, key: Key, objects: int, seconds: float) -> None:
        with self._lock:
            self._seconds.setdefault(key, deque(maxlen=_MAX_SAMPLES)).append((objects, seconds))

    def estimate(
        self, key: Key, size: RunSize, mask_bytes: float | None, memory_cap: int | None
    ) -> RunEstimate:
        """Estimate a run.

        Parameters
        ----------
        key, size
            What the speed depends on, and how much is to be tracked.
        mask_bytes
            Mean size of a stored mask; None if there is none yet.
        memory_cap
            Bytes that the model's memories take at most; None for no limit.
        """
        seconds, bound = self._time(key, size)
        if mask_bytes is None:
            return RunEstimate(size, seconds, bound, None)
        memories = size.masks * self._bytes.get(key, 0.0)
        if memory_cap is not None:
            memories = min(memories, memory_cap)
        return RunEstimate(size, seconds, bound, size.masks * mask_bytes + memories)

    def _time(self, key: Key, size: RunSize) -> tuple[float | None, str]:
        if not size.masks:
            return 0.0, "about"
        with self._lock:
            samples = list(self._seconds.get(key, ()))
        if not samples:
            return None, "about"
        by_count = _median_by_count(samples)
        counts, medians = list(by_count), list(by_count.values())
        wanted = size.masks / size.frames
        if len(counts) == 1:  # a frame with more objects takes longer, by an unknown amount
            bounds = {-1: "at most about", 0: "about", 1: "at least about"}
            return medians[0] * size.frames, bounds[int(np.sign(round(wanted) - counts[0]))]
        slope, constant = (float(value) for value in np.polyfit(counts, medians, 1))
        if slope < 0:
            slope, constant = 0.0, float(np.mean(medians))
        elif constant < 0:
            slope, constant = float(np.dot(counts, medians) / np.dot(counts, counts)), 0.0
        return size.frames * constant + size.masks * slope, "about"


def _median_by_count(samples: Iterable[tuple[int, float]]) -> dict[int, float]:
    """Return the median of the measured seconds by number of objects, ascending."""
    by_count: dict[int, list[float]] = {}
    for count, seconds in samples:
        by_count.setdefault(count, []).append(seconds)
    return {count: float(np.median(by_count[count])) for count in sorted(by_count)}
