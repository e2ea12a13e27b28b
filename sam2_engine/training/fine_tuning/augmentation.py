"""Augmentations of the paper (section D.2.2): mirror, affine, color jitter, mosaic."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sam2_engine.preprocessing import denormalize, normalize

__all__ = ["AugmentationConfig", "View", "draw_view"]


@dataclass(frozen=True)
class AugmentationConfig:
    """How strongly views differ from the recorded frames.

    Attributes
    ----------
    mirror, flip
        Probability of a horizontal mirror image; and of a vertical one (0 in the paper: useful where
        there is no above and below, as under a microscope).
    degrees, shear
        Largest rotation and shear of clips, in degrees; single images are only mirrored.
    brightness, contrast, saturation
        Largest relative change, one for a clip, one more per frame of it.
    frame_brightness, frame_contrast, frame_saturation
        The same, drawn for each frame.
    grayscale
        Probability of no color.
    reverse
        Probability that a clip runs backwards.
    mosaic
        Probability that a clip is tiled 2 x 2 with itself; the objects prompted are those of one tile, and
        only their position distinguishes them from the copies in the others.
    """

    mirror: float = 0.5
    flip: float = 0.0
    degrees: float = 25.0
    shear: float = 20.0
    brightness: float = 0.1
    contrast: float = 0.03
    saturation: float = 0.03
    frame_brightness: float = 0.1
    frame_contrast: float = 0.05
    frame_saturation: float = 0.05
    grayscale: float = 0.05
    reverse: float = 0.5
    mosaic: float = 0.1


@dataclass(frozen=True)
class View:
    """One augmented view of the frames of a clip.

    Attributes
    ----------
    matrix
        (2, 3) from positions in the view to positions in the frame, both from -1 to 1; None: as recorded.
    colors
        Factors of brightness, contrast and saturation, one row per jitter.
    gray
        Without color.
    tile
        (row, column) of the tile with the objects, in a 2 x 2 mosaic of the view; None: no mosaic.
    """

    matrix: NDArray[np.float64] | None = None
    colors: tuple[tuple[float, float, float], ...] = ()
    gray: bool = False
    tile: tuple[int, int] | None = None

    def pixels(self, inputs: Tensor) -> Tensor:
        """Transform normalized (B, 3, S, S) pixels, S even; outside of the frame lies ImageNet's mean."""
        if self.colors or self.gray:
            inputs = self._jittered(inputs)
        warped = self._warped(inputs, "bilinear")
        return warped if self.tile is None else F.avg_pool2d(warped, 2).repeat(1, 1, 2, 2)

    def masks(self, masks: Tensor) -> Tensor:
        """Transform (B, N, S, S) bool masks."""
        if not masks.numel():
            return masks
        warped = self._warped(masks.float(), "nearest")
        if self.tile is not None:
            half, (row, column) = masks.shape[-1] // 2, self.tile
            right, below = column * half, row * half
            warped = F.pad(F.avg_pool2d(warped, 2), (right, half - right, below, half - below))
        return warped > 0.5

    def _warped(self, x: Tensor, mode: str) -> Tensor:
        if self.matrix is None:
            return x
        if self._is_mirror:
            return self._mirrored(x)
        return F.grid_sample(x, self._grid(x), mode=mode, align_corners=False)

    @property
    def _is_mirror(self) -> bool:
        return self.matrix is not None and bool((np.abs(self.matrix) == np.eye(2, 3)).all())

    def _mirrored(self, x: Tensor) -> Tensor:
        assert self.matrix is not None
        axes = [axis for axis, sign in ((-1, self.matrix[0, 0]), (-2, self.matrix[1, 1])) if sign < 0]
        return x.flip(axes)

    def _grid(self, x: Tensor) -> Tensor:
        assert self.matrix is not None
        theta = torch.tensor(self.matrix, dtype=torch.float32).expand(len(x), -1, -1)
        return F.affine_grid(theta, [len(x), 1, *x.shape[-2:]], align_corners=False)

    def _jittered(self, inputs: Tensor) -> Tensor:
        rgb = denormalize(inputs)
        for brightness, contrast, saturation in self.colors:
            rgb = (rgb * brightness).clamp(0, 1)
            rgb = (rgb.mean((-3, -2, -1), keepdim=True) * (1 - contrast) + rgb * contrast).clamp(0, 1)
            rgb = (_gray(rgb) * (1 - saturation) + rgb * saturation).clamp(0, 1)
        if self.gray:
            rgb = _gray(rgb).expand_as(rgb)
        return normalize(rgb)


def _gray(rgb: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float32).view(3, 1, 1)
    return (rgb * weights).sum(-3, keepdim=True)


def draw_view(
    config: AugmentationConfig, rng: np.random.Generator, frame_seeds: list[list[int]], is_clip: bool
) -> list[View]:
    """Draw one view for all frames of a clip, with a jitter of its own for each frame.

    Parameters
    ----------
    config
        How strong.
    rng
        Source of what the frames have in common.
    frame_seeds
        Seed of each frame's own jitter.
    is_clip
        Whether the frames are of a video.
    """
    scale = [-1.0 if rng.random() < p else 1.0 for p in (config.mirror, config.flip)]
    matrix = np.diag(scale)
    if not is_clip:
        return [View(np.pad(matrix, ((0, 0), (0, 1)))) for _ in frame_seeds]
    angle = math.radians(rng.uniform(-config.degrees, config.degrees))
    shear = math.tan(math.radians(rng.uniform(-config.shear, config.shear)))
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = rotation @ np.array([[1.0, shear], [0.0, 1.0]]) @ matrix
    common = _factors(rng, config.brightness, config.contrast, config.saturation)
    gray = bool(rng.random() < config.grayscale)
    row, column = rng.integers(2, size=2).tolist()
    tile = (row, column) if rng.random() < config.mosaic else None
    own = (config.frame_brightness, config.frame_contrast, config.frame_saturation)
    views = []
    for seed in frame_seeds:
        jitter = _factors(np.random.default_rng(seed), *own)
        views.append(View(np.pad(matrix, ((0, 0), (0, 1))), (common, jitter), gray, tile))
    return views


def _factors(rng: np.random.Generator, *reach: float) -> tuple[float, float, float]:
    brightness, contrast, saturation = (float(rng.uniform(1 - r, 1 + r)) for r in reach)
    return brightness, contrast, saturation
