"""Random outlines of objects, as soft masks in square coordinates of their own."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["SPRITE_SIDE", "blob", "box", "compound", "ellipse", "polygon", "ring"]

SPRITE_SIDE = 96
"""Side of an object's own canvas in pixels; its outline fills about three quarters of it."""

Alpha = NDArray[np.float32]

_AXIS = (np.arange(SPRITE_SIDE, dtype=np.float32) + 0.5) / SPRITE_SIDE * 2.6 - 1.3
_X, _Y = np.meshgrid(_AXIS, _AXIS)
_SHARPNESS = SPRITE_SIDE / 2.6


def _soft(signed_distance: NDArray[np.floating]) -> Alpha:
    """Turn a signed distance (positive inside, 1 = half the object) into coverage 0..1."""
    coverage: Alpha = np.clip(signed_distance * _SHARPNESS + 0.5, 0.0, 1.0).astype(np.float32)
    return coverage


def _rotated(rng: np.random.Generator) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    angle = rng.uniform(0, 2 * np.pi)
    return _X * np.cos(angle) + _Y * np.sin(angle), _Y * np.cos(angle) - _X * np.sin(angle)


def blob(rng: np.random.Generator, roughness: float = 0.35) -> Alpha:
    """Star-shaped outline from a few Fourier terms: cells, stones, leaves."""
    u, v = _rotated(rng)
    u = u * rng.uniform(1.0, 2.2)
    angles = np.linspace(-np.pi, np.pi, 181)
    radius = np.ones_like(angles)
    for order in range(2, 7):
        radius += roughness * rng.normal() / order * np.cos(order * angles + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.25, None)
    outline = np.interp(np.arctan2(v, u), angles, radius / radius.max())
    return _soft(outline - np.hypot(u, v))


def ellipse(rng: np.random.Generator, longest: float = 2.5) -> Alpha:
    """Disc or ellipse with an axis ratio up to ``longest``."""
    u, v = _rotated(rng)
    ratio = rng.uniform(1.0, longest)
    return _soft((1.0 - np.hypot(u, v * ratio)) / ratio)


def box(rng: np.random.Generator, longest: float = 4.0) -> Alpha:
    """Rectangle, upright half of the time, with corners sharp or rounded."""
    u, v = (_X, _Y) if rng.random() < 0.5 else _rotated(rng)
    if rng.random() < 0.5:
        u, v = v, u
    half_u, half_v = 0.9, 0.9 / rng.uniform(1.0, longest)
    corner = rng.choice([0.0, 0.3, 0.8]) * half_v
    du, dv = np.abs(u) - half_u + corner, np.abs(v) - half_v + corner
    outside = np.hypot(np.maximum(du, 0), np.maximum(dv, 0)) + np.minimum(np.maximum(du, dv), 0)
    return _soft(corner - outside)


def polygon(rng: np.random.Generator) -> Alpha:
    """Convex polygon of 3 to 6 corners, or a star."""
    u, v = _rotated(rng)
    corners = int(rng.integers(3, 7))
    turns = (np.arange(corners) + rng.uniform(-0.3, 0.3, corners)) * 2 * np.pi / corners
    if rng.random() < 0.75:
        sides = [
            rng.uniform(0.35, 0.75) - (u * np.cos(turn) + v * np.sin(turn)) * (1.0 if corners > 3 else 0.8)
            for turn in turns
        ]
        return _soft(np.min(sides, axis=0))
    spikes = 0.7 + rng.uniform(0.1, 0.3) * np.abs(((np.arctan2(v, u) / np.pi * corners) % 2) - 1)
    return _soft(spikes - np.hypot(u, v))


def ring(rng: np.random.Generator) -> Alpha:
    """Disc with a hole, or a crescent when the hole is off its center."""
    u, v = _rotated(rng)
    shift = rng.choice([0.0, rng.uniform(0.2, 0.8)])
    hole = rng.uniform(0.3, 0.65) - np.hypot(u - shift, v)
    return _soft(np.minimum(1.0 - np.hypot(u, v), -hole))


def compound(rng: np.random.Generator) -> list[Alpha]:
    """Parts of one object (a seat, a back, legs): thin and thick pieces that touch."""
    u, v = _rotated(rng) if rng.random() < 0.5 else (_X, _Y)
    parts = []
    x, y = 0.0, 0.0
    for _ in range(int(rng.integers(2, 7))):
        half = np.array([rng.uniform(0.25, 0.8), rng.uniform(0.07, 0.4)])
        if rng.random() < 0.5:
            half = half[::-1]
        distance = np.minimum(half[0] - np.abs(u - x), half[1] - np.abs(v - y))
        parts.append(_soft(np.minimum(distance, 1.2 - np.hypot(u, v))))
        x, y = np.clip([x + rng.choice([-1, 1]) * half[0], y + rng.choice([-1, 1]) * half[1]], -0.8, 0.8)
    return parts


ANY: tuple[Callable[[np.random.Generator], Alpha], ...] = (blob, blob, ellipse, box, polygon, ring)
"""Outlines for objects of no particular kind."""
