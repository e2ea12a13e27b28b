"""Units of lengths and of times: how they are written, and how large they are."""

import re
from collections.abc import Mapping

__all__ = ["LENGTH_UNITS", "TIME_UNITS", "factor", "known_unit", "normalized", "udunits_name"]

LENGTH_UNITS = {"nm": "nanometer", "µm": "micrometer", "mm": "millimeter", "cm": "centimeter", "m": "meter"}
TIME_UNITS = {"ms": "millisecond", "s": "second", "min": "minute", "h": "hour", "d": "day"}
"""Units of lengths and of times, and their names in UDUNITS-2."""

_UDUNITS = {**LENGTH_UNITS, **TIME_UNITS}
_MICROMETER_NAMES = {"um", "micron", "microns", "micrometer", "micrometre", "\u03bcm"}
_BASE = {
    **{"nm": 1e-9, "µm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0},
    **{"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0},
}
"""Each unit in meters or in seconds."""

_ELSEWHERE = {
    **{"pm": (1e-3, "nm"), "picometer": (1e-3, "nm"), "a": (0.1, "nm"), "å": (0.1, "nm")},
    **{"angstrom": (0.1, "nm"), "in": (25.4, "mm"), "inch": (25.4, "mm"), "inche": (25.4, "mm")},
    **{"km": (1e3, "m"), "kilometer": (1e3, "m"), "meter": (1.0, "m")},
    **{"ns": (1e-6, "ms"), "nanosecond": (1e-6, "ms"), "us": (1e-3, "ms"), "µs": (1e-3, "ms")},
    **{"\u03bcs": (1e-3, "ms"), "usec": (1e-3, "ms"), "microsecond": (1e-3, "ms")},
    **{"msec": (1.0, "ms"), "sec": (1.0, "s"), "hr": (1.0, "h"), "hour": (1.0, "h")},
}
"""Units of files that are none of those above, in one of them, by their lower-case names in the singular."""
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


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
    name = _singular(typed)
    return next((one for one, official in units.items() if typed == one or name == official), None)


def normalized(size: float, unit: str, units: Mapping[str, str]) -> tuple[float, str] | None:
    r"""Return a size in one of ``units``, whatever unit a file has it in; None if that is none of them.

    Examples
    --------
    >>> normalized(0.5, "\\u00B5m", LENGTH_UNITS), normalized(2.0, "sec", TIME_UNITS)
    ((0.5, 'µm'), (2.0, 's'))
    >>> normalized(1.0, "inch", LENGTH_UNITS), normalized(1.0, "pixel", LENGTH_UNITS)
    ((25.4, 'mm'), None)
    """
    text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), unit).strip(" \0")
    if (known := known_unit(text, units)) is not None:
        return size, known
    times, other = _ELSEWHERE.get(text.lower()) or _ELSEWHERE.get(_singular(text), (1.0, ""))
    return (size * times, other) if other in units else None


def factor(unit: str, to: str) -> float:
    """Return how many of one unit another one is.

    Examples
    --------
    >>> factor("mm", "µm")
    1000.0
    """
    return float(f"{_BASE[unit] / _BASE[to]:.12g}")


def udunits_name(unit: str) -> str | None:
    """Return a unit's name in UDUNITS-2, which OME-Zarr and GEFF require; None for pixels and frames."""
    return unit if unit in _UDUNITS.values() else _UDUNITS.get(unit)


def _singular(unit: str) -> str:
    return unit.lower().removesuffix("s").replace("metre", "meter")
