"""Likeness of two views of a stack: whole frames, or the surroundings of an object."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["correlation", "gray_levels"]


def gray_levels(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return an (H, W) or (H, W, C) image as (H, W) gray levels; what is not finite is 0 or very large."""
    gray = np.nan_to_num(np.asarray(image, np.float64))
    return gray.mean(-1) if gray.ndim == 3 else gray


def correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the correlation of two views, 0..1; of flat ones whether they are the same.

    Examples
    --------
    >>> correlation(np.eye(3), 2 * np.eye(3)), correlation(np.eye(3), np.zeros((3, 3)))
    (1.0, 0.0)
    """
    spread = float(one.std() * other.std())
    if not np.isfinite(spread) or spread == 0:
        return float(np.array_equal(one, other))
    return min(max(float(((one - one.mean()) * (other - other.mean())).mean()) / spread, 0.0), 1.0)
