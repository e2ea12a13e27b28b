"""Decoders for formats that Pillow does not read, or reads with other levels than are stored."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from sam2_engine.frames.images.netpbm import decode_netpbm, has_own_levels
from sam2_engine.frames.pixels import stretched

__all__ = ["CODECS", "decode_file", "decode_jpeg2000", "decode_levels", "is_rare_jpeg"]

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


def decode_file(kind: str, content: bytes, *, labels: bool = False) -> NDArray[Any]:
    """Decode a file of one of these formats; of ``labels`` levels are as they are stored."""
    return decode_netpbm(content, labels=labels) if kind == "PAM" else np.asarray(CODECS[kind](content))


def decode_jpeg2000(content: bytes, *, labels: bool = False) -> NDArray[Any]:
    """Decode JPEG 2000; what is cut off is an error. Less than 8 bits are stretched, except of labels."""
    pixels, bits = np.asarray(imagecodecs.jpeg2k_decode(content)), _bits_of_jpeg2000(content)
    return stretched(pixels, (1 << bits) - 1) if bits < 8 and not labels else pixels


def _decode_deep_png(content: bytes, *, labels: bool) -> NDArray[Any]:
    return np.asarray(imagecodecs.png_decode(content))


_PNG_COLORS = (2, 4, 6)
"""Color types of PNG that are not gray alone: of their 16 bits Pillow keeps 8 (third edition, 11.2.1)."""
_LEVELS: dict[str, tuple[Callable[[bytes], bool], Callable[..., NDArray[Any]]]] = {
    "PNG": (lambda content: content[24] > 8 and content[25] in _PNG_COLORS, _decode_deep_png),
    "PPM": (has_own_levels, decode_netpbm),
    "JPEG2000": (lambda content: _bits_of_jpeg2000(content) != 8, decode_jpeg2000),
}


def decode_levels(kind: str, content: bytes, *, labels: bool = False) -> NDArray[Any] | None:
    """Return the levels of an image as they are stored, if Pillow would give others; ``None`` if it does not.

    It keeps 8 bits of most colors, and stretches gray levels to those of its own types. Where a file's do
    not fill 8 bits they are stretched, as viewers show them, but not those of ``labels``.
    """
    if kind not in _LEVELS:
        return None
    differ, decode = _LEVELS[kind]
    return decode(content, labels=labels) if differ(content) else None


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
