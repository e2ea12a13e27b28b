"""Label Studio's run-length encoding of a brush mask, over the ``H * W * 4`` bytes of an RGBA image.

The stream is a 32-bit count of values, 5 bits for the size of a value less one, and four times 4 bits
for the sizes of a length less one. Then come blocks until the count is reached: 1 bit (a run of one
value, or a sequence of values), 2 bits that choose the length's size, the length less one, and the
value or values. The last byte is filled up with zeros. A mask is in all four channels, as 0 or 255.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError

__all__ = ["decode_brush_rle", "encode_brush_rle"]

_CHANNELS = 4
_VALUE_BITS = 8
_LENGTH_BITS = (4, 8, 12, 16)


def encode_brush_rle(mask: NDArray[np.bool_]) -> list[int]:
    """Encode a mask ``(H, W)`` bool as the bytes of a brush region's ``rle``."""
    flat = np.ascontiguousarray(mask, dtype=bool).ravel()
    starts = [0, *(np.flatnonzero(flat[1:] != flat[:-1]) + 1).tolist(), flat.size]
    blocks = [f"{flat.size * _CHANNELS:032b}{_VALUE_BITS - 1:05b}"]
    blocks += [f"{bits - 1:04b}" for bits in _LENGTH_BITS]
    for start, stop in pairwise(starts):
        blocks.append(_run(_CHANNELS * (stop - start), bool(flat[start]) if stop > start else False))
    bits = np.frombuffer("".join(blocks).encode("ascii"), dtype=np.uint8) - ord("0")
    packed: list[int] = np.packbits(bits).tolist()
    return packed


def _run(length: int, inside: bool) -> str:
    value = f"{255 if inside else 0:0{_VALUE_BITS}b}"
    blocks = []
    while length:
        block = min(length, 2 ** _LENGTH_BITS[-1])
        choice = next(i for i, bits in enumerate(_LENGTH_BITS) if block <= 2**bits)
        blocks.append(f"1{choice:02b}{block - 1:0{_LENGTH_BITS[choice]}b}{value}")
        length -= block
    return "".join(blocks)


def decode_brush_rle(rle: Sequence[int], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode a brush region's ``rle`` to a mask ``(H, W)`` bool; a pixel is inside if its alpha is not 0.

    Raises
    ------
    InputError
        If the bytes do not describe an image of ``shape`` (H, W).
    """
    height, width = shape
    try:
        stream = _BitStream(np.asarray(rle, dtype=np.uint8))
        values = _unpack(stream, height * width * _CHANNELS)
    except (ValueError, OverflowError, TypeError):
        raise InputError(
            f"The brush region's rle does not hold an image {width} wide and {height} high; "
            "export the annotation again."
        ) from None
    inside: NDArray[np.bool_] = values.reshape(height, width, _CHANNELS)[..., -1] != 0
    return inside


class _BitStream:
    """Reads whole numbers from bits, most significant first."""

    def __init__(self, packed: NDArray[np.uint8]) -> None:
        self._bits = np.unpackbits(packed)
        self._position = 0

    def read(self, bits: int) -> int:
        return int(self.read_many(1, bits)[0])

    def read_many(self, count: int, bits: int) -> NDArray[np.int64]:
        stop = self._position + count * bits
        if stop > self._bits.size:
            raise ValueError("the stream ends too early")
        digits = self._bits[self._position : stop].reshape(count, bits)
        self._position = stop
        return digits @ (1 << np.arange(bits - 1, -1, -1, dtype=np.int64))


def _unpack(stream: _BitStream, count: int) -> NDArray[np.int64]:
    if stream.read(32) != count:
        raise ValueError("the stream is of another size")
    value_bits = stream.read(5) + 1
    length_bits = [stream.read(4) + 1 for _ in range(4)]
    values = np.zeros(count, dtype=np.int64)
    filled = 0
    while filled < count:
        is_run = stream.read(1)
        length = stream.read(length_bits[stream.read(2)]) + 1
        if filled + length > count:
            raise ValueError("the stream holds too many values")
        block = stream.read_many(1 if is_run else length, value_bits)
        values[filled : filled + length] = block
        filled += length
    return values
