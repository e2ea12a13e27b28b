"""Kernels of attention without gradients.

Which is fastest differs from one CPU to the next by a factor of four, in either direction: one with AMX
has a fused kernel for bfloat16 that one without it only emulates. So the candidates are timed once per
machine and kind of problem, on a small one of that kind. What came out is kept in the user's cache, so that
no later run computes otherwise because the machine was busy.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sam2_engine.disk import replacing
from sam2_engine.errors import InputError
from sam2_engine.modeling.processor import clock, processor_name
from sam2_engine.user_cache import user_cache

__all__ = ["KERNELS", "Problem", "fastest_kernel", "forced_kernel", "timed_kernels"]

_ENVIRONMENT = "SAM2_ATTENTION"
_WEIGHTS_AT_ONCE = 2**20
"""Attention weights computed at once: 2 to 4 MB stay in the cache of a core."""
_ROWS, _COLUMNS = 2**12, 2**10
"""Queries and keys of one block: few blocks, as threads wait for each other at each, but within caches."""
_LARGEST_EXPONENT = 60.0
"""The sum of a billion of its exponentials is within what float32 and bfloat16 hold."""
_SUMS = 1e-30, 1e38
"""Between these, the weights of a query have neither vanished nor overflowed."""
_ONES = 16
"""Channels of ones beside the values, whose product with the weights is their sum; 16 keep rows aligned."""
_SMALL, _LARGE = 2**15, 2**18
"""Up to so many weights nothing is gained by any choice; above so many for each head, by blocks."""
_FEW_KEYS, _MANY_QUERIES = 32, 256
"""What the mask decoder's image asks of the tokens of a prompt."""
_MARGIN = 1.15
"""The fused kernel is kept unless another is so much faster, so that noise does not change results."""

Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]


def _fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v)


