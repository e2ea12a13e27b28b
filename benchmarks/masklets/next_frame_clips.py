"""Clips of one object each, on which rules of which frame is next are compared: real ones and drawn ones."""

import random
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

import numpy as np

BENCHMARKS = Path(__file__).parents[1]
sys.path += [str(BENCHMARKS / "review")]

from tracks import cells, chair, in_memory, lesion  # noqa: E402

from sam2_engine.evaluation import LabeledSequence  # noqa: E402
from sam2_engine.evaluation.metrics import mask_iou  # noqa: E402
from sam2_engine.synthetic.scenes import random_scene  # noqa: E402

FRAMES, SIZE = 20, 320
SMALLEST = 64
"""Objects of fewer pixels on their first frame are left out."""
AROUND = 400
"""Side of the part of T98G around each of its cells."""
TEST_SEED, FIT_SEED = 2**31 + 405, 2**31 + 402
"""Scenes of [seed, n], which no other benchmark and no training draws; nothing was chosen by the first."""
CELL_STYLES = ("phase_contrast", "dividing_nuclei", "membranes", "cells", "bacteria", "nuclei")
THING_STYLES = ("things", "textured_objects", "organs", "shapes", "turning_solids", "things")
FAR_APART = (
    *(("phase_contrast", 4), ("cells", 3), ("phase_contrast", 6)),
    *(("dividing_nuclei", 4), ("membranes", 4), ("nuclei", 3)),
)
"""Styles of which only every third to sixth frame is seen, as in a time-lapse."""
FIT_FIRST = 300
SCENES = 4
"""Scenes of each style."""

Clip = tuple[str, Callable[[], LabeledSequence]]


def clips(data: Path, fit: bool) -> dict[str, list[Clip]]:
    """Return by set: clips with names, in an order by chance, so that the first ones stand for all."""
    drawn = {
        "synthetic cells": drawn_clips(CELL_STYLES, 0, fit),
        "synthetic things": drawn_clips(THING_STYLES, 40, fit),
    }
    if fit:
        sets = {
            "c2c12": [(f"c2c12-{n}", partial(linked, data, n)) for n in range(3)],
            "ct_lesion": [("lesion", lambda: part(lesion(data), slice(5, 12)))],
            **drawn,
            "synthetic cells, far apart": [
                (f"{FIT_SEED}-{n}-{style}", partial(scene, FIT_SEED, n, style, 8, every))
                for n, (style, every) in enumerate(FAR_APART * SCENES, FIT_FIRST + 80)
            ],
        }
    else:
        sets = {
            "pumavos_chair": [
                (f"chair-{start}", lambda start=start: part(chair(data), slice(start, start + FRAMES)))
                for start in range(0, 41, 8)
            ],
            "usiigaci_T98G": list(cells_alone(data)),
            **drawn,
        }
    chance = random.Random(0)
    for listed in sets.values():
        chance.shuffle(listed)
    return sets


def drawn_clips(styles: tuple[str, ...], first: int, fit: bool) -> list[Clip]:
    seed, first = (FIT_SEED, FIT_FIRST + first) if fit else (TEST_SEED, first)
    return [
        (f"{seed}-{n}-{style}", partial(scene, seed, n, style))
        for n, style in enumerate(styles * SCENES, first)
    ]


def scene(seed: int, number: int, style: str, frames: int = FRAMES, every: int = 1) -> LabeledSequence:
    """Return a scene, or some of its frames, with the first of its objects that is large enough."""
    clip = random_scene([seed, number], frames * every, SIZE, style)
    pixels = (np.clip(clip.frames[::every], 0, 1) * 255).round().astype(np.uint8)
    labels = clip.labels[::every]
    areas = np.bincount(labels[0].ravel())
    large = [one for one in np.flatnonzero(areas >= SMALLEST) if one]
    return in_memory(style, pixels, labels * np.isin(labels, large[:1]))


def part(
    sequence: LabeledSequence,
    frames: slice = slice(None),
    corner: tuple[int, int] = (0, 0),
    side: int | None = None,
    only: int | None = None,
) -> LabeledSequence:
    """Return some frames of a sequence, a square of each, and one or all of its objects."""
    numbers = range(len(sequence.frames))[frames]
    rows, columns = (slice(at, None if side is None else at + side) for at in corner)
    pixels = np.stack([sequence.frames[f][rows, columns] for f in numbers])
    labels = np.zeros(pixels.shape[:3], np.int32)
    for one in sequence.ground_truth if only is None else (only,):
        for number, f in enumerate(numbers):
            labels[number][sequence.mask(one, f)[rows, columns]] = one
    return in_memory(sequence.name, pixels, labels)


def cells_alone(data: Path) -> Iterator[Clip]:
    """Yield each cell that T98G begins with, in the middle of a square as far as the picture reaches."""
    whole = cache(cells)
    sequence = whole(data)
    for one in sequence.ground_truth:
        mask = sequence.mask(one, 0)
        if sequence.first_frame(one) != 0 or mask.sum() < SMALLEST:
            continue
        middle = np.argwhere(mask).mean(0).round().astype(int) - AROUND // 2
        corner = tuple(np.clip(middle, 0, np.array(mask.shape) - AROUND).tolist())
        yield (
            f"cell-{one}",
            partial(lambda *place: part(whole(data), slice(None), *place), corner, AROUND, one),
        )


def linked(data: Path, number: int) -> LabeledSequence:
    """Return a C2C12 cell of those, labeled frame by frame, that can be linked where they overlap most."""
    with np.load(data / "c2c12_laptrack" / "data_small.npz") as stack:
        images, labels = stack["images"], stack["labels"].astype(np.int32)
    found = []
    for first in (one for one in np.unique(labels[0]) if one):
        track = [labels[0] == first]
        for image in labels[1:]:
            there = np.bincount(image[track[-1]], minlength=1)
            there[0] = 0
            track.append(image == there.argmax() if there.max() else np.zeros(image.shape, bool))
        overlaps = [mask_iou(one, other) for one, other in pairwise(track)]
        if min(overlaps) > 0.3 and track[0].sum() >= SMALLEST:  # seen on all frames, and not divided
            found.append(np.stack(track))
    return in_memory("c2c12", images, found[number].astype(np.int32))
