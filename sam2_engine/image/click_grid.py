"""Grids of clicks over the crops of an image: where they are made, and in which order."""

import torch
from torch import Tensor

from sam2_engine.image.mask_candidates import Crop
from sam2_engine.masks import mask_center

__all__ = ["mask_centers", "rounds_of_clicks", "square_grid"]

_COARSE = 8
"""With so many clicks a side, spread over it, no tile that holds an object looks empty: nano's best score of
these is above 0.43 on nuclei, cells and discs of 10 to 240 pixels in tiles of 512, and 0.11 on noise."""


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
