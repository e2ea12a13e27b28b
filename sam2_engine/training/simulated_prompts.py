"""Simulated prompts: clicks, boxes, and correction clicks where the mask is wrong (paper section D.2.1)."""

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["correction_clicks", "first_clicks", "noisy_boxes"]

_BOX_NOISE = 0.1
_BOX_NOISE_LIMIT = 20.0


def _place_points(score: Tensor, stride: int, generator: torch.Generator) -> Tensor:
    """Place a point inside the best cell of each (N, h, w) map: (N, 2) pixels, ``stride`` per cell."""
    count, _, width = score.shape
    index = score.flatten(1).argmax(1)
    cells = torch.stack((index % width, index // width), -1).float()
    offset = torch.rand(count, 2, dtype=torch.float32, generator=generator).to(score.device) * stride
    return cells * stride + offset - 0.5


def _depth(coverage: Tensor) -> Tensor:
    """How far inside (N, h, w) coverage each cell lies, roughly: means over growing neighborhoods."""
    near = total = coverage[:, None]
    for size in (3, 5, 9, 17):
        near = F.avg_pool2d(near, (1, size), stride=1, padding=(0, size // 2))
        near = F.avg_pool2d(near, (size, 1), stride=1, padding=(size // 2, 0))
        total = total + near
    return total[:, 0] * (coverage > 0.5) + 1e-3 * coverage


def first_clicks(coverage: Tensor, stride: int, generator: torch.Generator) -> Tensor:
    """Click on each object, half of the time at its center, else anywhere on it.

    Parameters
    ----------
    coverage
        (N, h, w) coverage of the objects, 0..1, on a grid of ``stride`` pixels.
    stride
        Pixels per cell.
    generator
        Source of randomness, on the CPU.

    Returns
    -------
    Tensor
        (N, 2) ``(x, y)`` in input pixels.
    """
    chance = torch.rand(coverage.shape, dtype=torch.float32, generator=generator).to(coverage.device)
    anywhere = chance * (coverage > 0.5) + 1e-3 * coverage
    center = (
        torch.rand(len(coverage), 1, 1, dtype=torch.float32, generator=generator).to(coverage.device) < 0.5
    )
    return _place_points(torch.where(center, _depth(coverage), anywhere), stride, generator)


def correction_clicks(
    logits: Tensor, coverage: Tensor, stride: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Click uniformly into the region where mask and ground truth differ.

    Parameters
    ----------
    logits
        (N, h, w) logits of the mask to correct.
    coverage, stride, generator
        As for ``first_clicks``.

    Returns
    -------
    points
        (N, 2) ``(x, y)`` in input pixels.
    labels
        (N,) int64: 1 where the object was missed, 0 where too much was taken; with no error at all,
        a click on the background.
    """
    actual = coverage > 0.5
    wrong = (logits > 0) != actual
    region = torch.where(wrong.flatten(1).any(1)[:, None, None], wrong, ~actual)
    chance = torch.rand(region.shape, dtype=torch.float32, generator=generator).to(region.device)
    points = _place_points(chance * region, stride, generator)
    cells = ((points + 0.5) / stride).long().clamp(min=0)
    x, y = cells[:, 0].clamp(max=actual.shape[2] - 1), cells[:, 1].clamp(max=actual.shape[1] - 1)
    return points, actual[torch.arange(len(actual), device=actual.device), y, x].long()


def noisy_boxes(masks: Tensor, generator: torch.Generator) -> Tensor:
    """Draw boxes around (N, H, W) bool masks, each side off by up to a tenth, at most 20 pixels.

    Returns
    -------
    Tensor
        (N, 2, 2): top left and bottom right ``(x, y)``; an empty mask gives the whole plane.
    """
    height, width = masks.shape[1:]
    columns, rows = masks.any(1), masks.any(2)
    x = torch.arange(width, device=masks.device).float()
    y = torch.arange(height, device=masks.device).float()
    low = torch.stack(
        (torch.where(columns, x, float(width)).amin(1), torch.where(rows, y, float(height)).amin(1)), -1
    )
    high = torch.stack((torch.where(columns, x, -1.0).amax(1), torch.where(rows, y, -1.0).amax(1)), -1)
    empty = (high < low).any(1)
    limit = torch.tensor([width - 1.0, height - 1.0], dtype=torch.float32, device=masks.device)
    low[empty], high[empty] = 0.0, limit
    reach = ((high - low) * _BOX_NOISE).clamp(max=_BOX_NOISE_LIMIT)[:, None]
    noise = (
        torch.rand(len(masks), 2, 2, dtype=torch.float32, generator=generator).to(masks.device) * 2 - 1
    ) * reach
    return (torch.stack((low, high), 1) + noise).clamp(min=0).minimum(limit)
