"""Layers that several boxes of the model share."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["MLP", "LayerNorm2d", "apply_in_chunks"]

_CHUNK = 2**21
"""Numbers per chunk: few enough that freed memory is reused, and no new pages have to be touched."""


def apply_in_chunks(compute: Callable[[Tensor], Tensor], x: Tensor, widest: int) -> Tensor:
    """Return ``compute(x)``, computed on a CPU for a few rows at a time.

    Parameters
    ----------
    compute
        Maps every row of its input (first dimension) on its own.
    x
        The rows.
    widest
        Numbers per row of the largest intermediate result.
    """
    rows = max(1, _CHUNK // widest)
    if x.device.type != "cpu" or torch.is_grad_enabled() or len(x) <= rows:
        return compute(x)
    first, *others = torch.split(x, rows)
    start = compute(first)
    result = start.new_empty(len(x), *start.shape[1:])
    result[:rows] = start
    for number, part in enumerate(others, start=1):
        result[number * rows : number * rows + len(part)] = compute(part)
    return result


class LayerNorm2d(nn.Module):
    """Layer normalization over the channels of ``(B, C, H, W)``, which lie last in memory afterwards."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``x`` (B, C, H, W) at every position."""
        return self.last(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def last(self, x: Tensor) -> Tensor:
        """Normalize ``x`` (..., C) at every position."""
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)


class MLP(nn.Module):
    """Linear layers with an activation between them.

    Parameters
    ----------
    dims
        Widths from the input to the output; ``len(dims) - 1`` layers.
    activation
        ``"relu"`` or ``"gelu"``, applied after every layer but the last.
    """

    def __init__(self, *dims: int, activation: str = "relu") -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(dims))
        self.activation = F.gelu if activation == "gelu" else F.relu

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., dims[0]) to (..., dims[-1])."""
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer(x))
        result: Tensor = last(x)
        return result
