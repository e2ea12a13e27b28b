"""The CPU: what it can do, what it is called, and a clock for what a thread computes."""

import hashlib
import platform
import sys
import time
from functools import lru_cache

import torch

__all__ = ["capabilities", "clock", "multiplies_bfloat16", "processor_name"]

clock = time.perf_counter if sys.platform == "win32" else time.thread_time
"""What this thread computes for, whatever else runs; Windows counts that too coarsely."""


@lru_cache(maxsize=1)
def capabilities() -> dict[str, object]:
    """Return what PyTorch knows of the processor; nothing before PyTorch 2.13."""
    known: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return known


def multiplies_bfloat16() -> bool:
    """Whether it has instructions for that (AVX512-BF16 or AMX), by which linear layers gain 3 to 6 times."""
    if known := capabilities():
        return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    asked = (getattr(torch.cpu, f"_is_{name}_supported", bool) for name in ("avx512_bf16", "amx_tile"))
    return any(supported() for supported in asked)


def processor_name() -> str:
    """Name the processor and, in digits, what it can do."""
    known = capabilities()
    has = ",".join(sorted(name for name, value in known.items() if value is True))
    name = known.get("cpu_name") or platform.processor() or platform.machine()
    return f"{name} {hashlib.blake2b(has.encode(), digest_size=4).hexdigest()}"