def _softmax(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The formula as it stands, for as many queries at a time as there is room for."""
    q, k = q * q.shape[-1] ** -0.5, k.transpose(-2, -1)
    rows = max(1, 16 * _WEIGHTS_AT_ONCE // (q.shape[:-2].numel() * k.shape[-1]))
    parts = [(part @ k).softmax(-1) @ v for part in torch.split(q, rows, dim=-2)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)


def _blocks(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Head by head in blocks of queries and keys, each of which stays in the cache of a core."""
    result = torch.empty(*q.shape[:-1], v.shape[-1], dtype=v.dtype)
    for head in product(*map(range, q.shape[:-2])):
        _head_in_blocks(q[head], k[head], v[head], result[head])
    return result


def _head_in_blocks(q: Tensor, k: Tensor, v: Tensor, result: Tensor) -> None:
    """Attend from (Lq, C) to (Lk, C), each weight computed once: no maximum is searched for.

    A softmax subtracts the largest score of a query, so that no exponential overflows. Here as much is
    subtracted as the lengths of query and keys ask for, which for all but huge ones is nothing. Where the
    weights of a query then vanish, or overflow by rounding, all is computed by the formula. One product
    gives the weighted sum of the values and, by columns of ones, the weights' own.
    """
    scaled = q * q.shape[-1] ** -0.5
    longest = torch.linalg.vector_norm(k, dim=-1, dtype=torch.float32).amax()
    lengths = torch.linalg.vector_norm(scaled, dim=-1, keepdim=True, dtype=torch.float32)
    excess = (lengths * longest - _LARGEST_EXPONENT).clamp_min_(0)
    shifted = bool(excess.any())
    values = torch.cat((v, v.new_ones(len(v), _ONES)), dim=1)
    for row in range(0, len(q), _ROWS):
        rows = slice(row, row + _ROWS)
        total = torch.zeros(())
        for column in range(0, len(k), _COLUMNS):
            weights = scaled[rows] @ k[column : column + _COLUMNS].T
            if shifted:
                weights -= excess[rows]
            # Parts of bfloat16 are added up in float32.
            total = total + (weights.exp_() @ values[column : column + _COLUMNS]).float()
        sums = total[:, -1:]
        if sums.min() > _SUMS[0] and sums.max() < _SUMS[1]:
            torch.div(total[:, : v.shape[1]], sums, out=result[rows])
        else:
            result[rows] = _softmax(q[rows], k, v)


def _few_keys(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The formula by columns, one for each query: a softmax over short rows takes 6 times as long."""
    weights = ((k * k.shape[-1] ** -0.5) @ q.transpose(-2, -1)).softmax(-2)
    attended: Tensor = v.transpose(-2, -1) @ weights
    return attended.transpose(-2, -1)


KERNELS: dict[str, Kernel] = {
    "fused": _fused,
    "softmax": _softmax,
    "blocks": _blocks,
    "few_keys": _few_keys,
}


class Problem(NamedTuple):
    """A kind of attention. Heads, queries and keys are given by their bits: one stands for similar ones."""

    dtype: torch.dtype
    threads: int
    width: int
    value_width: int
    heads: int
    queries: int
    keys: int


_timed: dict[Problem, dict[str, float]] = {}
_forced: list[str | None] = [None]


@contextmanager
def forced_kernel(name: str | None) -> Iterator[None]:
    """Compute every attention by one kernel; None chooses again."""
    if name is not None and name not in KERNELS:
        raise InputError(f"There is no attention kernel {name!r}: give {', '.join(KERNELS)}.")
    before, _forced[0] = _forced[0], name
    try:
        yield
    finally:
        _forced[0] = before


def fastest_kernel(q: Tensor, k: Tensor, value_width: int) -> str:
    """Name the kernel for attention of (..., Lq, C) to (..., Lk, C) on this machine.

    Parameters
    ----------
    q, k
        Queries and keys.
    value_width
        Channels of the values. Fewer than C are what projecting them afterwards takes; the fused kernel
        knows only C, so they are projected before it.
    """
    # Exponentials that are not lessened by the largest need the range of float32, which float16 has not.
    has_range = q.dtype in (torch.float32, torch.bfloat16)
    if q.device.type != "cpu" or not has_range or torch.compiler.is_compiling():
        return "fused"
    forced = _forced[0] or os.environ.get(_ENVIRONMENT)
    if forced:
        if forced not in KERNELS:
            raise InputError(f"{_ENVIRONMENT}={forced} is no attention kernel: set {', '.join(KERNELS)}.")
        return forced
    heads, (num_queries, width), num_keys = q.shape[:-2].numel(), q.shape[-2:], k.shape[-2]
    if num_keys <= _FEW_KEYS and num_queries >= _MANY_QUERIES:
        return "few_keys"  # by far, on every CPU and in every type
    usual = q.dtype == torch.float32 and value_width == width
    if usual or heads * num_queries * num_keys <= _SMALL:
        return "fused"
    bits = [size.bit_length() for size in (heads, num_queries, num_keys)]
    problem = Problem(q.dtype, torch.get_num_threads(), width, value_width, *bits)
    if problem not in _timed:
        _timed[problem] = _kept(problem) or _keep(
            problem, _times(heads, num_queries, num_keys, width, value_width, q.dtype)
        )
    times = _timed[problem]
    best = min(times, key=times.__getitem__)
    return best if times[best] * _MARGIN < times["fused"] else "fused"


def _times(
    heads: int, num_queries: int, num_keys: int, width: int, value_width: int, dtype: torch.dtype
) -> dict[str, float]:
    """Seconds of each kernel on a problem of the same kind with a million weights or two."""
    num_queries, num_keys = min(num_queries, 1024), min(num_keys, 2048)
    heads = max(1, min(heads, _WEIGHTS_AT_ONCE // (num_queries * num_keys)))
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(heads, num_queries, width, generator=generator).to(dtype)
    k = torch.randn(heads, num_keys, width, generator=generator).to(dtype)
    v = k[..., :value_width].contiguous()
    names = "fused", "blocks" if num_queries * num_keys > _LARGE else "softmax"
    times = dict.fromkeys(names, float("inf"))
    for turn in range(4):
        for name in names:
            start = clock()
            KERNELS[name](q[None], k[None], k[None] if name == "fused" else v[None])
            if turn:  # the first touches memory and makes the libraries ready
                times[name] = min(times[name], clock() - start)
    return times


def _kept(problem: Problem) -> dict[str, float] | None:
    """Return what this machine, with this PyTorch, took for a kind of problem when it was first met."""
    try:
        times = json.loads(_file().read_text(encoding="utf-8")).get(_name(problem))
    except (OSError, ValueError, AttributeError):
        return None  # none yet, or none that can be read: they are measured again
    is_whole = (
        isinstance(times, dict)
        and "fused" in times
        and all(name in KERNELS and isinstance(seconds, float) for name, seconds in times.items())
    )
    return times if is_whole else None


def _keep(problem: Problem, times: dict[str, float]) -> dict[str, float]:
    """Keep what was measured, unless another process was first; where nothing can be kept it counts here."""
    if (earlier := _kept(problem)) is not None:
        return earlier
    file = _file()
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        read = None
    known = read if isinstance(read, dict) else {}
    with suppress(OSError, InputError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as aside:
            aside.write_text(json.dumps({**known, _name(problem): times}, indent=1), encoding="utf-8")
    return times


def _file() -> Path:
    return user_cache() / "attention.json"


def _name(problem: Problem) -> str:
    return " ".join(map(str, (processor_name(), torch.__version__, *problem)))


def timed_kernels() -> dict[Problem, dict[str, float]]:
    """What was timed for problems that this process met: seconds by kernel."""
    return {problem: dict(times) for problem, times in _timed.items()}
