"""Physical sizes of pixels, planes and frame intervals."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sam2_engine.errors import InputError

__all__ = ["LENGTH_UNITS", "TIME_UNITS", "PhysicalScale", "known_unit", "udunits_name"]

_MICROMETER_NAMES = {"um", "micron", "microns", "micrometer", "micrometre", "\u03bcm"}
LENGTH_UNITS = {"nm": "nanometer", "µm": "micrometer", "mm": "millimeter", "cm": "centimeter", "m": "meter"}
TIME_UNITS = {"ms": "millisecond", "s": "second", "min": "minute", "h": "hour", "d": "day"}
"""Units of lengths and of times, and their names in UDUNITS-2."""
_UDUNITS = {**LENGTH_UNITS, **TIME_UNITS}


@dataclass(frozen=True)
class PhysicalScale:
    """Sizes of a stack in physical units; by default pixels and frames.

    Attributes
    ----------
    pixel_size
        Height and width of a pixel, ``(sy, sx)``, in ``unit``.
    unit
        Of lengths; ``"um"`` and the like become ``"µm"``.
    frame_interval
        From one frame to the next of a time-lapse, in ``time_unit``.
    time_unit
        Of times.
    plane_spacing
        From one plane to the next of a volume, in ``unit``.

    Raises
    ------
    InputError
        If a size is not a number above 0, or a unit is empty.

    Examples
    --------
    >>> scale = PhysicalScale((0.65, 0.65), "um", frame_interval=5, time_unit="min")
    >>> print(scale)
    pixels of 0.65 µm
    >>> scale.has_time
    True
    """

    pixel_size: tuple[float, float] = (1.0, 1.0)
    unit: str = "pixel"
    frame_interval: float = 1.0
    time_unit: str = "frame"
    plane_spacing: float = 1.0

    def __post_init__(self) -> None:
        sizes = {
            "height of a pixel": self.pixel_size[0],
            "width of a pixel": self.pixel_size[1],
            "time between two frames": self.frame_interval,
            "distance between two planes": self.plane_spacing,
        }
        for what, size in sizes.items():
            if not (math.isfinite(size) and size > 0):
                raise InputError(f"The {what} is a number above 0, not {size}.")
        if not self.unit.strip() or not self.time_unit.strip():
            raise InputError("A unit is missing; give one, for example µm and s.")
        if self.unit.strip().lower() in _MICROMETER_NAMES:
            object.__setattr__(self, "unit", "µm")

    def __str__(self) -> str:
        """Return the size of a pixel in words, ``pixels of 0.5 µm``; ``pixels`` if unknown."""
        height, width = self.pixel_size
        size = f"{width:g}" if height == width else f"{height:g} × {width:g}"
        return f"pixels of {size} {self.unit}" if self.is_physical else "pixels"

    @property
    def is_physical(self) -> bool:
        """Whether lengths are more than numbers of pixels."""
        return self.unit not in ("pixel", "pixels", "px")

    @property
    def has_time(self) -> bool:
        """Whether times are more than numbers of frames."""
        return self.time_unit not in ("frame", "frames")

    def filled(self, other: "PhysicalScale") -> "PhysicalScale":
        """Return this scale, with the lengths or times of another one where this has none."""
        lengths = self if self.is_physical else other
        times = self if self.has_time else other
        return PhysicalScale(
            lengths.pixel_size, lengths.unit, times.frame_interval, times.time_unit, lengths.plane_spacing
        )


def udunits_name(unit: str) -> str | None:
    """Return a unit's name in UDUNITS-2, which OME-Zarr and GEFF require; None for pixels and frames."""
    return unit if unit in _UDUNITS.values() else _UDUNITS.get(unit)


def known_unit(unit: str, units: Mapping[str, str]) -> str | None:
    """Return how one of ``LENGTH_UNITS`` or ``TIME_UNITS`` is written that somebody typed; None if unknown.

    Examples
    --------
    >>> known_unit("um", LENGTH_UNITS), known_unit("seconds", TIME_UNITS), known_unit("s", LENGTH_UNITS)
    ('µm', 's', None)
    """
    typed = unit.strip()
    if typed.lower() in _MICROMETER_NAMES:
        typed = "µm"
    name = typed.lower().removesuffix("s").replace("metre", "meter")
    return next((one for one, official in units.items() if typed == one or name == official), None)
