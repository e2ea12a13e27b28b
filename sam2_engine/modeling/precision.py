"""Floating-point type to compute in."""

import os
from functools import lru_cache

import torch
from torch.nn import functional as F

from sam2_engine.errors import InputError
from sam2_engine.modeling.processor import clock, multiplies_bfloat16

__all__ = ["DTYPES", "bfloat16_gain", "choose_dtype", "has_bfloat16"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Types that models run in, by name."""

_ENVIRONMENT = "SAM2_DTYPE"


def choose_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    """Return the type to compute in.

    Parameters
    ----------
    dtype
        A type or its name, or ``auto``: what ``SAM2_DTYPE`` says, else bfloat16 where the device has
        instructions for it. What a clock says would change with whatever else a CPU does, and masks with it.
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
        gains = has_bfloat16(device) and (device.type != "cpu" or multiplies_bfloat16())
        return torch.bfloat16 if gains else torch.float32
    chosen = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if chosen is None or chosen not in DTYPES.values():
        raise InputError(f"Models do not run in {dtype}: give auto, {', '.join(DTYPES)}.")
    return chosen


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16; one without it (CUDA before Ampere, too) emulates it, slowly."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
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
