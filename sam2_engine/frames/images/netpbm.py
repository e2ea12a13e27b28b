"""Netpbm images that Pillow does not read or reads with 8 bits: PAM, color PFM, PPM of 16 bits."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["decode_netpbm"]

_TOKENS = rb"(?:\s|#[^\n]*\n)+"


def decode_netpbm(content: bytes) -> NDArray[Any]:
    """Return the pixels of a PAM (P7), PFM (PF) or PPM (P6) file, ``(H, W, C)`` with alpha last.

    Levels are those of the file; only those that do not fill 8 bits are stretched to them.

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
        return _levels(body, (height, width, depth), highest)
    match = re.match(rb"(PF|P6)" + (_TOKENS + rb"([-+.\deE]+)") * 3 + rb"\s", content)
    if match is None:
        raise ValueError("its header is damaged")
    height, width, body = int(match[3]), int(match[2]), content[match.end() :]
    if match[1] == b"P6":
        return _levels(body, (height, width, 3), int(match[4]))
    order = "<f4" if float(match[4]) < 0 else ">f4"
    return _shaped(body, np.dtype(order), (height, width, 3))[::-1].astype(np.float32)


def _levels(body: bytes, shape: tuple[int, int, int], highest: int) -> NDArray[Any]:
    if not 0 < highest < 1 << 16:
        raise ValueError(f"its highest level is {highest}")
    pixels = _shaped(body, np.dtype(">u2" if highest > 255 else "u1"), shape)
    if highest < 255:
        return (pixels.astype(np.uint16) * 255 // highest).astype(np.uint8)
    return pixels.astype(pixels.dtype.newbyteorder("="))


def _shaped(body: bytes, dtype: "np.dtype[Any]", shape: tuple[int, int, int]) -> NDArray[Any]:
    count = shape[0] * shape[1] * shape[2]
    if len(body) < count * dtype.itemsize:
        raise ValueError("the file is cut off")
    return np.frombuffer(body, dtype, count).reshape(shape)
