"""Decoders of imagecodecs for formats that Pillow does not read, or reads with fewer bits than are stored."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from sam2_engine.frames.images.netpbm import decode_netpbm

__all__ = ["CODECS", "decode_deep_color", "decode_jpeg2000", "is_rare_jpeg"]

_SOF = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7)
_LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF, 0xF7)
"""Start of frame of JPEG without loss (ISO 10918-1, table B.1), and of JPEG-LS (ISO 14495-1, C.1.1)."""


def _decode_jpeg(content: bytes) -> NDArray[Any]:
    if content.rfind(b"\xff\xd9") < content.find(b"\xff\xda"):
        raise ValueError("the file is cut off")
    is_ls = _start_of_frame(io.BytesIO(content))[0] == 0xF7
    return np.asarray((imagecodecs.jpegls_decode if is_ls else imagecodecs.jpeg_decode)(content))


CODECS: dict[str, Callable[[bytes], NDArray[Any]]] = {
    "rare JPEG": _decode_jpeg,
    "JPEG-LS": _decode_jpeg,
    "JPEG XL": imagecodecs.jpegxl_decode,
    "JPEG XR": imagecodecs.jpegxr_decode,
    "PAM": decode_netpbm,
    "Radiance HDR": imagecodecs.rgbe_decode,
}
"""Decoders of whole formats."""


def decode_jpeg2000(content: bytes) -> NDArray[Any]:
    """Decode JPEG 2000; what is cut off is an error."""
    return np.asarray(imagecodecs.jpeg2k_decode(content))


_DEEP_COLOR: dict[str, tuple[Callable[[bytes], bool], Callable[[bytes], NDArray[Any]]]] = {
    "PNG": (lambda content: content[24] > 8, imagecodecs.png_decode),
    "PPM": (lambda content: re.match(rb"P6\s+\d+\s+\d+\s+\d{4,5}\s", content) is not None, decode_netpbm),
    "JPEG2000": (lambda content: _bits_of_jpeg2000(content) > 8, decode_jpeg2000),
}


def decode_deep_color(kind: str, content: bytes) -> NDArray[Any] | None:
    """Return color of more than 8 bits, of which Pillow would keep 8; ``None`` if the file has none."""
    if kind not in _DEEP_COLOR:
        return None
    is_deep, decode = _DEEP_COLOR[kind]
    return np.asarray(decode(content)) if is_deep(content) else None


def is_rare_jpeg(path: Path) -> bool:
    """Whether a JPEG is without loss or has more than 8 bits, which Pillow refuses."""
    with path.open("rb") as file:
        marker, bits = _start_of_frame(file)
    return marker in _LOSSLESS or bits > 8


def _start_of_frame(file: BinaryIO) -> tuple[int, int]:
    """Return the marker of a JPEG's frame header and its bits per sample; zeros if there is none."""
    file.seek(2)
    while len(head := file.read(5)) == 5 and head[0] == 0xFF:
        if head[1] in _SOF:
            return head[1], head[4]
        filling = head[1] == 0xFF
        file.seek(-4 if filling else int.from_bytes(head[2:4], "big") - 3, 1)
    return 0, 0


def _bits_of_jpeg2000(content: bytes) -> int:
    """Return the bits per sample that the codestream's SIZ marker tells (ISO 15444-1, A.5.1)."""
    start = content.find(b"\xff\x4f\xff\x51")
    return (content[start + 42] & 0x7F) + 1 if 0 <= start < len(content) - 42 else 8
