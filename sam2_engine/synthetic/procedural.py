"""Procedural surfaces, without a photograph: clouds, marble, cells, mazes, wood, bricks, gradients."""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from sam2_engine.synthetic.textures import Texture, noise

__all__ = ["PATTERNS", "procedural_surface"]


def _grid(side: int) -> tuple[Texture, Texture]:
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    return x, y


def _clouds(rng: np.random.Generator, side: int) -> Texture:
    """Fractal noise, five octaves."""
    return noise(rng, side, int(rng.choice([2, 3, 5, 8, 16])), octaves=5)


def _marble(rng: np.random.Generator, side: int) -> Texture:
    """Waves across, bent by fractal noise."""
    x, y = _grid(side)
    angle, waves = rng.uniform(0, 2 * np.pi), rng.uniform(2, 16)
    across = waves * (x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi
    result: Texture = np.sin(across + rng.uniform(0.5, 4) * noise(rng, side, 4, 4)).astype(np.float32)
    return result


def _cells(rng: np.random.Generator, side: int) -> Texture:
    """Cells around random points (Worley 1996): distance, borders, or a tone for each."""
    count = int(np.exp(rng.uniform(np.log(8), np.log(250))))
    points = rng.random((count, 2))
    x, y = _grid(side)
    distance, number = cKDTree(points).query(np.stack((x, y), -1), k=2)
    kind = rng.integers(3)
    if kind == 0:
        field = distance[..., 0] * count**0.5 * 3 - 1
    elif kind == 1:
        field = np.where((distance[..., 1] - distance[..., 0]) * count**0.5 < 0.12, -1.5, 0.5)
    else:
        field = rng.normal(0, 1, count)[number[..., 0]]
    result: Texture = field.astype(np.float32)
    return result


def _reaction(rng: np.random.Generator, side: int) -> Texture:
    """Spots and mazes: what activates near and inhibits far settles like that (Turing 1952)."""
    small = 96
    field = rng.normal(0, 1, (small, small)).astype(np.float32)
    near = rng.uniform(1.0, 3.0)
    bias = rng.normal(0, 0.35)
    for _ in range(6):
        field = gaussian_filter(field, near, mode="wrap") - gaussian_filter(field, 1.8 * near, mode="wrap")
        field = np.tanh(2.5 * field / (field.std() + 1e-6) + bias)
    tiles = int(rng.integers(1, 3))
    index = np.arange(side) * small * tiles // side % small
    result: Texture = field[index[:, None], index[None]]
    return result


def _wood(rng: np.random.Generator, side: int) -> Texture:
    """Rings about an axis that is off the image, bent by noise."""
    x, y = _grid(side)
    radius = np.hypot((x - rng.normal(0.5, 0.8)) * rng.uniform(0.2, 1), y - rng.normal(0.5, 0.8))
    rings = radius * rng.uniform(8, 40) + 0.6 * noise(rng, side, 3, 3)
    result: Texture = (2 * (rings % 1) - 1).astype(np.float32)
    return result


def _bricks(rng: np.random.Generator, side: int) -> Texture:
    """Bricks, tiles or a chessboard."""
    x, y = _grid(side)
    rows, aspect = rng.uniform(2, 14), rng.choice([1.0, 1.0, 2.0, 3.0])
    row = np.floor(y * rows)
    column = x * rows / aspect + 0.5 * (row % 2) * (rng.random() < 0.6)
    tone = rng.normal(0, 1, 4096)[((row * 57 + np.floor(column) * 13).astype(np.intp)) % 4096]
    if rng.random() < 0.3:
        tone = 2.0 * ((row + np.floor(column)) % 2) - 1
    gap = rng.uniform(0.03, 0.12)
    joint = ((y * rows) % 1 < gap) | (column % 1 < gap / aspect)
    result: Texture = np.where(joint, -1.5, 0.6 * tone + 0.3 * noise(rng, side, 24)).astype(np.float32)
    return result


def _gradient(rng: np.random.Generator, side: int) -> Texture:
    """A gradient from one side, or from a point."""
    x, y = _grid(side)
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        field = 2.5 * ((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle))
    else:
        field = 2.5 * np.hypot(x - rng.random(), y - rng.random()) - 1
    result: Texture = field.astype(np.float32)
    return result


PATTERNS: dict[str, Callable[[np.random.Generator, int], Texture]] = {
    "clouds": _clouds,
    "marble": _marble,
    "cells": _cells,
    "reaction": _reaction,
    "wood": _wood,
    "bricks": _bricks,
    "gradient": _gradient,
}
"""Each draws a pattern ``(side, side)`` of about mean 0 and deviation 1."""


def procedural_surface(rng: np.random.Generator, side: int) -> Texture:
    """Draw a surface ``(side, side, 3)`` in 0..1: a pattern of two colors or more, or two patterns."""
    names = list(PATTERNS)
    pattern = PATTERNS[names[int(rng.integers(len(names)))]](rng, side)
    stops = rng.uniform(0, 1, (int(rng.integers(2, 5)), 3))
    if rng.random() < 0.4:
        stops = stops.mean(0) + rng.uniform(0.2, 0.9) * (stops - stops.mean(0))
    if rng.random() < 0.6:
        stops = stops.mean(1, keepdims=True) + rng.uniform(0, 0.5) * (stops - stops.mean(1, keepdims=True))
    place = np.clip(pattern * rng.uniform(0.2, 0.5) + 0.5, 0, 1)
    ticks = np.linspace(0, 1, len(stops))
    color = np.stack([np.interp(place, ticks, stops[:, channel]) for channel in range(3)], -1)
    if rng.random() < 0.4:
        other = PATTERNS[names[int(rng.integers(len(names)))]](rng, side)
        color = color + rng.normal(0, 0.12, 3) * other[..., None]
    result: Texture = np.clip(color, 0, 1).astype(np.float32)
    return result
