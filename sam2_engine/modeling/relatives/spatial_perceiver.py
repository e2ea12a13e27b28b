"""2D spatial perceiver of EdgeTAM (Zhou et al. 2025, section 3.2): memories squeezed to a few latents.

Half of the latents look at the whole frame, the others each at a window of it, and keep where it lies.
"""

import math

import torch
from torch import Tensor, nn

from sam2_engine.modeling.attention import attend
from sam2_engine.modeling.derived_weights import cast_weight, stream_dtype
from sam2_engine.modeling.grid_window import GridPositions
from sam2_engine.modeling.layers import LayerNorm, Linear
from sam2_engine.modeling.position_encoding import rotation, sine_grid

__all__ = ["LatentPositions", "SpatialPerceiver"]

_DEPTH = 2


class _Projections(nn.Module):
    """Attention of one head."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.to_q = Linear(dim, dim, bias=False)
        self.to_kv = Linear(dim, 2 * dim, bias=False)
        self.to_out = Linear(dim, dim, bias=False)

    def attend(self, queries: Tensor, keys: Tensor, position: Tensor | None = None) -> Tensor:
        """Attend from (B, L, C) to (B, K, C), whose position is added to keys and values."""
        k, v = self.to_kv(keys).chunk(2, dim=-1)
        if position is not None:
            k, v = k + position, v + position
        q = self.to_q(queries)
        result: Tensor = self.to_out(attend(q[:, None], k[:, None], v[:, None])[:, 0])
        return result


class LatentsToMemory(_Projections):
    """Latents attend to the cells of a memory."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.norm_x = LayerNorm(dim)
        self.norm_latents = LayerNorm(dim)

    def forward(self, latents: Tensor, x: Tensor, position: Tensor | None) -> Tensor:
        """Map latents (B, L, C) and cells (B, K, C) to (B, L, C)."""
        return self.attend(self.norm_latents(latents), self.norm_x(x), position)


class LatentsToThemselves(_Projections):
    """Latents attend to each other."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.norm = LayerNorm(dim)

    def forward(self, latents: Tensor) -> Tensor:
        """Map (B, L, C) to the same shape."""
        latents = self.norm(latents)
        if latents.shape[1] == 1:  # a single one attends to itself alone
            result: Tensor = self.to_out(self.to_kv(latents).chunk(2, dim=-1)[1])
            return result
        return self.attend(latents, latents)


def _feed_forward(dim: int) -> nn.Sequential:
    widened = Linear(dim, 4 * dim, bias=False), nn.GELU(), Linear(4 * dim, dim, bias=False)
    return nn.Sequential(LayerNorm(dim), *widened)


class PerceiverLayer(nn.Module):
    """Attention to the memory and among the latents, each with a feed-forward part."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.attn = LatentsToMemory(dim)
        self.ff = _feed_forward(dim)
        self.self_attn = LatentsToThemselves(dim)
        self.self_ff = _feed_forward(dim)

    def forward(self, latents: Tensor, x: Tensor, position: Tensor | None) -> Tensor:
        """Map latents (B, L, C) and cells (B, K, C) to (B, L, C)."""
        latents = latents + self.attn(latents, x, position)
        latents = latents + self.ff(latents)
        latents = latents + self.self_attn(latents)
        result: Tensor = latents + self.self_ff(latents)
        return result


class SpatialPerceiver(nn.Module):
    """Squeezes a memory to L latents of the whole frame and L of its windows, by the same layers.

    Parameters
    ----------
    dim
        Channels of a memory.
    num_latents
        L, a square number.
    """

    def __init__(self, dim: int, num_latents: int) -> None:
        super().__init__()
        self.side = math.isqrt(num_latents)
        self.latents = nn.Parameter(torch.randn(num_latents, dim))
        self.latents_2d = nn.Parameter(torch.randn(num_latents, dim))
        self.layers = nn.ModuleList(PerceiverLayer(dim) for _ in range(_DEPTH))
        self.norm = LayerNorm(dim)

    def forward(self, memory: Tensor) -> Tensor:
        """Squeeze (N, C, G, G) to (N, C, 2, L): of the whole frame, and of its windows, row by row."""
        count, dim, grid, _ = memory.shape
        dtype, size = stream_dtype(memory), grid // self.side
        position = sine_grid(dim, grid, grid, memory.device, dtype).flatten(1).T
        whole = cast_weight(self, "latents", dtype).expand(count, -1, -1)
        whole = self._squeeze(whole, memory.flatten(2).transpose(1, 2), position)
        windows = memory.view(count, dim, self.side, size, self.side, size)
        windows = windows.permute(0, 2, 4, 3, 5, 1).reshape(-1, size**2, dim)
        local = cast_weight(self, "latents_2d", dtype).expand(count, -1, -1).reshape(-1, 1, dim)
        local = self._squeeze(local, windows, None).view(count, -1, dim)
        return torch.stack((whole, local), dim=1).permute(0, 3, 1, 2)

    def _squeeze(self, latents: Tensor, x: Tensor, position: Tensor | None) -> Tensor:
        for layer in self.layers:
            latents = layer(latents, x, position)
        result: Tensor = self.norm(latents)
        return result

    def position(self) -> Tensor:
        """Return where latents lie, (2 L, C): nowhere, and in the middle of their windows."""
        dim = self.latents.shape[1]
        space = sine_grid(dim, self.side, self.side, self.latents.device).flatten(1).T
        return torch.cat((torch.zeros_like(space), space))


class LatentPositions(GridPositions):
    """Where the latents of a memory lie: those of windows on a grid of these, the others nowhere.

    Parameters
    ----------
    side
        Windows per side.
    """

    def __init__(self, side: int) -> None:
        super().__init__((side, side))

    def rotation(self, channels: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return cosines and sines, (1, 2 L, channels); what lies nowhere is not turned."""
        cosine, sine = rotation(channels, *self.grid, device, dtype)
        still = torch.ones_like(cosine), torch.zeros_like(sine)
        return torch.cat((still[0], cosine))[None], torch.cat((still[1], sine))[None]
