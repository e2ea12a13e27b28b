"""Compressed pixels that pydicom has no decoder for, by imagecodecs, as a plugin of pydicom's decoders."""

from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

__all__ = ["DECODER_DEPENDENCIES", "decode_frame", "is_available", "register_codecs"]

_LABEL = "imagecodecs"
_LOSSLESS_JPEG = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_EXTENDED_JPEG = ("1.2.840.10008.1.2.4.51",)
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_HTJ2K = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203))
_CODECS = {
    **dict.fromkeys(_LOSSLESS_JPEG, ("jpegsof3", "ljpeg", "jpeg8")),
    **dict.fromkeys(_EXTENDED_JPEG, ("jpeg8",)),
    **dict.fromkeys(_JPEG_LS, ("jpegls",)),
    **dict.fromkeys((*_JPEG_2000, *_HTJ2K), ("jpeg2k",)),
}

DECODER_DEPENDENCIES = dict.fromkeys(_CODECS, ("numpy", "imagecodecs"))
"""What pydicom names where a codec is missing."""


def register_codecs() -> None:
    """Tell pydicom's decoders of imagecodecs, once; their own plugins are tried too."""
    from pydicom.pixels import get_decoder

    for uid in _CODECS:
        decoder = get_decoder(uid)
        if _LABEL not in decoder.available_plugins:
            decoder.add_plugin(_LABEL, (__name__, "decode_frame"))


def is_available(uid: str) -> bool:
    """Whether imagecodecs was built with a codec for a transfer syntax."""
    return uid in _CODECS and any(_has(name) for name in _CODECS[uid])


def _has(name: str) -> bool:
    return bool(getattr(getattr(imagecodecs, name.upper(), None), "available", False))


def decode_frame(src: bytes, runner: Any) -> bytearray:
    """Decode a frame as pydicom's plugins do: raw samples, by pixel, in whole bytes."""
    pixels = _decoded(src, _CODECS[str(runner.transfer_syntax)])
    runner.set_option("bits_allocated", 8 * pixels.dtype.itemsize)
    if pixels.ndim == 3:
        runner.set_option("planar_configuration", 0)
    if str(runner.transfer_syntax) in _JPEG_2000 + _HTJ2K and pixels.ndim == 3:
        runner.set_option("photometric_interpretation", "RGB")  # OpenJPEG undoes the transform
    return bytearray(np.ascontiguousarray(pixels).tobytes())


def _decoded(src: bytes, names: tuple[str, ...]) -> NDArray[Any]:
    problem: Exception | None = None
    for name in filter(_has, names):
        try:
            pixels: NDArray[Any] = getattr(imagecodecs, f"{name}_decode")(src)
            return pixels
        except Exception as error:
            problem = problem or error
    raise problem or ValueError("no codec")
