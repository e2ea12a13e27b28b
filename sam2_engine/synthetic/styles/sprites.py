"""Sprites and backgrounds: flat shapes, textured things, nuclei, cells, coin-like discs."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, sobel

from sam2_engine.synthetic.outlines import ANY, SPRITE_SIDE, blob, box, compound, ellipse
from sam2_engine.synthetic.textures import noise, photo_crop, surface

__all__ = ["SPRITE_STYLES", "Layout", "things"]

Image = NDArray[np.float32]
Layout = tuple[Image, list[Image], tuple[float, float]]
"""Background, sprites, and the range of the objects' half sizes as parts of the frame."""


def _sprite(color: Image, coverage: Image, opacity: Image | None = None) -> Image:
    """Join a surface (P, P, 3), the object's coverage and, if it differs, what is drawn."""
    drawn = coverage if opacity is None else opacity
    return np.concatenate((color, drawn[..., None], coverage[..., None]), -1).astype(np.float32)


def _plain(color: NDArray[np.floating]) -> Image:
    return np.broadcast_to(color.astype(np.float32), (SPRITE_SIDE, SPRITE_SIDE, 3))


def _shapes(rng: np.random.Generator, side: int) -> Layout:
    base = np.full(3, rng.uniform(0, 1)) if rng.random() < 0.5 else rng.uniform(0, 1, 3)
    background = np.broadcast_to(base.astype(np.float32), (side, side, 3)).copy()
    if rng.random() < 0.3:
        background += np.linspace(-0.15, 0.15, side, dtype=np.float32)[:, None, None] * rng.normal(0, 1, 3)
    sprites = []
    for _ in range(5):
        color = rng.uniform(0, 1, 3)
        while np.abs(color - base).max() < 0.12:
            color = rng.uniform(0, 1, 3)
        outline = (ellipse, box, ANY[int(rng.integers(len(ANY)))])[int(rng.integers(3))]
        sprites.append(_sprite(_plain(color), outline(rng)))
    return np.clip(background, 0, 1).astype(np.float32), sprites, (0.05, 0.4)


def things(rng: np.random.Generator, side: int) -> Layout:
    """Draw textured and compound objects over a photograph or a surface."""
    background = photo_crop(rng, side) if rng.random() < 0.6 else surface(rng, side)
    sprites = []
    for _ in range(4):
        if rng.random() < 0.4:
            parts = compound(rng)
            color, coverage = surface(rng, SPRITE_SIDE), np.zeros((SPRITE_SIDE, SPRITE_SIDE), np.float32)
            for part in parts:
                tone = surface(rng, SPRITE_SIDE) if rng.random() < 0.5 else color * rng.uniform(0.5, 1.4)
                color = np.where(part[..., None] > 0.5, tone, color)
                coverage = np.maximum(coverage, part)
        else:
            color, coverage = surface(rng, SPRITE_SIDE), ANY[int(rng.integers(len(ANY)))](rng)
        shade = np.linspace(rng.uniform(0.5, 1), rng.uniform(0.8, 1.3), SPRITE_SIDE)[:, None, None]
        sprites.append(_sprite(np.clip(color * shade, 0, 1), coverage))
    return background, sprites, (0.05, 0.35)


def _nuclei(rng: np.random.Generator, side: int) -> Layout:
    dark = rng.uniform(0.0, 0.15)
    background = dark + 0.02 * noise(rng, side, 3)[..., None].repeat(3, -1)
    sprites = []
    for _ in range(6):
        light = dark + rng.uniform(0.05, 0.75)
        grain = light * (1 + rng.uniform(0, 0.25) * noise(rng, SPRITE_SIDE, int(rng.choice([4, 8, 16]))))
        coverage = blob(rng, 0.12)
        sprites.append(
            _sprite(np.clip(grain, 0, 1)[..., None].repeat(3, -1), coverage, gaussian_filter(coverage, 2.5))
        )
    return np.clip(background, 0, 1).astype(np.float32), sprites, (0.02, 0.12)


def _cells(rng: np.random.Generator, side: int) -> Layout:
    gray = rng.uniform(0.3, 0.6)
    field = (
        gray + rng.uniform(0.005, 0.03) * noise(rng, side, 4) + rng.uniform(0, 0.03) * noise(rng, side, 48, 2)
    )
    sprites = []
    for _ in range(6):
        coverage = blob(rng, rng.uniform(0.1, 0.6))
        wide = gaussian_filter(coverage, rng.uniform(1.5, 6))
        halo = np.clip(wide * 2.0, 0, 1) * (1 - coverage) * rng.uniform(0.0, 0.35)
        inner = rng.uniform(-0.15, 0.15) + rng.uniform(0.02, 0.12) * noise(
            rng, SPRITE_SIDE, int(rng.choice([4, 8, 16]))
        )
        inner += rng.uniform(0, 0.3) * gaussian_filter(blob(rng, 0.1), 4) * (rng.random() < 0.4)
        tone = gray + coverage * inner + halo - rng.uniform(0, 0.2) * coverage * (1 - wide)
        opacity = np.clip(gaussian_filter(coverage, 1.0) + np.clip(wide * 2.0, 0, 1), 0, 1)
        sprites.append(_sprite(np.clip(tone, 0, 1)[..., None].repeat(3, -1), coverage, opacity))
    return np.clip(field, 0, 1)[..., None].repeat(3, -1).astype(np.float32), sprites, (0.03, 0.22)


def _discs(rng: np.random.Generator, side: int) -> Layout:
    slope = np.linspace(-1, 1, side, dtype=np.float32)
    field = rng.uniform(0.15, 0.6) + 0.12 * (rng.normal() * slope[:, None] + rng.normal() * slope)
    field = field + rng.uniform(0.01, 0.06) * noise(rng, side, 24)
    sprites = []
    for _ in range(6):
        relief = sobel(noise(rng, SPRITE_SIDE, int(rng.choice([4, 8]))), axis=int(rng.integers(2)))
        tone = rng.uniform(0.3, 0.8) + rng.uniform(0.05, 0.25) * relief / (relief.std() + 1e-6)
        coverage = ellipse(rng, 1.3)
        rim = coverage - gaussian_filter(coverage, 3.0)
        tone = tone + rng.uniform(-0.6, 0.6) * rim
        sprites.append(_sprite(np.clip(tone, 0, 1)[..., None].repeat(3, -1), coverage))
    return np.clip(field, 0, 1)[..., None].repeat(3, -1).astype(np.float32), sprites, (0.06, 0.2)


SPRITE_STYLES: dict[str, Callable[[np.random.Generator, int], Layout]] = {
    "shapes": _shapes,
    "things": things,
    "nuclei": _nuclei,
    "cells": _cells,
    "discs": _discs,
}
"""One drawing function per style; it takes a random generator and the side of the background."""
