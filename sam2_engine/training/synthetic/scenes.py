"""Endless labelled scenes: flat shapes, textured things, nuclei, phase-contrast cells, coin-like discs."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, sobel

from sam2_engine.training.synthetic.compositor import Clip, Motion, Sprite, compose
from sam2_engine.training.synthetic.outlines import ANY, SPRITE_SIDE, assembled, blob, box, ellipse
from sam2_engine.training.synthetic.textures import noise, photo_crop, surface

__all__ = ["STYLES", "random_scene"]

Image = NDArray[np.float32]
Layout = tuple[Image, list[Image], tuple[float, float]]
"""Background, sprites, and the range of the objects' half sizes as parts of the frame."""


def random_scene(
    seed: int | list[int], num_frames: int = 1, size: int = 256, style: str | None = None
) -> Clip:
    """Render the scene of a seed.

    Parameters
    ----------
    seed
        Seed of everything random in the scene.
    num_frames
        1 for a still.
    size
        Side in pixels.
    style
        A key of ``STYLES``; drawn if None, with more textured things in clips.

    Returns
    -------
    Clip
        Frames and the labels of what is visible.
    """
    rng = np.random.default_rng(seed)
    if style is None:
        weights = [0.35, 0.25, 0.1, 0.2, 0.1] if num_frames == 1 else [0.15, 0.65, 0.05, 0.1, 0.05]
        style = str(rng.choice(list(STYLES), p=weights))
    side = int(size * 1.25)
    background, pictures, (smallest, largest) = STYLES[style](rng, side)
    crowd = _CROWDS[style]
    count = int(rng.integers(crowd[0], crowd[1] + 1))
    scale = np.exp(rng.uniform(np.log(smallest), np.log(largest))) * size
    pace = rng.choice([0.3, 1.0, 2.0])
    sprites = []
    for label in range(1, count + 1):
        pixels = pictures[int(rng.integers(len(pictures)))]
        half = min(scale * np.exp(rng.normal(0, 0.3)), largest * size)
        motion = _wander(rng, size, half, pace, still=num_frames == 1)
        if style == "things" and num_frames > 1 and rng.random() < 0.5:
            motion = replace(
                motion, facing=rng.uniform(0, 2 * np.pi), turning=rng.normal(0, 0.3 * pace), angle=0.0
            )
        hidden = (
            frozenset({int(rng.integers(1, num_frames))})
            if num_frames > 1 and rng.random() < 0.08
            else frozenset()
        )
        sprites.append(Sprite(pixels, motion, label, hidden))
    sprites = _keep_apart(sprites, 0.55 if style in ("nuclei", "cells", "discs") else 0.3)
    clip = compose(background, _camera(rng, pace), sprites, num_frames, size)
    return replace(clip, frames=_expose(rng, clip.frames, clean=style == "shapes" and rng.random() < 0.6))


def _wander(rng: np.random.Generator, size: int, half: float, pace: float, still: bool) -> Motion:
    x, y = rng.uniform(0.02, 0.98, 2) * size
    motion = Motion((x, y), half * 1.3, rng.uniform(0, 2 * np.pi), wobble=max(0.0, rng.normal(0, 0.05)))
    if still:
        return motion
    vx, vy = rng.normal(0, 0.015 * size * pace, 2)
    return replace(
        motion,
        velocity=(vx, vy),
        growth=rng.normal(0, 0.02 * pace),
        spin=rng.normal(0, 0.06 * pace),
        phase=rng.normal(0, 0.6 * pace),
    )


def _camera(rng: np.random.Generator, pace: float) -> Motion:
    vx, vy = rng.normal(0, 3.0 * pace, 2)
    return Motion((0.0, 0.0), 1.0, 0.0, (vx, vy), rng.normal(0, 0.01 * pace), rng.normal(0, 0.015 * pace))


def _keep_apart(sprites: list[Sprite], share: float) -> list[Sprite]:
    """Leave out sprites that lie too much on top of an earlier one (``share`` of the sum of their sizes)."""
    kept: list[Sprite] = []
    for sprite in sprites:
        x, y, half, _ = sprite.motion.at(0)
        others = (other.motion.at(0) for other in kept)
        if all(np.hypot(x - ox, y - oy) > share * (half + oh) for ox, oy, oh, _ in others):
            kept.append(sprite)
    return kept


