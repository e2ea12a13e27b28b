"""Sizes and geometry in the headers of volumes that nibabel reads."""

from typing import Any

import numpy as np

from sam2_engine.frames.axes import AxisPlan
from sam2_engine.frames.spacing.geometry import Geometry, vector
from sam2_engine.frames.spacing.values import Spacing, usable

__all__ = ["volume_geometry", "volume_spacing"]

_CODES = ("qform_code", "sform_code")
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


def volume_geometry(volume: Any, plan: AxisPlan) -> Geometry | None:
    """Return where the voxels lie of a volume whose axes are read by a plan; None where it does not say.

    A NIfTI volume says it by the code of its qform or sform.
    """
    letters = plan.axes[:3]
    header, affine = volume.header, getattr(volume, "affine", None)
    codes = [int(header[name]) for name in _CODES] if hasattr(header, "get_sform") else []
    if sorted(letters) != ["X", "Y", "Z"] or affine is None or not np.isfinite(affine).all():
        return None
    if codes and not any(codes):
        return None
    unit = "mm"
    if hasattr(header, "get_xyzt_units"):
        try:
            unit = _LENGTHS.get(header.get_xyzt_units()[0], "mm")
        except KeyError:  # a code that stands for no unit
            unit = "mm"
    in_lps = np.diag([-1.0, -1.0, 1.0]) @ np.asarray(affine, np.float64)[:3]
    steps = {letter: vector(in_lps[:, column]) for column, letter in enumerate(letters)}
    if abs(np.linalg.det(in_lps[:, :3])) == 0:
        return None
    return Geometry(vector(in_lps[:, 3]), steps, letters, unit).at(plan.fixed)
