"""Grids of clicks over the crops of an image: where they are made, and in which order."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from torch import Tensor

from sam2_engine.image.mask_candidates import Crop
from sam2_engine.masks import mask_center

__all__ = ["looks_even", "mask_centers", "rounds_of_clicks", "square_grid"]

_COARSE = 8
"""Clicks a side of the coarse grid of a tile, at least."""
_CELLS = 64
"""Cells a side in which a tile is looked over: of a tile of 512 pixels they are 8 pixels wide."""
_AROUND = 5
"""Cells a side that a cell is compared with; larger objects are found by the coarse grid."""
_STANDS_OUT = 6.0
"""Standard deviations: further from those around than any of 4,096 cells of noise is, as a rule."""


def square_grid(side: int) -> Tensor:
    """Return clicks (side * side, 2) at the centers of a square grid over the unit square, row by row."""
    centers = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    return torch.cartesian_prod(centers, centers).flip(1)


def rounds_of_clicks(grid: Tensor, crop: Crop) -> list[Tensor]:
    """Divide the clicks of a crop, a square grid (N, 2) over the unit square, into rounds.

    Of a tile, a coarse grid and the rest, both only where it is clicked; else all are one.
    """
    if crop.core is None:
        return [grid]
    x0, y0, x1, y1 = crop.core
    positions = grid * torch.tensor([crop.x1 - crop.x0, crop.y1 - crop.y0])
    positions += torch.tensor([crop.x0, crop.y0])
    inside = ((positions >= torch.tensor([x0, y0])) & (positions < torch.tensor([x1, y1]))).all(1)
    side = round(len(grid) ** 0.5)
    step = max(1, side // _COARSE)
    chosen = torch.arange(side) % step == step // 2
    coarse = (chosen[:, None] & chosen).flatten()
    rounds = grid[inside & coarse], grid[inside & ~coarse]
    return [clicks for clicks in rounds if len(clicks)]


def looks_even(pixels: NDArray[Any]) -> bool:
    """Whether nothing small stands out of (H, W) or (H, W, C) pixels: means of cells, against those around.

    Clicks of a coarse grid on noise and small objects between them score alike; these stand out by far.

    Examples
    --------
    >>> plane = np.random.default_rng(1).normal(50, 8, (512, 512)) + np.linspace(0, 90, 512)
    >>> looks_even(plane)
    True
    >>> plane[100:112, 300:310] += 20
    >>> looks_even(plane)
    False
    """
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    height, width, channels = planes.shape
    tall, wide = max(1, height // _CELLS), max(1, width // _CELLS)
    rows, columns = height // tall, width // wide
    whole = planes[: rows * tall, : columns * wide].reshape(rows, tall, columns, wide, channels)
    cells = np.nan_to_num(whole.astype(np.float32)).mean((1, 3))
    apart = np.abs(cells - median_filter(cells, (_AROUND, _AROUND, 1)))
    deviation = 1.4826 * np.median(apart, (0, 1))
    return bool((apart <= _STANDS_OUT * deviation).all())


def mask_centers(masks: Tensor, points: Tensor) -> Tensor:
    """Return the centers of (N, h, w) masks, each once, (M, 2) in the unit square.

    For an empty mask it is the click, of (N, 2).
    """
    size = torch.tensor([masks.shape[2], masks.shape[1]])
    centers = points.clone()
    for number, mask in enumerate(masks.cpu().numpy()):
        center, depth = mask_center(mask)
        if depth:
            centers[number] = (torch.tensor(center, dtype=torch.float32) + 0.5) / size
    distinct: Tensor = torch.unique(centers, dim=0)
    return distinct
