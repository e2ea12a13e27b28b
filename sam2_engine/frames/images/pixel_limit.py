"""Pillow's limit against images of too many pixels, at what this machine holds while a file is read.

By itself Pillow calls every image above 179 million pixels an attack, such as a scan of 13,500 x 13,500.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from sam2_engine.limits import available_memory

__all__ = ["most_pixels", "up_to"]

_BYTES_PER_PIXEL = 8


class _Limit(int):
    """A limit at which Pillow refuses at once; up to twice of any other it reads, and warns."""

    def __rmul__(self, _: int) -> int:
        return int(self)


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
        Image.MAX_IMAGE_PIXELS = _Limit(max(_limits))
    try:
        yield
    finally:
        with _lock:
            _limits.remove(max_pixels)
            Image.MAX_IMAGE_PIXELS = _Limit(max(_limits)) if _limits else _of_pillow


def most_pixels() -> int:
    """Return the pixels for which there is memory now."""
    return available_memory() // _BYTES_PER_PIXEL
