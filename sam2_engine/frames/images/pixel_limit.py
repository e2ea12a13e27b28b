"""Pillow's limit against images of too many pixels, at what this machine holds while a file is read.

By itself Pillow calls every image above 179 million pixels an attack, such as a scan of 13,500 x 13,500.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

__all__ = ["most_pixels", "up_to"]

_BYTES_PER_PIXEL = 8
_lock = threading.Lock()
_limits: list[int] = []
_of_pillow: int | None = None


@contextmanager
def up_to(max_pixels: int) -> Iterator[None]:
    """Let Pillow read images of so many pixels; for all threads, as it knows no other limit.

    Examples
    --------
    >>> before = Image.MAX_IMAGE_PIXELS
    >>> with up_to(13_500**2):
    ...     Image.MAX_IMAGE_PIXELS
    182250000
    >>> Image.MAX_IMAGE_PIXELS == before
    True
    """
    global _of_pillow
    with _lock:
        if not _limits:
            _of_pillow = Image.MAX_IMAGE_PIXELS
        _limits.append(max_pixels)
        Image.MAX_IMAGE_PIXELS = max(_limits)
    try:
        yield
    finally:
        with _lock:
            _limits.remove(max_pixels)
            Image.MAX_IMAGE_PIXELS = max(_limits) if _limits else _of_pillow


def most_pixels() -> int:
    """Return the pixels that this machine holds, or a common number where it does not tell."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = 16 << 30
    return memory // _BYTES_PER_PIXEL
