"""Position encodings: sine in two dimensions and in time, random Fourier features, rotary (RoPE)."""

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

__all__ = ["RandomFourierEncoding", "apply_rotary", "rope_frequencies", "sine_grid", "sine_time"]

_TEMPERATURE = 10000.0


# Cached tensors are normal ones even if first made in inference mode: training reads them too.
@lru_cache(maxsize=16)
@torch.inference_mode(False)
def sine_grid(channels: int, height: int, width: int, device: torch.device) -> Tensor:
    """Sine encoding of a grid, (channels, height, width) float32: the first half for y, the second for x.

    Positions run from 1 and are normalized to 2 pi; sine on even, cosine on odd channels.
    """
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
    return torch.cat((y, x))


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
        """Encode (..., 2) points ``(x, y)`` in 0..1 as (..., channels)."""
        projected = (2 * points - 1) @ self.positional_encoding_gaussian_matrix
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


# Cached tensors are normal ones even if first made in inference mode: training reads them too.
@lru_cache(maxsize=16)
@torch.inference_mode(False)
def rope_frequencies(head_dim: int, height: int, width: int, device: torch.device) -> Tensor:
    """Unit complex numbers of the axial rotary angles, (height * width, head_dim / 2) complex64.

    The first half of the pairs rotates with x, the second with y (Heo et al. 2024; paper section D.1).
    """
    exponents = torch.arange(0, head_dim, 4, dtype=torch.float32, device=device)[: head_dim // 4] / head_dim
    frequencies = 1.0 / _TEMPERATURE**exponents
    index = torch.arange(height * width, dtype=torch.float32, device=device)
    x, y = index % width, torch.div(index, width, rounding_mode="floor")
    angles = torch.cat((torch.outer(x, frequencies), torch.outer(y, frequencies)), dim=-1)
    return torch.complex(angles.cos(), angles.sin())


def apply_rotary(x: Tensor, frequencies: Tensor) -> Tensor:
    """Rotate adjacent channel pairs of ``x`` (..., L, D) by ``frequencies`` (L, D / 2), in float32."""
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * frequencies).flatten(-2).to(x.dtype)
