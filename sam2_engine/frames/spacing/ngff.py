"""Sizes in an OME-Zarr image: units of its axes, and the scales of an image and of its levels."""

import math
from collections.abc import Mapping
from typing import Any

from sam2_engine.frames.spacing.values import Spacing, usable

__all__ = ["ngff_spacing"]


def ngff_spacing(multiscale: Mapping[str, Any], level: int, letters: str) -> dict[str, Spacing]:
    """Return the spacing of one level, by the letters of its axes; nothing where there is no unit.

    Parameters
    ----------
    multiscale
        What NGFF says of an image and its levels.
    level
        Number of the level.
    letters
        One for each axis.
    """
    try:
        units = [axis.get("unit") for axis in multiscale["axes"]]
        steps = [
            *(multiscale.get("coordinateTransformations") or ()),
            *(multiscale["datasets"][level].get("coordinateTransformations") or ()),
        ]
        scales = [step["scale"] for step in steps if step["type"] == "scale"]
        sizes = [math.prod(float(scale[axis]) for scale in scales) for axis in range(len(letters))]
    except (LookupError, TypeError, ValueError, AttributeError):  # versions before 0.4, or damaged
        return {}
    said = dict(zip(letters, zip(sizes, units)))
    return usable(said) if scales else {}
