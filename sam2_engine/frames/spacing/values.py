"""The distance between two neighbors on an axis, and what of a file's numbers can be one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sam2_engine.frames.spacing.units import LENGTH_UNITS, TIME_UNITS, factor, normalized

__all__ = ["Spacing", "as_read", "even_interval", "frame_interval", "usable"]

_SPACE, _TIME = "XYZ", "T"
_PLAUSIBLE = {"m": (1e-12, 1e7), "s": (1e-9, 1e10)}
"""In meters from a picometer to the size of the Earth, in seconds from a nanosecond to centuries."""

_JITTER, _ROUNDING = 0.1, 1.5e-3
"""What times may differ from even ones: a part of the interval, or the milliseconds of a container."""


@dataclass(frozen=True)
class Spacing:
    """From one position on an axis to the next.

    Attributes
    ----------
    size
        A number above 0.
    unit
        One of ``LENGTH_UNITS`` or ``TIME_UNITS``.
    """

    size: float
    unit: str

    def to(self, unit: str) -> float:
        """Return the size in another unit of the same kind."""
        return self.size * factor(self.unit, unit)

    @property
    def is_time(self) -> bool:
        """Whether it is a time, not a length."""
        return self.unit in TIME_UNITS


def usable(said: Mapping[str, tuple[Any, Any]]) -> dict[str, Spacing]:
    """Return what of the sizes and units that a file says, by letter of the axis, can be true.

    No number, zero, a negative or absurd one, and a unit that is not known are passed over; so are axes that
    are neither space nor time.

    Examples
    --------
    >>> usable({"T": (30, "sec"), "Y": (float("nan"), "um"), "X": (0.5, "micron"), "Z": (1, "pixel")})
    {'T': Spacing(size=30.0, unit='s'), 'X': Spacing(size=0.5, unit='µm')}
    """
    found = {letter: _spacing(letter, *one) for letter, one in said.items() if letter in _SPACE + _TIME}
    return {letter: one for letter, one in found.items() if one is not None}


def _spacing(letter: str, size: Any, unit: Any) -> Spacing | None:
    units, base = (TIME_UNITS, "s") if letter in _TIME else (LENGTH_UNITS, "m")
    try:
        number = float(size)
    except (TypeError, ValueError, OverflowError, ArithmeticError):
        return None
    known = normalized(number, str(unit or ""), units)
    low, high = _PLAUSIBLE[base]
    if known is None or not low <= known[0] * factor(known[1], base) <= high:
        return None
    return Spacing(*known)


def as_read(axes: str, stored: str, spacing: Mapping[str, Spacing]) -> dict[str, Spacing]:
    """Return the spacing of axes as they are read, where a user may have named them otherwise.

    Sizes stay with their axis: where the first axis of a volume is to be Z, it has its own distances. Where
    a time becomes a depth or the reverse, what the file says of that letter holds, if anything.

    Parameters
    ----------
    axes, stored
        One letter per axis, as read and as the file has them.
    spacing
        By the letters of the file.

    Examples
    --------
    >>> sizes = usable({"X": (1, "mm"), "Y": (2, "mm"), "Z": (3, "mm")})
    >>> as_read("ZYX", "XYZ", sizes)["Z"], as_read("TYX", "ZYX", sizes).get("T")
    (Spacing(size=1.0, unit='mm'), None)
    """
    found = {}
    for letter, own in zip(axes, stored):
        here, elsewhere = spacing.get(own), None if letter in stored else spacing.get(letter)
        fits = letter in _SPACE + _TIME and here is not None and here.is_time == (letter in _TIME)
        if (one := here if fits else elsewhere) is not None:
            found[letter] = one
    return found


def even_interval(times: Sequence[float]) -> float | None:
    """Return the seconds from one frame to the next, if all are equally far apart; else None.

    Examples
    --------
    >>> even_interval([0, 0.033, 0.067, 0.1]), even_interval([0, 1, 5])
    (0.03333333333333333, None)
    """
    if len(times) < 2:
        return None
    steps = np.diff(np.asarray(times, np.float64))
    mean = float(times[-1] - times[0]) / len(steps)
    allowed = max(_JITTER * mean, _ROUNDING)
    even = math.isfinite(mean) and mean > 0 and bool((np.abs(steps - mean) <= allowed).all())
    return mean if even else None


def frame_interval(fps: float | None, timestamps: Sequence[float] | None) -> float | None:
    """Return the seconds between two frames of a film, if all are equally far apart.

    Examples
    --------
    >>> frame_interval(30, [0, 0.033, 0.067, 0.1]), frame_interval(1, [0, 1, 1.2])
    (0.03333333333333333, None)
    """
    rate = 1 / fps if fps else None
    if timestamps is None or len(timestamps) < 2:
        return rate
    mean = even_interval(timestamps)  # of times that a container may have rounded
    return rate if rate is not None and mean is not None and abs(rate - mean) <= _ROUNDING else mean
