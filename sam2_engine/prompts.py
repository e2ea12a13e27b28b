"""Prompts as validated values: points, a box, a mask, in the pixels of the frame they are placed on.

Coordinates are ``(x, y)`` with pixel centers at integers. A box is the inclusive pixel indices of
its first and last column and row.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam2_engine.errors import InputError

__all__ = ["Box", "Mask", "Points"]


def _finite(values: ArrayLike, what: str) -> NDArray[np.float32]:
    try:
        array = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError):
        raise InputError(f"{what} must be numbers, not {values!r}.") from None
    if not np.isfinite(array).all():
        raise InputError(f"{what} must be finite numbers, not {array.tolist()}.")
    return array


@dataclass(frozen=True, eq=False)
class Points:
    """Clicks on one frame.

    Attributes
    ----------
    coordinates
        ``(N, 2)`` float32, ``(x, y)`` in pixels.
    labels
        ``(N,)`` int32, 1 inside the object, 0 outside of it.
    """

    coordinates: NDArray[np.float32]
    labels: NDArray[np.int32]

    @classmethod
    def of(cls, points: ArrayLike, labels: ArrayLike | None, shape: tuple[int, int]) -> "Points":
        """Validate clicks for a frame of ``shape`` (H, W); ``labels=None`` means all inside.

        Raises
        ------
        InputError
            If the numbers do not form N points, a label is neither 0 nor 1, or a point lies outside.
        """
        coordinates = _finite(points, "Point coordinates")
        if coordinates.ndim == 1 and coordinates.size == 2:
            coordinates = coordinates[None]
        if coordinates.ndim != 2 or coordinates.shape[1] != 2 or not len(coordinates):
            raise InputError(
                f"Points must be a list of (x, y) pairs, not an array of shape {coordinates.shape}."
            )
        values: Any = (
            np.ones(len(coordinates)) if labels is None else _finite(labels, "Point labels").reshape(-1)
        )
        if len(values) != len(coordinates):
            raise InputError(
                f"There are {len(coordinates)} points but {len(values)} labels; give one label per point."
            )
        if not np.isin(values, (0, 1)).all():
            raise InputError(
                f"A point's label is 1 (inside the object) or 0 (outside), not {values.tolist()}."
            )
        height, width = shape
        x, y = coordinates.T
        outside = (x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5)
        if outside.any():
            first = coordinates[outside][0]
            raise InputError(
                f"The point ({first[0]:g}, {first[1]:g}) lies outside the frame, "
                f"which is {width} wide and {height} high."
            )
        return cls(coordinates, values.astype(np.int32))


@dataclass(frozen=True)
class Box:
    """A box on one frame: inclusive pixel indices of the first and last column and row."""

    x0: float
    y0: float
    x1: float
    y1: float

    @classmethod
    def of(cls, box: ArrayLike, shape: tuple[int, int]) -> "Box":
        """Validate ``(x0, y0, x1, y1)`` for a frame of ``shape`` (H, W); parts outside are cut off.

        Raises
        ------
        InputError
            If there are not four numbers, the box has no area, or lies wholly outside.
        """
        values = _finite(box, "Box coordinates").reshape(-1)
        if values.size != 4:
            raise InputError(f"A box is (x0, y0, x1, y1), not {values.size} numbers.")
        x0, y0, x1, y1 = (float(v) for v in values)
        if x1 <= x0 or y1 <= y0:
            raise InputError(
                f"The box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) has no area: x1 must exceed x0, and y1 exceed y0."
            )
        height, width = shape
        if x0 > width - 0.5 or y0 > height - 0.5 or x1 < -0.5 or y1 < -0.5:
            raise InputError(
                f"The box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) lies outside the frame, "
                f"which is {width} wide and {height} high."
            )
        return cls(max(x0, -0.5), max(y0, -0.5), min(x1, width - 0.5), min(y1, height - 0.5))

    @property
    def corners(self) -> NDArray[np.float32]:
        """``(2, 2)`` float32: top left and bottom right ``(x, y)``."""
        return np.array([[self.x0, self.y0], [self.x1, self.y1]], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Mask:
    """A mask of one object on one frame, ``(H, W)`` bool."""

    pixels: NDArray[np.bool_]

    @classmethod
    def of(cls, mask: ArrayLike, shape: tuple[int, int]) -> "Mask":
        """Validate a mask for a frame of ``shape`` (H, W); any non-zero value is inside.

        Raises
        ------
        InputError
            If the mask has another shape than the frame.
        """
        pixels = np.asarray(mask)
        if pixels.shape != shape:
            raise InputError(f"The mask has shape {pixels.shape}, but the frame has {shape} (height, width).")
        return cls(np.ascontiguousarray(pixels != 0))
