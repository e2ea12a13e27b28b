"""The floating-point type to compute in: what the device has, or on a CPU what its clock says."""

import os
from functools import lru_cache

import torch
from torch.nn import functional as F

from sam2_engine.errors import InputError
from sam2_engine.modeling.attention_kernels import clock

__all__ = ["DTYPES", "bfloat16_gain", "choose_dtype", "has_bfloat16"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Types that models run in, by name."""

_ENVIRONMENT = "SAM2_DTYPE"
_MARGIN = 1.5
"""bfloat16 is taken on a CPU where its linear layers are so many times as fast; elsewhere it is no gain."""


def choose_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """Return the type to compute in.

    Parameters
    ----------
    dtype
        A type or its name, or ``auto``: what ``SAM2_DTYPE`` says, else bfloat16 where the device computes
        faster in it. On a CPU that is measured once per process, in a few hundredths of a second.
    device
        Where the model runs.

    Raises
    ------
    InputError
        If models do not run in this type.

    Examples
    --------
    >>> choose_dtype("float32", torch.device("cpu"))
    torch.float32
    """
    if dtype == "auto":
        dtype = os.environ.get(_ENVIRONMENT) or "auto"
    if dtype == "auto":
        if device.type == "cpu":
            return torch.bfloat16 if bfloat16_gain(torch.get_num_threads()) > _MARGIN else torch.float32
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    chosen = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if chosen is None or chosen not in DTYPES.values():
        raise InputError(f"Models do not run in {dtype}: give auto, {', '.join(DTYPES)}.")
    return chosen


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16; a CPU without it only emulates it, and is slow."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    on_cpu = device.type == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return on_cpu and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@lru_cache
def bfloat16_gain(threads: int) -> float:
    """Measure how many times as fast linear layers are in bfloat16 on this CPU; 0 if it does not have it.

    ``threads`` is how many PyTorch uses.
    """
    if not has_bfloat16(torch.device("cpu")):
        return 0.0
    seconds = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    with torch.inference_mode():
        layers = {
            dtype: (torch.ones(1024, 256, dtype=dtype), torch.ones(1024, 256, dtype=dtype))
            for dtype in seconds
        }
        for turn in range(6):
            for dtype, (x, weight) in layers.items():
                start = clock()
                F.linear(x, weight)
                if turn:  # the first makes the libraries ready
                    seconds[dtype] = min(seconds[dtype], clock() - start)
    return seconds[torch.float32] / seconds[torch.bfloat16]
