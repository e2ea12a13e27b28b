"""Return of freed memory to the system between frames.

PyTorch takes every intermediate result on a CPU from the C library and frees it at once. glibc holds on to
what was freed, in ever more arenas: when nano tracks ten objects, a frame needs 50 MB at a time, and yet the
process grew by 350 MB. Returning it takes time, as its pages are touched anew: 3 % of a frame with one
object (tiny at 512), so it is not done after each of those.
"""

import ctypes
import sys
from collections.abc import Callable

__all__ = ["MASKS_BETWEEN_RELEASES", "release_freed_memory"]

MASKS_BETWEEN_RELEASES = 8
"""With ten objects every frame, with one every eighth: what is held on to grows with the masks made."""


def _find_malloc_trim() -> Callable[[int], int] | None:
    """Return glibc's own function for this; other C libraries have none and do not need it."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        function: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    return function


_malloc_trim = _find_malloc_trim()


def release_freed_memory() -> None:
    """Return freed memory to the system, where the C library would hold on to it."""
    if _malloc_trim is not None:
        _malloc_trim(0)
