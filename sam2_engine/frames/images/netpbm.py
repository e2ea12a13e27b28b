"""Netpbm images that Pillow does not read, or with other levels than are stored: PAM, color PFM, PGM, PPM."""

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.frames.pixels import stretched

__all__ = ["decode_netpbm", "has_own_levels"]

_TOKENS = rb"(?:\s|#[^\n]*\n)+"
_HEADER = re.compile(rb"(PF|P[2356])" + (_TOKENS + rb"([-+.\deE]+)") * 3 + rb"\s")
_SAMPLES = {b"P2": 1, b"P3": 3, b"P5": 1, b"P6": 3}
_PLAIN = (b"P2", b"P3")


def has_own_levels(content: bytes) -> bool:
    """Whether a PGM or PPM file says that its highest level is not 255: Pillow stretches or halves those."""
    match = _HEADER.match(content)
    return match is not None and match[1] in _SAMPLES and match[4] != b"255"


def decode_netpbm(content: bytes, *, labels: bool = False) -> NDArray[Any]:
    """Return the pixels of a PAM (P7), PFM (PF), PGM (P2, P5) or PPM (P3, P6) file: ``(H, W, C)``.

    Alpha is last. Levels are those of the file; only those that do not fill 8 bits are stretched to them,
    except of ``labels``.

    Raises
    ------
    ValueError
        If the header is not understood or pixels are missing.

    Examples
    --------
    >>> decode_netpbm(b"P6 1 1 65535 " + bytes([1, 0, 2, 0, 3, 0])).tolist()
    [[[256, 512, 768]]]
    """
    if content.startswith(b"P7"):
        header, _, body = content.partition(b"ENDHDR\n")
        fields = dict(line.split(None, 1) for line in header.splitlines()[1:] if len(line.split()) > 1)
        width, height, depth, highest = (int(fields[k]) for k in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
        return _levels(_stored(body, (height, width, depth), highest), highest, labels)
    match = _HEADER.match(content)
    if match is None:
        raise ValueError("its header is damaged")
    height, width, body = int(match[3]), int(match[2]), content[match.end() :]
    if match[1] == b"PF":
        order = "<f4" if float(match[4]) < 0 else ">f4"
        return _shaped(body, np.dtype(order), (height, width, 3))[::-1].astype(np.float32)
    shape, highest = (height, width, _SAMPLES[match[1]]), int(match[4])
    read = _written if match[1] in _PLAIN else _stored
    return _levels(read(body, shape, highest), highest, labels)


def _stored(body: bytes, shape: tuple[int, int, int], highest: int) -> NDArray[Any]:
    pixels = _shaped(body, np.dtype(">u2" if highest > 255 else "u1"), shape)
    return pixels.astype(pixels.dtype.newbyteorder("="))


def _written(body: bytes, shape: tuple[int, int, int], highest: int) -> NDArray[Any]:
    """Return levels that are written in digits."""
    words = re.sub(rb"#[^\n]*", b"", body).split(None, math.prod(shape))[: math.prod(shape)]
    if len(words) < math.prod(shape):
        raise ValueError("the file is cut off")
    return np.array([int(word) for word in words], np.uint16 if highest > 255 else np.uint8).reshape(shape)


def _levels(pixels: NDArray[Any], highest: int, labels: bool) -> NDArray[Any]:
    if not 0 < highest < 1 << 16:
        raise ValueError(f"its highest level is {highest}")
    return stretched(pixels, highest) if highest < 255 and not labels else pixels


def _shaped(body: bytes, dtype: "np.dtype[Any]", shape: tuple[int, int, int]) -> NDArray[Any]:
    count = shape[0] * shape[1] * shape[2]
    if len(body) < count * dtype.itemsize:
        raise ValueError("the file is cut off")
    return np.frombuffer(body, dtype, count).reshape(shape)
