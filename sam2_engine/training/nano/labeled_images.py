"""Images with instance labels, and random views of them as single images or moving clips."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sam2_engine.errors import InputError
from sam2_engine.frames.image_files import read_image
from sam2_engine.synthetic.compositor import Clip
from sam2_engine.training.nano.object_motion import elastic_deformation, object_motion

__all__ = ["LabeledImage", "random_view", "read_folder"]

_INPUT_SIDE = 512
_COLOR_DIFFERENCE = 8.0
"""Mean difference of an image's channels from which on it is in color."""
_BRIGHT = 100.0


@dataclass(frozen=True)
class LabeledImage:
    """An image (H, W, 1 or 3) uint8 with labels (H, W) int32, for training or for validation."""

    name: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int32]
    for_validation: bool

    @property
    def appearance(self) -> tuple[bool, bool]:
        """Whether it is in color, and whether it is bright rather than dark."""
        spread = self.pixels.max(-1).astype(np.float32) - self.pixels.min(-1)
        return bool(spread.mean() > _COLOR_DIFFERENCE), bool(self.pixels.mean() > _BRIGHT)


def read_folder(folder: Path) -> list[LabeledImage]:
    """Read ``images/NNN.png`` and ``labels/NNN.png``; numbers that end in 3 are for validation.

    Raises
    ------
    InputError
        If there are no images, or one has no labels or labels of another size.
    """
    paths = sorted((folder / "images").glob("*.png"))
    if not paths:
        raise InputError(
            f"There are no images in {folder / 'images'}; expected images/NNN.png and labels/NNN.png."
        )
    result = []
    for path in paths:
        label_path = folder / "labels" / path.name
        if not label_path.exists():
            raise InputError(f"The image {path} has no labels; expected them in {label_path}.")
        pixels, labels = np.array(read_image(path)), read_image(label_path, labels=True).astype(np.int32)
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels[..., :3]
        if pixels.shape[:2] != labels.shape:
            raise InputError(
                f"The labels {label_path} are {labels.shape} in size, but their image is {pixels.shape[:2]}: "
                "save both at the same size."
            )
        result.append(LabeledImage(path.stem, pixels, labels, int(path.stem) % 10 == 3))
    return result


def random_view(
    rng: np.random.Generator, image: LabeledImage, num_frames: int, size: int, zoom: tuple[float, float]
) -> Clip:
    """Augment an image: a random crop, rotated, mirrored and deformed; over several frames all of it moves.

    Parameters
    ----------
    rng
        Source of randomness.
    image
        The image.
    num_frames
        1 for a single image.
    size
        Side of the view in pixels.
    zoom
        Range of the magnification, relative to the whole image shown on 512 x 512 pixels.
    """
    height, width = image.labels.shape
    factor = float(np.exp(rng.uniform(*np.log(zoom))))
    reach = size / _INPUT_SIDE / factor
    aspect = float(np.exp(rng.normal(0, 0.08)))
    extent = np.clip([reach * aspect, reach / aspect], 0.02, 1.0)
    center = rng.uniform(-1, 1, 2) * (1 - extent)
    turn = int(rng.integers(4)) * np.pi / 2 + (rng.normal(0, 0.2) if rng.random() < 0.4 else 0.0)
    mirror = rng.choice([-1.0, 1.0])
    drift = rng.normal(0, 0.04, 2) * extent
    growth, spin = rng.normal(0, 0.03), rng.normal(0, 0.04)
    linear, shift = [], []
    for t in range(num_frames):
        angle = turn + spin * t
        turning = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * [mirror, 1.0]
        linear.append(np.diag(extent * (1 + growth) ** t) @ turning)
        shift.append(center + drift * t)
    grid = _view_grid(rng, image.labels, np.array(linear), np.array(shift), size, factor)
    step = max(1, int(min(height, width) * reach / size / 0.75))
    pixels = image.pixels[::1] if step == 1 else _downsample(image.pixels, step)
    source = (
        torch.from_numpy(pixels.astype(np.float32) / 255.0)
        .permute(2, 0, 1)[None]
        .expand(num_frames, -1, -1, -1)
    )
    frames = F.grid_sample(source, grid, padding_mode="reflection", align_corners=False).permute(0, 2, 3, 1)
    return Clip(frames.expand(-1, -1, -1, 3).numpy(), _sample_labels(image.labels, grid))


def _view_grid(
    rng: np.random.Generator,
    labels: NDArray[np.int32],
    linear: NDArray[np.float64],
    shift: NDArray[np.float64],
    size: int,
    scale: float,
) -> Tensor:
    """Where each pixel of each frame is sampled, (T, S, S, 2) in -1..1; objects move on their own."""
    num_frames = len(shift)
    matrices = torch.tensor(linear, dtype=torch.float32).transpose(1, 2)[:, None]
    shifts = torch.tensor(shift, dtype=torch.float32)[:, None, None]
    ticks = (torch.arange(size, dtype=torch.float32) + 0.5) * (2 / size) - 1
    positions = torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), -1)
    displacement = elastic_deformation(rng, num_frames, size, scale)
    if num_frames > 1:
        first = (positions - displacement[0].permute(1, 2, 0) * (2 / size)) @ matrices[0] + shifts[0]
        displacement = displacement + object_motion(
            rng, _sample_labels(labels, first[None])[0], num_frames, scale
        )
    return (positions - displacement.permute(0, 2, 3, 1) * (2 / size)) @ matrices + shifts


def _sample_labels(labels: NDArray[np.int32], grid: Tensor) -> NDArray[np.int32]:
    source = torch.from_numpy(labels.astype(np.float32))[None, None].expand(len(grid), -1, -1, -1)
    sampled = F.grid_sample(source, grid, mode="nearest", padding_mode="reflection", align_corners=False)
    result: NDArray[np.int32] = sampled[:, 0].numpy().astype(np.int32)
    return result


def _downsample(pixels: NDArray[np.uint8], step: int) -> NDArray[np.float32]:
    """Average blocks of ``step`` pixels, so that a small magnification does not alias."""
    height, width = (side // step * step for side in pixels.shape[:2])
    blocks = pixels[:height, :width].reshape(height // step, step, width // step, step, -1)
    averaged: NDArray[np.float32] = blocks.mean((1, 3), dtype=np.float32)
    return averaged