def _expose(rng: np.random.Generator, frames: Image, clean: bool) -> Image:
    """Blur, gain and noise of a camera; ``clean`` for drawings."""
    if clean:
        return frames
    if rng.random() < 0.4:
        blur = rng.uniform(0.4, 1.6)
        frames = gaussian_filter(frames, (0, blur, blur, 0))
    if len(frames) > 1:
        frames = frames * (1 + 0.03 * rng.standard_normal((len(frames), 1, 1, 1), dtype=np.float32))
    strength = abs(rng.normal(0, 0.03))
    channels = 3 if rng.random() < 0.5 else 1
    grain = rng.standard_normal((*frames.shape[:3], channels), dtype=np.float32) * strength
    return np.clip(frames + grain, 0, 1).astype(np.float32)


def _sprite(colour: Image, coverage: Image, opacity: Image | None = None) -> Image:
    """Join a surface (P, P, 3), the object's coverage and, if it differs, what is drawn."""
    drawn = coverage if opacity is None else opacity
    return np.concatenate((colour, drawn[..., None], coverage[..., None]), -1).astype(np.float32)


def _plain(colour: NDArray[np.floating]) -> Image:
    return np.broadcast_to(colour.astype(np.float32), (SPRITE_SIDE, SPRITE_SIDE, 3))


def _shapes(rng: np.random.Generator, side: int) -> Layout:
    base = np.full(3, rng.uniform(0, 1)) if rng.random() < 0.5 else rng.uniform(0, 1, 3)
    background = np.broadcast_to(base.astype(np.float32), (side, side, 3)).copy()
    if rng.random() < 0.3:
        background += np.linspace(-0.15, 0.15, side, dtype=np.float32)[:, None, None] * rng.normal(0, 1, 3)
    sprites = []
    for _ in range(5):
        colour = rng.uniform(0, 1, 3)
        while np.abs(colour - base).max() < 0.12:
            colour = rng.uniform(0, 1, 3)
        outline = (ellipse, box, ANY[int(rng.integers(len(ANY)))])[int(rng.integers(3))]
        sprites.append(_sprite(_plain(colour), outline(rng)))
    return np.clip(background, 0, 1).astype(np.float32), sprites, (0.05, 0.4)


def _things(rng: np.random.Generator, side: int) -> Layout:
    background = photo_crop(rng, side) if rng.random() < 0.6 else surface(rng, side)
    sprites = []
    for _ in range(4):
        if rng.random() < 0.4:
            parts = assembled(rng)
            colour, coverage = surface(rng, SPRITE_SIDE), np.zeros((SPRITE_SIDE, SPRITE_SIDE), np.float32)
            for part in parts:
                tone = surface(rng, SPRITE_SIDE) if rng.random() < 0.5 else colour * rng.uniform(0.5, 1.4)
                colour = np.where(part[..., None] > 0.5, tone, colour)
                coverage = np.maximum(coverage, part)
        else:
            colour, coverage = surface(rng, SPRITE_SIDE), ANY[int(rng.integers(len(ANY)))](rng)
        shade = np.linspace(rng.uniform(0.5, 1), rng.uniform(0.8, 1.3), SPRITE_SIDE)[:, None, None]
        sprites.append(_sprite(np.clip(colour * shade, 0, 1), coverage))
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
    grey = rng.uniform(0.3, 0.6)
    field = (
        grey + rng.uniform(0.005, 0.03) * noise(rng, side, 4) + rng.uniform(0, 0.03) * noise(rng, side, 48, 2)
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
        tone = grey + coverage * inner + halo - rng.uniform(0, 0.2) * coverage * (1 - wide)
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


STYLES: dict[str, Callable[[np.random.Generator, int], Layout]] = {
    "shapes": _shapes,
    "things": _things,
    "nuclei": _nuclei,
    "cells": _cells,
    "discs": _discs,
}
"""One painter per kind of scene."""

_CROWDS = {"shapes": (2, 7), "things": (2, 7), "nuclei": (6, 24), "cells": (5, 16), "discs": (4, 14)}
