"""Floating-point type of nano's training."""

import torch

__all__ = ["training_autocast", "training_dtype"]


def training_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the device computes in it, else float32.

    A processor without it emulates it: a step of nano's then took 70 s, in float32 5 s.
    """
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported()
    else:
        supported = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()  # type: ignore[no-untyped-call]
    return torch.bfloat16 if supported else torch.float32


def training_autocast(device: torch.device) -> torch.autocast:
    """Compute in ``training_dtype``; weights and losses stay float32."""
    dtype = training_dtype(device)
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
