"""Limits of what a header may ask for, looked at before anything is allocated."""

import math
import os
from pathlib import Path

from sam2_engine.errors import InputError
from sam2_engine.wording import counted

__all__ = [
    "MOST_COMPRESSED",
    "MOST_DEFLATED",
    "FrameTooLargeError",
    "available_memory",
    "check_bytes",
    "check_chunks",
    "check_memory",
]

MOST_COMPRESSED = 100_000
"""No codec makes an image so many times smaller; a header that asks for more is damaged."""

MOST_DEFLATED = 1100
"""The same for Deflate."""

_HARMLESS = 1 << 28
"""So many bytes may be asked for by any file; some codecs need hardly any bytes for a blank image."""

_SMALL = 1 << 24
"""The same of a codec whose bound is known: what is cut off has a sentence of its own then."""

_MOST_CHUNKS = 1 << 16
_COMMON = 16 << 30
_UNBOUNDED = 1 << 60


class FrameTooLargeError(InputError):
    """A frame for which there is not enough memory."""


def available_memory() -> int:
    """Return the bytes that can be allocated now: of the machine, the container, and this process."""
    return max(0, min(_of_machine(), _of_container(), _of_process()))


def check_memory(name: str, shape: tuple[int, ...], num_bytes: int) -> None:
    """Refuse a frame that does not fit into memory.

    Raises
    ------
    FrameTooLargeError
        If it needs more memory than is available.
    """
    if num_bytes <= _SMALL or num_bytes <= (available := available_memory()):
        return
    raise FrameTooLargeError(
        f"{name} needs {_amount(num_bytes)} of memory for one image of {_size(shape)}, but "
        f"{_amount(available)} are available; cut out the part that matters, or take a coarser level."
    )


def check_bytes(
    name: str, shape: tuple[int, ...], num_bytes: int, held: int, ratio: float = MOST_COMPRESSED
) -> None:
    """Refuse a header that asks for more than its file can hold.

    Parameters
    ----------
    name
        Of the file, for users.
    shape, num_bytes
        Of the image that the header asks for.
    held
        Bytes that the file has for it.
    ratio
        How many times smaller its codec can make an image; by default that of codecs without a bound.

    Raises
    ------
    InputError
        If no compression is so good.
    """
    harmless = _HARMLESS if ratio >= MOST_COMPRESSED else _SMALL
    if num_bytes > harmless and num_bytes > ratio * max(held, 1):
        raise InputError(
            f"{name} is damaged: its header asks for an image of {_size(shape)}, "
            f"but it holds {counted(held, 'byte')} of pixels; export it again."
        )


def check_chunks(name: str, count: int) -> None:
    """Refuse a frame in so many pieces, each looked for on its own, that reading it would take minutes.

    Raises
    ------
    InputError
        If there are too many.
    """
    if count > _MOST_CHUNKS:
        raise InputError(
            f"{name} has its images in {count:,} chunks each, for which reading one takes minutes; store it "
            "with larger chunks, for example of 512 x 512 pixels, or take a coarser level."
        )


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _amount(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.3g} GiB" if num_bytes >= 1 << 29 else f"{math.ceil(num_bytes / 2**20)} MiB"


def _of_machine() -> int:
    """Return the memory that is free or only caches files, with swap; or a common amount."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        values = {
            name: int(rest.split()[0]) << 10 for name, _, rest in (line.partition(":") for line in lines)
        }
        return values["MemAvailable"] + values.get("SwapFree", 0)
    except (OSError, ValueError, LookupError):
        return _physical()


def _physical() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return _COMMON


def _of_container() -> int:
    """Return what the limits of a container leave."""
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no container, or "max"
        return _UNBOUNDED
    return limit - used


def _of_process() -> int:
    """Return what the limit of addresses of this process leaves."""
    try:
        import resource
    except ImportError:  # Windows
        return _UNBOUNDED
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return _UNBOUNDED
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        return limit
    return limit - pages * resource.getpagesize()
