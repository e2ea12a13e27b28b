"""Use of a process's resources: threads, descriptors, temporary files, memory; and whether they grow."""

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from sam2_engine.malloc_trim import release_freed_memory

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_WARM_UP, _ROUNDS, _BATCHES = 4, 20, 4
_MEMORY_PER_ROUND = 50_000


@dataclass(frozen=True)
class Usage:
    """What a process holds; memory in bytes, ``private`` what it shares with no other process."""

    threads: int
    descriptors: int
    files: int
    memory: int
    private: int

    @classmethod
    def of(cls, folder: Path, process: int | str = "self") -> "Usage":
        """Return what a process holds now, and how many files are in its folder for temporary ones."""
        proc = Path("/proc") / str(process)
        return cls(
            threads=len(list((proc / "task").iterdir())),
            descriptors=len(list((proc / "fd").iterdir())),
            files=sum(1 for _ in folder.rglob("*")),
            memory=int((proc / "statm").read_text().split()[1]) * _PAGE,
            private=sum(
                int(line.split()[1]) * 1024
                for line in (proc / "smaps_rollup").read_text().splitlines()
                if line.startswith("Private_")
            ),
        )


@dataclass(frozen=True)
class Trend:
    """A line through a quantity over rounds: its slope per round, and how far that may be off.

    Attributes
    ----------
    mean
        Of the values.
    slope, bound
        The slope lies within ``slope - bound`` and ``slope + bound`` at 95 %.
    """

    mean: float
    slope: float
    bound: float

    @classmethod
    def of(cls, values: Sequence[float], batches: int = 16) -> "Trend":
        """Fit a line to what was measured after the warm-up, the first quarter of the rounds.

        It is fitted to means of batches: neighboring rounds are not independent (caches, the memory that
        the C library holds on to), and single ones would promise more than they know.
        """
        kept = np.asarray(values, float)[len(values) // 4 :]
        parts = np.array_split(np.arange(len(kept)), min(batches, len(kept)))
        x, y = (np.array([of[part].mean() for part in parts]) for of in (np.arange(len(kept)), kept))
        if np.ptp(y) == 0:
            return cls(float(kept.mean()), 0.0, 0.0)
        fit = stats.linregress(x, y)
        bound = fit.stderr * stats.t.ppf(0.975, len(parts) - 2)
        return cls(float(kept.mean()), float(fit.slope), float(bound))

    def verdict(self, allowed: float) -> str:
        """Say whether a slope above what is allowed is certain, possible or ruled out."""
        if self.slope - self.bound > allowed:
            return "GROWS"
        return "flat" if self.slope + self.bound <= allowed else "too few rounds to tell"


def growth(do: Callable[[], object], measure: Callable[[], Usage]) -> list[str]:
    """Return what grows when something is done again and again, in words; nothing where all is constant.

    What is cached once, or started once, is done with after the warm-up, or the first batch of rounds: what
    grows in every batch, as a leak does, is returned as it grew in the last one.
    """
    for _ in range(_WARM_UP):
        do()
    grown: dict[str, str] = {}
    for batch in range(_BATCHES):
        before = measure()
        for _ in range(_ROUNDS):
            do()
        now = _grown(before, measure())
        grown = {name: now[name] for name in now if name in grown or not batch}
        if not grown:
            break
    return list(grown.values())


def _grown(before: Usage, after: Usage) -> dict[str, str]:
    """Return what is more after a batch of rounds, by its name, in words."""
    grown = {
        name: f"{name}: {getattr(before, name)} -> {getattr(after, name)}"
        for name in ("threads", "descriptors", "files")
        if getattr(after, name) > getattr(before, name)
    }
    per_round = (after.memory - before.memory) / _ROUNDS
    if per_round >= _MEMORY_PER_ROUND:
        grown["memory"] = f"memory: {per_round / 1000:.0f} kB a round"
    return grown


def tidy_usage(folder: Path) -> Usage:
    """Return what this process holds once everything that is free has been given back."""
    gc.collect()
    release_freed_memory()
    return Usage.of(folder)


@contextmanager
def full_disk(num_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size: as a full disk, the system refuses it in the middle of a write."""
    import resource  # of POSIX

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
