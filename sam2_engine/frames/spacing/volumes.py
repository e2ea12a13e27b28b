"""Sizes in the headers of volumes that nibabel reads."""

from typing import Any

from sam2_engine.frames.spacing.values import Spacing, usable

__all__ = ["volume_spacing"]

_TIMES = {"sec": "s", "msec": "ms", "usec": "µs"}
_LENGTHS = {"meter": "m", "mm": "mm", "micron": "µm"}


def volume_spacing(volume: Any, letters: str) -> dict[str, Spacing]:
    """Return the sizes of voxels and the interval of a volume, by the letters of its axes.

    All formats but NIfTI are in millimeters. A NIfTI volume without a unit is, too, as every program takes
    it, unless its voxels have no size either: all 1 is what writers put where they know nothing.
    """
    try:
        zooms = [float(size) for size in volume.header.get_zooms()]
    except Exception:  # of any format's header
        return {}
    length, time = "mm", "ms" if type(volume).__name__ == "MGHImage" else ""
    if hasattr(volume.header, "get_xyzt_units"):
        try:
            space, clock = volume.header.get_xyzt_units()
        except KeyError:  # a code that stands for no unit
            space = clock = "unknown"
        spatial = [size for letter, size in zip(letters, zooms) if letter in "XYZ"]
        no_size = space == "unknown" and all(size == 1 for size in spatial)
        length = "" if no_size else _LENGTHS.get(space, "mm")
        time = _TIMES.get(clock, "")
    units = {letter: time if letter == "T" else length for letter in letters}
    return usable({letter: (size, units[letter]) for letter, size in zip(letters, zooms)})
