"""Coordinates as fractions of width and height (the official ``normalize_coords=False``)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["in_pixels"]


def in_pixels(value: ArrayLike | None, size: tuple[int, int]) -> NDArray[np.float32] | None:
    """Turn fractions of width and height into pixels; the last axis holds x, y or x, y, x, y."""
    if value is None:
        return None
    fractions = np.asarray(value, dtype=np.float32)
    scale = np.array([size[1], size[0]], dtype=np.float32)
    return (fractions.reshape(-1, 2) * scale).reshape(fractions.shape)
