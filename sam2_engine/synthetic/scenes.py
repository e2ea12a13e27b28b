"""Labeled scenes of any style as RGB clips, nano's training data; the seed draws the style from a mixture."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from sam2_engine.errors import InputError
from sam2_engine.synthetic import rendering
from sam2_engine.synthetic.compositor import Clip, Sprite, compose
from sam2_engine.synthetic.motion import keep_apart, moving_camera, random_walk
from sam2_engine.synthetic.scene import Drawing
from sam2_engine.synthetic.styles.sprites import SPRITE_STYLES

__all__ = [
    "CLIP_WEIGHTS",
    "IMAGE_WEIGHTS",
    "STYLES",
    "WIDE_CLIP_WEIGHTS",
    "WIDE_IMAGE_WEIGHTS",
    "random_scene",
]

Image = NDArray[np.float32]

STYLES = (*SPRITE_STYLES, *rendering.STYLES)
"""Everything that ``random_scene`` can draw."""

IMAGE_WEIGHTS = {"shapes": 0.35, "things": 0.25, "nuclei": 0.1, "cells": 0.2, "discs": 0.1}
CLIP_WEIGHTS = {"shapes": 0.15, "things": 0.65, "nuclei": 0.05, "cells": 0.1, "discs": 0.05}
"""The mixtures unless others are given; the runs that made the released weights rely on them."""

WIDE_IMAGE_WEIGHTS = {
    **{"shapes": 0.12, "things": 0.08, "nuclei": 0.04, "cells": 0.07, "discs": 0.03},
    **{"phase_contrast": 0.26, "dividing_nuclei": 0.05, "membranes": 0.03, "bacteria": 0.04},
    **{"stained_tissue": 0.12, "particles": 0.01, "organs": 0.04, "textured_objects": 0.01},
    **{"turning_solids": 0.1},
}
WIDE_CLIP_WEIGHTS = {
    **{"shapes": 0.08, "things": 0.14, "nuclei": 0.03, "cells": 0.04, "discs": 0.02},
    **{"phase_contrast": 0.14, "dividing_nuclei": 0.04, "membranes": 0.02, "bacteria": 0.03},
    **{"stained_tissue": 0.02, "particles": 0.01, "organs": 0.1, "textured_objects": 0.05},
    **{"turning_solids": 0.28},
}
"""Mixtures of every style, for runs to come: much phase contrast, volumes and distractors among the clips."""

_CROWDS = {"shapes": (2, 7), "things": (2, 7), "nuclei": (6, 24), "cells": (5, 16), "discs": (4, 14)}


def random_scene(
    seed: int | list[int],
    num_frames: int = 1,
    size: int = 256,
    style: str | None = None,
    weights: Mapping[str, float] | None = None,
) -> Clip:
    """Render the scene of a seed.

    Parameters
    ----------
    seed
        Seed of everything random in the scene.
    num_frames
        1 for an image.
    size
        Side in pixels.
    style
        One of ``STYLES``; drawn if None.
    weights
        Share of each style to draw from; ``IMAGE_WEIGHTS`` or ``CLIP_WEIGHTS`` if None.

    Returns
    -------
    Clip
        Frames and the labels of what is visible.

    Raises
    ------
    InputError
        If there is no such style.
    """
    rng = np.random.default_rng(seed)
    if style is None:
        weights = weights or (IMAGE_WEIGHTS if num_frames == 1 else CLIP_WEIGHTS)
        shares = np.array(list(weights.values()))
        style = str(rng.choice(list(weights), p=shares / shares.sum()))
    if style not in STYLES:
        raise InputError(f"There is no style {style!r} of scenes; choose one of {', '.join(STYLES)}.")
    if style in rendering.STYLES:
        return _as_clip(rendering.STYLES[style](rng, num_frames, size, size))
    return _sprite_scene(rng, num_frames, size, style)


def _as_clip(drawing: Drawing) -> Clip:
    """Return a drawing as RGB; values above 1 are clipped."""
    light = np.clip(drawing.light, 0, 1)
    frames = light if light.ndim == 4 else np.repeat(light[..., None], 3, axis=-1)
    return Clip(frames, drawing.labels.astype(np.int32))


def _sprite_scene(rng: np.random.Generator, num_frames: int, size: int, style: str) -> Clip:
    """Draw sprites of a style that move over their background."""
    side = int(size * 1.25)
    background, images, (smallest, largest) = SPRITE_STYLES[style](rng, side)
    crowd = _CROWDS[style]
    count = int(rng.integers(crowd[0], crowd[1] + 1))
    scale = np.exp(rng.uniform(np.log(smallest), np.log(largest))) * size
    pace = rng.choice([0.3, 1.0, 2.0])
    sprites = []
    for label in range(1, count + 1):
        pixels = images[int(rng.integers(len(images)))]
        half = min(scale * np.exp(rng.normal(0, 0.3)), largest * size)
        motion = random_walk(rng, size, half, pace, moving=num_frames > 1)
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
    sprites = keep_apart(sprites, 0.55 if style in ("nuclei", "cells", "discs") else 0.3)
    clip = compose(background, moving_camera(rng, pace), sprites, num_frames, size)
    return replace(clip, frames=_expose(rng, clip.frames, clean=style == "shapes" and rng.random() < 0.6))


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
