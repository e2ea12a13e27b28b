"""Attention to memories whose keys and values are pooled 2 x 2 (EfficientTAM, section "efficient memory")."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from sam2_engine.modeling.attention import RotaryAttention
from sam2_engine.modeling.grid_window import GridPositions

__all__ = ["POOLING", "PooledAttention"]

_FOUR = 2 * math.log(2)
"""Logarithm of how many keys a pooled one stands for."""
POOLING = "weighted", "shifted"
"""Rules. ``weighted``: a pooled key counts four times, as its score is raised by ln 4. ``shifted``: every
channel of a pooled key is; it is what models were taught with, if hardly what was meant."""


class PooledAttention(RotaryAttention):
    """Attention to memories of whole grids; one memory is attended to as it is, several are pooled.

    Parameters
    ----------
    rule
        One of ``POOLING``.
    dim, key_value_dim, dropout
        As for ``RotaryAttention``.
    """

    def __init__(self, rule: str, dim: int, key_value_dim: int | None = None, dropout: float = 0.0) -> None:
        super().__init__(dim, key_value_dim, dropout)
        if rule not in POOLING:
            raise ValueError(f"memories are pooled by {' or '.join(POOLING)}, not {rule!r}")
        self.rule = rule

    @override
    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        query_positions: GridPositions | None = None,
        key_positions: GridPositions | None = None,
        num_plain_keys: int = 0,
    ) -> Tensor:
        """Attend from (B, L, dim) to (B, n * G * G + num_plain_keys, key_value_dim)."""
        assert query_positions is not None
        assert key_positions is not None
        rotated, (height, width) = k.shape[1] - num_plain_keys, key_positions.grid
        if rotated <= height * width:
            return super().forward(q, k, v, query_positions, key_positions, num_plain_keys)
        queries = self._rotated(q, self.q_proj, query_positions, q.shape[1])
        keys = self._rotated(k, self.k_proj, key_positions, rotated)
        turned, plain = torch.split(keys, [rotated, num_plain_keys], dim=1)
        pooled = _pooled(turned, height, width)
        if self.rule == "shifted":
            pooled = pooled + _FOUR
        keys = torch.cat((pooled, plain), dim=1)
        # Pooling is linear, so it goes before the projection, of which there is less then.
        cells, pointers = torch.split(v, [rotated, num_plain_keys], dim=1)
        values = torch.cat((_pooled(cells, height, width), pointers), dim=1)
        dropout = self.dropout if self.training else 0.0
        if self.rule == "shifted":
            attended = self._attend(queries, keys, values, dropout)
        else:
            raised = torch.cat((keys.new_full((pooled.shape[1],), _FOUR), keys.new_zeros(num_plain_keys)))
            values = self.v_proj(values)[:, None]
            attended = F.scaled_dot_product_attention(
                queries[:, None], keys[:, None], values, raised[None, None, None], dropout
            )[:, 0]
        result: Tensor = self.out_proj(attended)
        return result


def _pooled(tokens: Tensor, height: int, width: int) -> Tensor:
    """Average 2 x 2 cells of (B, n * height * width, C), frame by frame: a quarter of the tokens."""
    count, _, channels = tokens.shape
    grids = tokens.reshape(count, -1, height // 2, 2, width // 2, 2, channels)
    return grids.mean(dim=(3, 5)).flatten(1, 3)
