"""Tensors that follow from weights alone: casts, products, other orders of them, kept until one changes."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

__all__ = [
    "cast_weight",
    "computed_in",
    "derived",
    "is_exporting",
    "saves_launches",
    "stream_dtype",
    "weight_version",
]

T = TypeVar("T")


class _Kept(dict[object, tuple[Any, ...]]):
    """What a module keeps; a copy of the module, or its file, begins without."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Kept":
        return _Kept()

    def __reduce__(self) -> tuple[type["_Kept"], tuple[()]]:
        return _Kept, ()


def weight_version(weight: Tensor) -> tuple[object, ...]:
    """Return what PyTorch changes when a weight is replaced or written to.

    Writing to ``weight.data`` or through NumPy does not; ``torch.autograd.graph.increment_version`` says so.
    """
    count = None if weight.is_inference() else weight._version
    return weight.untyped_storage()._cdata, weight.storage_offset(), count, weight.dtype, weight.device


def derived(owner: nn.Module, name: object, weights: Sequence[Tensor], make: Callable[[], T]) -> T:
    """Return what ``make`` makes of some weights, made again only once one of them has changed.

    With gradients it is made at every call, as they flow through it; in compiled code, too.

    Parameters
    ----------
    owner
        Module that keeps it.
    name
        What it is called there, with whatever else decides it.
    weights
        All that it is made of.
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return make()
    kept: _Kept = owner.__dict__.setdefault("_derived_weights", _Kept())
    state = tuple(map(weight_version, weights))
    entry = kept.get(name)
    if entry is None or entry[0] != state:
        # With the weights' memory held, no other weight can come to lie at the same address.
        entry = kept[name] = state, [weight.detach() for weight in weights], make()
    return cast(T, entry[2])  # not read again: replicas of DataParallel share what is kept, on threads


def is_exporting() -> bool:
    """Whether ``torch.export`` traces what is computed."""
    exporting = getattr(torch.compiler, "is_exporting", None)  # since PyTorch 2.7
    return torch.compiler.is_compiling() if exporting is None else bool(exporting())


def computed_in(weight: Tensor) -> torch.dtype:
    """Return the type that a layer with this weight computes in without gradients."""
    device = weight.device.type
    mixed = torch.is_autocast_enabled(device) and not torch.is_grad_enabled()
    return torch.get_autocast_dtype(device) if mixed else weight.dtype


def stream_dtype(x: Tensor) -> torch.dtype:
    """Return the type for what is added to ``x``, the stream that layers read from and add to.

    Mixed precision makes it float32, and casts it at every layer. On a GPU, where each cast is a launch, it
    stays in bfloat16. Float16 has not the range for that. Without mixed precision it is in the weights' type.
    """
    if not torch.is_autocast_enabled(x.device.type):
        return x.dtype
    stays = _on_gpu(x) and x.dtype == torch.bfloat16
    return x.dtype if stays and not torch.is_grad_enabled() else torch.float32


def saves_launches(x: Tensor) -> bool:
    """Whether to compute on ``x`` in few operations: on a GPU without gradients, unless it is compiled."""
    return _on_gpu(x) and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def _on_gpu(x: Tensor) -> bool:
    return x.device.type != "cpu"


def cast_weight(owner: nn.Module, name: str, dtype: torch.dtype) -> Tensor:
    """Return a parameter of a module in another type."""
    weight: Tensor = getattr(owner, name)
    if weight.dtype == dtype:
        return weight
    return derived(owner, (name, dtype), [weight], lambda: weight.to(dtype))
