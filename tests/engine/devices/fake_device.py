"""A device that is not there: tensors without data, and a count of what the engine asks of the device.

Every operation that is no view is a launch; what the host waits for (a copy to it, ``item``, ``nonzero``) is
a stop. The host reads zeros.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch._C import DispatchKey
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.position_encoding import cached_rotation, cached_sine_grid
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import _statistics

_NO_KERNEL = frozenset(("alias", "detach", "detach_", "empty", "empty_like", "empty_strided", "lift_fresh"))
_NO_KERNEL |= {"new_empty", "scalar_tensor", "_unsafe_view"}
_ONE_KERNEL = "upsample_"
"""PyTorch knows formulas for these, beside a kernel."""
_COPIES = frozenset(("_to_copy", "copy_"))
_STOPS = frozenset(("_local_scalar_dense", "nonzero", "equal", "masked_select", "is_nonzero"))
_READS = frozenset(("numpy", "tolist", "item", "__bool__", "__float__", "__int__", "__index__"))
_GUARDED = frozenset(("contiguous", "__getitem__", "__setitem__"))
"""Methods for which PyTorch asks the device's driver, which a build for CPUs alone has not."""


class FakeDevice(TorchDispatchMode):
    """Counts what is asked of a device.

    Attributes
    ----------
    launches, stops, uploads, weight_casts
        How often, by operation or shape.
    """

    def __init__(self, name: str, fake_tensors: FakeTensorMode) -> None:
        super().__init__()
        self.name = name
        self.fake_tensors = fake_tensors
        self.launches: Counter[str] = Counter()
        self.stops: Counter[str] = Counter()
        self.uploads: Counter[str] = Counter()
        self.weight_casts: Counter[str] = Counter()
        self._weights: set[int] = set()

    def model(self, config: ModelConfig, dtype: torch.dtype) -> Sam2:
        """Return a model on the device, loaded as ``load_model`` does."""
        with torch.device("meta"):
            model = Sam2(config)
        shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
        weights = {name: torch.empty(shape, device=self.name) for name, shape in shapes.items()}
        model.load_state_dict(weights, assign=True)
        model.compute_dtype = dtype
        self._weights = {id(weight) for weight in model.parameters()}
        return model.eval().requires_grad_(False)

    def clear(self) -> None:
        """Count from zero again."""
        for counter in (self.launches, self.stops, self.uploads, self.weight_casts):
            counter.clear()

    def holds(self, value: object) -> bool:
        """Whether a value is a tensor on the device."""
        return isinstance(value, Tensor) and value.device.type == self.name

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.prim.device.default:
            return func(*args, **kwargs)
        name = func._schema.name.removeprefix("aten::")
        if name == "dropout" and not args[2]:
            return args[0]
        with _attribute(self.fake_tensors, "in_kernel_invocation", False):
            made_of_others = func.has_kernel_for_dispatch_key(DispatchKey.CompositeImplicitAutograd)
            if made_of_others and not name.startswith(_ONE_KERNEL):
                with self:
                    return func.decompose(*args, **kwargs)
            values = tree_leaves((args, kwargs))
            inputs = [value for value in values if isinstance(value, Tensor)]
            devices = {value.device.type for value in inputs}
            devices |= {value.type for value in values if isinstance(value, torch.device)}
            if self.name not in devices:
                with unset_fake_temporarily():  # the host's own tensors are real
                    return func(*args, **kwargs)
            result = self._run(name, func, args, kwargs)
        outputs = [value for value in tree_leaves(result) if isinstance(value, Tensor)]
        self._count(name, func.is_view, inputs, outputs)
        if name == "_to_copy" and not self.holds(outputs[0]):
            with unset_fake_temporarily():
                return torch.zeros(outputs[0].shape, dtype=outputs[0].dtype)
        return result

    def _run(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Return what a kernel would; where that depends on data, of zeros, or a single element."""
        if name == "equal":
            return True
        if name == "nonzero":
            return torch.empty(1, args[0].ndim, dtype=torch.int64, device=args[0].device)
        if name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1]):
            if self.holds(args[0]):
                self.stops["index by a mask"] += 1
            chosen = [
                None if i is None else torch.zeros(1, dtype=torch.int64, device=i.device) for i in args[1]
            ]
            return func(args[0], chosen)
        return func(*args, **kwargs)

    def _count(self, name: str, is_view: bool, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        if name in _STOPS:
            self.stops[name] += 1
        elif name in _COPIES and not self.holds(outputs[0]):
            self.stops[f"fetch of {outputs[0].numel()}"] += 1
        elif name in _COPIES and not self.holds(inputs[-1]):
            self.uploads[f"{tuple(outputs[0].shape)} {outputs[0].dtype}"] += 1
        elif not is_view and name not in _NO_KERNEL:
            self.launches[name] += 1
            if name in _COPIES and id(inputs[-1]) in self._weights:
                self.weight_casts[str(tuple(outputs[0].shape))] += 1


class _Host(TorchFunctionMode):
    """What the host sees of the device's tensors: zeros."""

    def __init__(self, device: FakeDevice) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, first = getattr(func, "__name__", ""), args[0] if args else None
        if func is F.scaled_dot_product_attention and self.device.holds(first):
            self.device.launches[name] += 1
            return _attended(*args[:3])
        if name in _READS and self.device.holds(first):
            self.device.stops[name] += 1
            with torch._C.DisableTorchFunction(), unset_fake_temporarily():
                return getattr(torch.zeros(first.shape, dtype=first.dtype), name)()
        if name in _GUARDED:
            with _attribute(self.device.fake_tensors, "in_kernel_invocation", True):
                return func(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return attention as the fused kernels lay it out: all heads of a token side by side."""
    return q.new_empty(len(q), q.shape[-2], q.shape[1], v.shape[-1]).transpose(1, 2)


@contextmanager
def _attribute(owner: object, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def _forgotten(*cached: Any) -> Iterator[None]:
    """Keep tensors without data out of the caches of functions."""
    for function in cached:
        function.cache_clear()
    try:
        yield
    finally:
        for function in cached:
            function.cache_clear()


class _FakeTensors(FakeTensorMode):
    def may_turn_const(self, t: Tensor) -> bool:
        return False


@contextmanager
def fake_device(name: str) -> Iterator[FakeDevice]:
    """Compute on a ``cuda`` or ``mps`` device that is not there."""
    with (
        _forgotten(cached_sine_grid, cached_rotation, _statistics),
        patch("torch.cuda.is_bf16_supported", lambda including_emulation=True: True),
        patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False),
        _FakeTensors(allow_non_fake_inputs=True) as fake_tensors,
        FakeDevice(name, fake_tensors) as device,
        _Host(device),
    ):
        yield device
