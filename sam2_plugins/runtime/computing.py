"""Device, floating-point type and attention kernels that this machine computes with."""

import os

import torch

from sam2_engine.modeling.attention_kernels import fastest_kernel, timed_kernels
from sam2_engine.modeling.devices import find_device
from sam2_engine.modeling.precision import bfloat16_gain, choose_dtype
from sam2_engine.wording import counted

__all__ = ["describe_computing"]

_WORK = {
    "the image encoder's whole-frame layers": (4, 4096, 4096, 96, 96),
    "a frame to itself": (1, 4096, 4096, 256, 256),
    "a frame to the memories of an object": (1, 4096, 28736, 256, 64),
}
"""Heads, queries, keys, their width and that of the values, in the official models at 1,024 pixels."""

Kernels = list[tuple[str, str, dict[str, float]]]


def describe_computing() -> tuple[list[str], Kernels]:
    """Describe what ``device="auto"`` and ``dtype="auto"`` choose here.

    Returns
    -------
    lines : list of str
        Device and type, and how to force another.
    kernels : list of tuple
        Kind of attention, the kernel that is taken, and measured seconds by kernel; none off a CPU.

    Examples
    --------
    >>> lines, kernels = describe_computing()
    >>> lines[0].startswith("Device: ")
    True
    """
    device = find_device("auto")
    dtype = choose_dtype("auto", device)
    name = str(dtype).removeprefix("torch.")
    if device.type != "cpu":
        return [f"Device: {device}.", f"Type: {name}; SAM2_DTYPE=float32 forces another."], []
    threads = torch.get_num_threads()
    capability = torch.backends.cpu.get_cpu_capability()
    gain = bfloat16_gain(threads)
    measured = f"just measured {gain:.1f} times as fast as float32" if gain else "not supported by this CPU"
    forced = "forced by SAM2_DTYPE" if os.environ.get("SAM2_DTYPE") else "SAM2_DTYPE forces another"
    lines = [
        f"Device: cpu, {counted(threads, 'thread')}, {capability}.",
        f"Type: {name} (bfloat16: {measured}; {forced}).",
        "Attention: as first measured on this machine; SAM2_ATTENTION (fused, softmax, blocks) forces one.",
    ]
    kernels: Kernels = []
    with torch.inference_mode():
        for work, (heads, queries, keys, width, values) in _WORK.items():
            before = timed_kernels().keys()
            q = torch.empty(heads, queries, width, dtype=dtype)
            k = torch.empty(heads, keys, width, dtype=dtype)
            chosen = fastest_kernel(q, k, values)
            new = [times for problem, times in timed_kernels().items() if problem not in before]
            kernels.append((work, chosen, new[0] if new else {}))
    return lines, kernels
