"""Position encodings: sine in two dimensions and in time, random Fourier features, rotary (RoPE)."""

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

__all__ = [
    "RandomFourierEncoding",
    "cached_rotation",
    "cached_sine_grid",
    "rotation",
    "sine_grid",
    "sine_time",
]

_TEMPERATURE = 10000.0


def sine_grid(
    channels: int, height: int, width: int, device: torch.device, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Sine encoding of a grid, (channels, height, width): the first half for y, the second for x.

    Positions run from 1 and are normalized to 2 pi; sine on even, cosine on odd channels.
    """
    if torch.compiler.is_compiling():  # which would put what it only pretends to compute into the cache
        return _sine_grid(channels, height, width, device, dtype)
    return cached_sine_grid(channels, height, width, device, dtype)


def _sine_grid(channels: int, height: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    half = channels // 2
    exponents = 2 * (torch.arange(half, dtype=torch.float32, device=device) // 2) / half
    frequencies = _TEMPERATURE**exponents

    def encode(length: int) -> Tensor:
        positions = torch.arange(1, length + 1, dtype=torch.float32, device=device)
        positions = positions / (positions[-1] + 1e-6) * (2 * math.pi)
        angles = positions[:, None] / frequencies
        return torch.stack((angles[:, 0::2].sin(), angles[:, 1::2].cos()), dim=2).flatten(1).T

    y = encode(height)[:, :, None].expand(half, height, width)
    x = encode(width)[:, None, :].expand(half, height, width)
    return torch.cat((y, x)).to(dtype)


# Cached tensors are normal ones even if first made in inference mode: training reads them too.
cached_sine_grid = lru_cache(maxsize=16)(torch.inference_mode(False)(_sine_grid))


def sine_time(values: Tensor, channels: int) -> Tensor:
    """Sine encoding of (N,) scalars, (N, channels): all sines, then all cosines."""
    half = channels // 2
    exponents = 2 * (torch.arange(half, dtype=torch.float32, device=values.device) // 2) / half
    angles = values[:, None] / _TEMPERATURE**exponents
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


class RandomFourierEncoding(nn.Module):
    """Encoding of points in the unit square by a fixed random projection (Tancik et al. 2020)."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, channels // 2))

    def forward(self, points: Tensor) -> Tensor:
        """Encode (..., 2) points ``(x, y)`` in 0..1 as (..., channels), in float32 or the weights' float64.

        A coordinate rounded to bfloat16 lies up to a pixel of 1,024 beside its place.
        """
        with torch.autocast(points.device.type, enabled=False):
            matrix = self.positional_encoding_gaussian_matrix
            dtype = torch.promote_types(torch.float32, matrix.dtype)
            projected = (2 * points.to(dtype) - 1) @ matrix.to(dtype)
        projected = 2 * math.pi * projected
        return torch.cat((projected.sin(), projected.cos()), dim=-1)

    def grid(self, height: int, width: int) -> Tensor:
        """Encode the cell centers of a grid: (1, channels, height, width)."""
        matrix = self.positional_encoding_gaussian_matrix
        y = (torch.arange(height, device=matrix.device, dtype=matrix.dtype) + 0.5) / height
        x = (torch.arange(width, device=matrix.device, dtype=matrix.dtype) + 0.5) / width
        points = torch.stack((x.expand(height, width), y[:, None].expand(height, width)), dim=-1)
        encoded: Tensor = self(points)
        return encoded.permute(2, 0, 1)[None]


def rotation(
    channels: int, height: int, width: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Axial rotary encoding of a grid (Heo et al. 2024; paper section D.1): two (height * width, channels).

    Adjacent channels are a pair; the first half of the pairs rotates with x, the second with y. A vector is
    rotated by multiplying it with the first, the cosines, and adding to it, with the two channels of each
    pair exchanged, the product with the second, the sines with their signs.
    """
    if torch.compiler.is_compiling():  # which goes past caches, and warns of it
        return _rotation(channels, height, width, device, dtype)
    return cached_rotation(channels, height, width, device, dtype)


def _rotation(
    channels: int, height: int, width: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    exponents = torch.arange(0, channels, 4, dtype=torch.float32, device=device)[: channels // 4] / channels
    frequencies = 1.0 / _TEMPERATURE**exponents
    index = torch.arange(height * width, dtype=torch.float32, device=device)
    x, y = index % width, torch.div(index, width, rounding_mode="floor")
    angles = torch.cat((torch.outer(x, frequencies), torch.outer(y, frequencies)), dim=-1)
    sines = torch.stack((-angles.sin(), angles.sin()), dim=-1).flatten(-2)
    return angles.cos().repeat_interleave(2, dim=-1).to(dtype), sines.to(dtype)


# As above.
cached_rotation = lru_cache(maxsize=16)(torch.inference_mode(False)(_rotation))
