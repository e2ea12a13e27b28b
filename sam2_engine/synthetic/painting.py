"""Patch of a frame around one object, and textures that move with it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam2_engine.synthetic.textures import noise

__all__ = ["Field", "Grain", "Patch", "distance_within", "field_noise", "patch_around"]

Field = NDArray[np.float32]

_TILE = 320


@dataclass(frozen=True)
class Patch:
    """The part of a frame within reach of an object.

    Attributes
    ----------
    window
        Rows and columns of the frame.
    dx, dy
        (h, w) float32: pixels from the object's center.
    """

    window: tuple[slice, slice]
    dx: Field
    dy: Field

    def rotated(self, angle: float) -> tuple[Field, Field]:
        """Return the pixels' coordinates along and across a direction."""
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        return self.dx * cos + self.dy * sin, self.dy * cos - self.dx * sin


def patch_around(height: int, width: int, x: float, y: float, reach: float) -> Patch | None:
    """Return the pixels within ``reach`` of (x, y), or None if that lies outside of the frame."""
    left, right = max(int(x - reach), 0), min(int(x + reach) + 2, width)
    top, bottom = max(int(y - reach), 0), min(int(y + reach) + 2, height)
    if left >= right or top >= bottom:
        return None
    dy, dx = np.mgrid[top:bottom, left:right].astype(np.float32)
    return Patch((slice(top, bottom), slice(left, right)), dx - np.float32(x), dy - np.float32(y))


class Grain:
    """A random surface that objects take their texture from, each at an origin of its own.

    Parameters
    ----------
    rng
        Source of the surface.
    period
        Pixels per wave.
    """

    def __init__(self, rng: np.random.Generator, period: float) -> None:
        self.tile = noise(rng, _TILE, max(2, round(_TILE / period)))

    def at(self, u: Field, v: Field, origin: tuple[float, float]) -> Field:
        """Return the surface (mean 0, deviation 1) at an object's coordinates in pixels."""
        column, row = (_TILE * (0.3 + 0.4 * share) for share in origin)
        rows = np.clip(v + row, 0, _TILE - 1).astype(np.intp)
        result: Field = self.tile[rows, np.clip(u + column, 0, _TILE - 1).astype(np.intp)]
        return result


def field_noise(rng: np.random.Generator, height: int, width: int, waves: int, octaves: int = 2) -> Field:
    """Return smooth noise (height, width) of about mean 0 and deviation 1."""
    return noise(rng, max(height, width), waves, octaves)[:height, :width]


def distance_within(p: Field, q: Field, waves: NDArray[np.float64]) -> Field:
    """Return the distance from the center as a part of a wavy outline's: below 1 inside.

    Parameters
    ----------
    p, q
        Coordinates in which the outline without waves is the unit circle.
    waves
        (N, 2) cosine and sine parts of 2, 3, ... waves around the outline.
    """
    direction = np.arctan2(q, p)
    outline: Field = np.ones_like(p)
    for order, (cos, sin) in enumerate(waves, start=2):
        outline += np.float32(cos) * np.cos(order * direction) + np.float32(sin) * np.sin(order * direction)
    return np.asarray(np.hypot(p, q) / outline, dtype=np.float32)
