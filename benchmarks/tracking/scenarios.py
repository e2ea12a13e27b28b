"""Scenes in which objects are easily lost or exchanged, and real stacks with ground truth.

Every scene is a ``LabeledSequence`` whose objects are all prompted by their true masks on the first frame.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "review"))

from tracks import cells, chair, in_memory, lesion

from sam2_engine.evaluation import LabeledSequence
from sam2_engine.evaluation.metrics import mask_iou
from sam2_engine.synthetic.compositor import Motion, Sprite, compose
from sam2_engine.synthetic.styles.sprites import SPRITE_STYLES

SIDE = 256
"""Of the synthetic frames."""
OCCLUSIONS = (1, 8, 30, 60)
CROWDS = (2, 12, 50, 200)
"""More than twelve are drawn once."""
STYLES = ("things", "nuclei", "cells")
"""One after the other, seed by seed."""

REAL = {
    "cells": "usiigaci_T98G",
    "myoblasts": "c2c12_laptrack",
    "chair": "pumavos_chair",
    "lesion": "ct_lesion",
}

Path2d = Callable[[int], tuple[float, float]]


Scenes = Iterator[tuple[str, str, Callable[[], LabeledSequence]]]
"""Names of single scenes, their kinds, and how to make them."""


def synthetic(seeds: Iterable[int]) -> Scenes:
    """Yield scenes of all kinds."""
    for seed in seeds:
        yield f"crossing {seed}", "crossing", partial(crossing, seed)
        yield f"exits {seed}", "exits", partial(exits, seed)
        for length in OCCLUSIONS:
            yield f"occluded {length} {seed}", f"occluded {length}", partial(occlusion, seed, length)
        for count in CROWDS if seed == 0 else [count for count in CROWDS if count <= 12]:
            yield f"crowd {count} {seed}", f"crowd {count}", partial(crowd, seed, count)


def real(data: Path) -> Scenes:
    """Yield the real stacks."""
    for read in (lesion, chair, myoblasts, cells):
        name = REAL[read.__name__]
        yield name, name, partial(read, data)


def crossing(seed: int) -> LabeledSequence:
    """Pairs that look alike meet, the one in front of the other, and go on."""
    rng, background, images = _material(seed, 1)
    sprites = []
    for pair in range(2):
        row, half = SIDE * (0.25 + 0.5 * pair), SIDE * rng.uniform(0.1, 0.14)
        image, slope, meeting = images[pair % len(images)], rng.uniform(-0.3, 0.3), rng.uniform(15, 20)
        for side in (-1.0, 1.0):
            speed = side * SIDE * rng.uniform(0.016, 0.022)
            sprites.append((image, half, _straight(SIDE / 2, row, meeting, speed, side * slope)))
    return _rendered("crossing", seed, background, sprites, 36)


def turning(seed: int, nearest: float) -> LabeledSequence:
    """Pairs that look alike meet, and turn back so near to each other, in parts of their half side."""
    rng, background, images = _material(seed, 5)
    sprites = []
    for pair in range(2):
        row, half = SIDE * (0.25 + 0.5 * pair), SIDE * rng.uniform(0.1, 0.14)
        slope, meeting = rng.uniform(-0.3, 0.3), rng.uniform(15, 20)
        for side in (-1.0, 1.0):
            path = _turning(row, nearest * half, meeting, SIDE * rng.uniform(0.016, 0.022), side, slope)
            sprites.append((images[pair % len(images)], half, path))
    return _rendered("turning", seed, background, sprites, 36)


def occlusion(seed: int, length: int) -> LabeledSequence:
    """Things that move on unseen for some frames, while one that looks alike stays in view."""
    rng, background, images = _material(seed, 2)
    num_frames, sprites = 20 + length, []
    for number in range(3):
        x, y = SIDE * rng.uniform(0.15, 0.3), SIDE * (0.2 + 0.3 * number)
        half, speed = SIDE * rng.uniform(0.1, 0.13), SIDE * 0.5 / num_frames
        hidden = frozenset(range(8, 8 + length)) if number < 2 else frozenset()
        path = _straight(x, y, 0, speed, rng.uniform(-0.1, 0.1))
        sprites.append((images[0], half, path, hidden))
    return _rendered(f"occluded {length}", seed, background, sprites, num_frames)


def exits(seed: int) -> LabeledSequence:
    """Things that leave the frame and come back; one that looks alike enters where another left."""
    rng, background, images = _material(seed, 3)
    sprites = []
    for number in range(4):
        y, half, period = SIDE * (0.14 + 0.24 * number), SIDE * rng.uniform(0.09, 0.12), rng.uniform(30, 40)
        phase = rng.uniform(-0.4, 0.4)

        def path(t: int, y: float = y, period: float = period, phase: float = phase) -> tuple[float, float]:
            return SIDE * (0.55 + 0.62 * np.sin(2 * np.pi * t / period + phase)), y

        sprites.append((images[number // 2], half, path))
    return _rendered("exits", seed, background, sprites, 48)


def crowd(seed: int, count: int) -> LabeledSequence:
    """Many that look alike wander and touch."""
    rng, background, images = _material(seed, 4)
    per_row, num_frames = int(np.ceil(np.sqrt(count))), 24 if count < 20 else 12 if count <= 50 else 6
    spacing, sprites = SIDE / np.ceil(np.sqrt(count)), []
    half = min(spacing * 0.4, SIDE * 0.12)
    for number in range(count):
        home = (number % per_row + 0.5) * spacing, (number // per_row + 0.5) * spacing
        steps = np.cumsum(rng.normal(0, 0.12 * half, (num_frames, 2)) + rng.normal(0, 0.06 * half, 2), axis=0)
        places = np.clip(np.array(home) + steps, 4, SIDE - 4)
        sprites.append((images[0], half, lambda t, places=places: (places[t, 0], places[t, 1])))
    return _rendered(f"crowd {count}", seed, background, sprites, num_frames)


def myoblasts(data: Path) -> LabeledSequence:
    """Cells whose labels differ from frame to frame, joined by their overlap."""
    with np.load(data / "c2c12_laptrack" / "data_small.npz") as stack:
        frames, labels = stack["images"], stack["labels"].astype(np.int32)
    joined = [labels[0]]
    for image in labels[1:]:
        linked, known = np.zeros_like(image), joined[-1]
        for label in np.unique(image[image > 0]):
            mask = image == label
            ids, counts = np.unique(known[mask], return_counts=True)
            best = int(ids[counts.argmax()])
            if best and mask_iou(mask, known == best) > 0.4:
                linked[mask] = best
        joined.append(linked)
    return in_memory("c2c12_laptrack", frames, np.stack(joined))


def _material(seed: int, kind: int) -> tuple[np.random.Generator, NDArray[np.float32], list]:
    rng = np.random.default_rng([2**31 + 24, kind, seed])
    style = STYLES[seed % len(STYLES)]
    background, images, _ = SPRITE_STYLES[style](rng, int(SIDE * 1.25))
    return rng, background, images


def _straight(x: float, y: float, meeting: float, speed: float, slope: float) -> Path2d:
    return lambda t: (x + speed * (t - meeting), y + slope * speed * (t - meeting))


def _turning(row: float, nearest: float, meeting: float, speed: float, side: float, slope: float) -> Path2d:
    def path(t: int) -> tuple[float, float]:
        away = side * (nearest + speed * abs(t - meeting))
        return SIDE / 2 + away, row + slope * away

    return path


def _rendered(
    name: str, seed: int, background: NDArray[np.float32], sprites: list, num_frames: int
) -> LabeledSequence:
    """Draw sprites (image, half size, path and perhaps the frames on which they are hidden)."""
    rng = np.random.default_rng([2**31 + 25, seed])
    frames, labels = [], []
    for t in range(num_frames):
        there = [
            Sprite(image, Motion(path(t), half * 1.3, 0.02 * t), label)
            for label, (image, half, path, *hidden) in enumerate(sprites, start=1)
            if not hidden or t not in hidden[0]
        ]
        clip = compose(background, Motion((0.0, 0.0), 1.0), there, 1, SIDE)
        frames.append(clip.frames[0] + rng.normal(0, 0.02, clip.frames[0].shape))
        labels.append(clip.labels[0])
    pixels = (np.clip(frames, 0, 1) * 255).round().astype(np.uint8)
    return in_memory(f"{name} {seed}", pixels, np.stack(labels))
