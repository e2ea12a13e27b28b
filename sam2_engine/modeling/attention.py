"""Attention with separate projections, plain (mask decoder) and rotary (memory attention)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sam2_engine.modeling.position_encoding import apply_rotary, rope_frequencies

__all__ = ["Attention", "RotaryAttention", "attend"]

_MAX_WEIGHTS = 2**24
"""Attention weights computed at once on a CPU, per object in training; a 512 pixel input has fewer."""


def attend(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0) -> Tensor:
    """Scaled dot-product attention of (..., Lq, C) to (..., Lk, C): (..., Lq, C).

    In bfloat16 on a CPU the formula is written out, as torch's fused kernel takes 1 to 5 times as long; for
    inference in blocks of queries. With dropout a CPU stores all weights for the backward pass, half a
    gigabyte per layer and object at full size: large ones are computed in such blocks, and again there.
    """
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
    with_grad, written_out = torch.is_grad_enabled(), q.dtype == torch.bfloat16
    at_once = 1 if with_grad else q.shape[:-2].numel()
    block = max(1, _MAX_WEIGHTS // (at_once * k.shape[-2]))
    if q.shape[-2] > block and (dropout if with_grad else written_out):
        parts = torch.split(q, block, dim=-2)
        if with_grad:
            blocks = [checkpoint(attend, part, k, v, dropout, use_reentrant=False) for part in parts]
        else:
            blocks = [attend(part, k, v, dropout) for part in parts]
        return torch.cat(blocks, dim=-2)
    if written_out:
        weights = ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(-1)
        return F.dropout(weights, dropout).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)


class Attention(nn.Module):
    """Multi-head attention; the inner width may be smaller than the outer one.

    Parameters
    ----------
    dim
        Channels of the queries and of the output.
    num_heads
        Heads; must divide the inner width ``dim / downsample``.
    downsample
        Factor between outer and inner width.
    key_value_dim
        Channels of keys and values; ``dim`` if not given.
    """

    def __init__(
        self, dim: int, num_heads: int, downsample: int = 1, key_value_dim: int | None = None
    ) -> None:
        super().__init__()
        inner = dim // downsample
        self.num_heads = num_heads
        self.q_proj = nn.Linear(dim, inner)
        self.k_proj = nn.Linear(key_value_dim or dim, inner)
        self.v_proj = nn.Linear(key_value_dim or dim, inner)
        self.out_proj = nn.Linear(inner, dim)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.num_heads, -1).transpose(1, 2)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend from (B, Lq, dim) to keys and values (B, Lk, key_value_dim): (B, Lq, dim)."""
        q, k, v = self._split(self.q_proj(q)), self._split(self.k_proj(k)), self._split(self.v_proj(v))
        attended = attend(q, k, v)
        result: Tensor = self.out_proj(attended.transpose(1, 2).flatten(-2))
        return result


class RotaryAttention(Attention):
    """Attention of one head whose queries and keys carry two-dimensional rotary position encoding."""

    def __init__(self, dim: int, key_value_dim: int | None = None, dropout: float = 0.0) -> None:
        super().__init__(dim, num_heads=1, key_value_dim=key_value_dim)
        self.dropout = dropout

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        grid: tuple[int, int] | None = None,
        num_plain_keys: int = 0,
    ) -> Tensor:
        """Attend from (B, H * W, dim) to (B, n * H * W + num_plain_keys, key_value_dim).

        The rotation of the grid is repeated over the n frames of the keys; the last
        ``num_plain_keys`` keys (object pointers) are not rotated.
        """
        if grid is None:
            raise ValueError("rotary attention needs the grid of its queries")
        q, k, v = self._split(self.q_proj(q)), self._split(self.k_proj(k)), self._split(self.v_proj(v))
        frequencies = rope_frequencies(q.shape[-1], *grid, q.device)
        q = apply_rotary(q, frequencies)
        num_rotated = k.shape[-2] - num_plain_keys
        if num_rotated:
            frames = k[..., :num_rotated, :].reshape(*k.shape[:-2], -1, len(frequencies), k.shape[-1])
            rotated = apply_rotary(frames, frequencies).flatten(-3, -2)
            k = torch.cat((rotated, k[..., num_rotated:, :]), dim=-2) if num_plain_keys else rotated
        dropout = self.dropout if self.training else 0.0
        attended = attend(q, k, v, dropout)
        result: Tensor = self.out_proj(attended.transpose(1, 2).flatten(-2))
        return result
