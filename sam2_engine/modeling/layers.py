"""Layers that several boxes of the model share."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_engine.errors import InputError
from sam2_engine.modeling.derived_weights import (
    cast_weight,
    computed_in,
    derived,
    is_exporting,
    saves_launches,
)

__all__ = [
    "MLP",
    "Conv2d",
    "LayerNorm",
    "LayerNorm2d",
    "Linear",
    "apply_in_chunks",
    "stacked_weights",
    "weights_of",
]

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
    # Exported programs take any number of rows, which a guard on it would not let them.
    if x.device.type != "cpu" or torch.is_grad_enabled() or is_exporting() or len(x) <= rows:
        return compute(x)
    first, *others = torch.split(x, rows)
    start = compute(first)
    result = start.new_empty(len(x), *start.shape[1:])
    result[:rows] = start
    for number, part in enumerate(others, start=1):
        result[number * rows : number * rows + len(part)] = compute(part)
    return result


def weights_of(layer: nn.Linear | nn.Conv2d) -> tuple[Tensor, Tensor | None]:
    """Return weight and bias in the type that is computed in, cast once; autocast does so at every call."""
    dtype = computed_in(layer.weight)
    bias = None if layer.bias is None else cast_weight(layer, "bias", dtype)
    return cast_weight(layer, "weight", dtype), bias


class Linear(nn.Linear):
    """A linear layer whose weights are cast once."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "qconfig":  # torch.ao.quantization knows nn.Linear itself alone, and says nothing
            raise InputError(
                "torch.ao.quantization cannot convert the layers of this model, and would leave them as they "
                "are: load_model(..., dtype='bfloat16') is what makes it fast where the processor has it."
            )
        super().__setattr__(name, value)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., inputs) to (..., outputs)."""
        return F.linear(x, *weights_of(self))


class Conv2d(nn.Conv2d):
    """A convolution whose weights are cast once."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, H, W)."""
        return F.conv2d(x, *weights_of(self), self.stride, self.padding, self.dilation, self.groups)


def stacked_weights(owner: nn.Module, name: object, layers: Sequence[nn.Module]) -> tuple[Tensor, Tensor]:
    """Return the weights of L linear layers of equal widths for ``torch.baddbmm``.

    Returns
    -------
    bias
        (L, 1, outputs).
    weight
        (L, inputs, outputs).
    """
    weights = [cast(Tensor, layer.weight) for layer in layers]
    biases = [cast(Tensor, layer.bias) for layer in layers]
    dtype = computed_in(weights[0])

    def make() -> tuple[Tensor, Tensor]:
        return torch.stack([*biases])[:, None].to(dtype), torch.stack([*weights]).transpose(1, 2).to(dtype)

    return derived(owner, (name, dtype), [*weights, *biases], make)


class LayerNorm(nn.LayerNorm):
    """Layer normalization over the last dimension."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (..., C)."""
        return _layer_norm(self, x)


def _layer_norm(layer: "LayerNorm | LayerNorm2d", x: Tensor) -> Tensor:
    """Normalize (..., C) in its own type: a GPU's kernel sums up in float32, and autocast casts as well."""
    shape = x.shape[-1:]
    if x.dtype == layer.weight.dtype or not saves_launches(x):
        return F.layer_norm(x, shape, layer.weight, layer.bias, layer.eps)
    weight, bias = cast_weight(layer, "weight", x.dtype), cast_weight(layer, "bias", x.dtype)
    with torch.autocast(x.device.type, enabled=False):
        return F.layer_norm(x, shape, weight, bias, layer.eps)


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
        return _layer_norm(self, x)


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
        self.layers = nn.ModuleList(Linear(i, o) for i, o in pairwise(dims))
        self.activation = F.gelu if activation == "gelu" else F.relu

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., dims[0]) to (..., dims[-1])."""
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer(x))
        result: Tensor = last(x)
        return result
