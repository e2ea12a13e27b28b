"""Synthetic scenes of the sides and lengths that a batch asks for."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from sam2_engine.synthetic.compositor import Clip
from sam2_engine.synthetic.scenes import WIDE_CLIP_WEIGHTS, WIDE_IMAGE_WEIGHTS, random_scene

__all__ = ["SceneKind", "draw_scene", "resize_clip"]


@dataclass(frozen=True)
class SceneKind:
    """Frames and side of a scene, and whether it is of any style or of the five of the first stages."""

    num_frames: int
    size: int
    all_styles: bool = True


def draw_scene(seed: list[int], kind: SceneKind, rng: np.random.Generator | None = None) -> Clip:
    """Render the scene of a seed; of every style, some are rendered coarsely and enlarged."""
    weights = None
    side = kind.size
    if kind.all_styles:
        weights = WIDE_IMAGE_WEIGHTS if kind.num_frames == 1 else WIDE_CLIP_WEIGHTS
        side = _rendered_size(rng or np.random.default_rng([*seed, 0]), kind.size)
    return resize_clip(random_scene([*seed, 1], kind.num_frames, side, weights=weights), kind.size)


def _rendered_size(rng: np.random.Generator, size: int) -> int:
    """Draw the side in which a scene is rendered: some images have fewer pixels than the input."""
    return round(size / np.exp(rng.uniform(0, np.log(2.6)))) if rng.random() < 0.35 else size


def resize_clip(clip: Clip, size: int) -> Clip:
    """Resize a clip to ``size`` pixels a side, as preprocessing resizes an image."""
    if clip.labels.shape[-1] == size:
        return clip
    pixels = torch.from_numpy(clip.frames.astype(np.float32)).permute(0, 3, 1, 2)
    frames = F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False)
    labels = F.interpolate(torch.from_numpy(clip.labels.astype(np.float32))[None], size=(size, size))
    return Clip(frames.permute(0, 2, 3, 1).numpy(), labels[0].numpy().astype(np.int32))
