"""Floating-point type of nano's training."""

import torch

from sam2_engine.modeling.precision import bfloat16_gain, has_bfloat16

__all__ = ["training_autocast", "training_dtype"]


def training_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the device computes faster in it, else float32.

    A processor without it emulates it: a step of nano's then took 70 s, in float32 5 s. So a processor is
    measured, once a process.
    """
    on_cpu = device.type == "cpu"
    faster = bfloat16_gain(torch.get_num_threads()) > 1 if on_cpu else has_bfloat16(device)
    return torch.bfloat16 if faster else torch.float32


def training_autocast(device: torch.device) -> torch.autocast:
    """Compute in ``training_dtype``; weights and losses stay float32."""
    dtype = training_dtype(device)
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
