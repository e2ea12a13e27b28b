"""Frames and results as they travel between a program and a worker: small, and the same to the bit."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource, open_frames
from sam2_engine.frames.source import FillRange
from sam2_engine.video.frame_result import FrameResult

__all__ = ["FrameDescription", "PackedArray", "packed", "unpacked"]

_BLOSC_BYTES = 2**31 - 2**20
"""Beyond, arrays travel as they are."""


@dataclass(frozen=True, eq=False)
class PackedArray:
    """An array, compressed without loss.

    Examples
    --------
    >>> PackedArray.of(np.arange(6).reshape(2, 3)).array().tolist()
    [[0, 1, 2], [3, 4, 5]]
    >>> PackedArray.of(np.zeros((0, 4), np.float32)).array().shape
    (0, 4)
    """

    shape: tuple[int, ...]
    dtype: str
    data: bytes
    is_compressed: bool

    @classmethod
    def of(cls, array: NDArray[Any]) -> Self:
        """Pack an array."""
        whole = np.ascontiguousarray(array)
        fits = 0 < whole.nbytes < _BLOSC_BYTES
        data = blosc.compress(whole, b"zstd", 1, blosc.SHUFFLE) if fits else whole.tobytes()
        return cls(array.shape, whole.dtype.str, data, fits)

    def array(self) -> NDArray[Any]:
        """Return the array."""
        array = np.empty(self.shape, self.dtype)
        if self.is_compressed:
            blosc.decompress(self.data, array)
        else:
            array.reshape(-1).view(np.uint8)[:] = np.frombuffer(self.data, np.uint8)
        return array


def packed(result: FrameResult) -> tuple[FrameResult, PackedArray]:
    """Return a result without its logits, and these packed."""
    return replace(result, low_res_logits=np.zeros((0, 1, 1), np.float32)), PackedArray.of(
        result.low_res_logits
    )


def unpacked(result: FrameResult, logits: PackedArray) -> FrameResult:
    """Return a result with its logits."""
    return replace(result, low_res_logits=logits.array())


@dataclass(frozen=True)
class FrameDescription:
    """What a source of frames says of itself, without a pixel.

    Attributes
    ----------
    opened_as, digest
        How it was opened, if it is a file, and a sum of its first frame: who sees the same file need not be
        sent the frames.
    """

    name: str
    shape: tuple[int, int]
    channels: int
    dtype: str
    length: int | None
    axes: str
    axis: str
    is_rgb: bool
    fill_values: Sequence[FillRange]
    opened_as: tuple[Path, dict[str, Any]] | None = None
    digest: bytes = b""

    @classmethod
    def of(cls, frames: FrameSource) -> Self:
        """Describe a source."""
        digest = b"" if frames.opened_as is None else _digest(frames)
        return cls(
            frames.name,
            frames.shape,
            frames.channels,
            frames.dtype.str,
            frames.length,
            frames.axes,
            frames.axis,
            frames.is_rgb,
            frames.fill_values,
            frames.opened_as if digest else None,
            digest,
        )

    def open_shared(self) -> FrameSource | None:
        """Return the same frames from the same file, if it is here."""
        if self.opened_as is None or not self.opened_as[0].exists():
            return None
        path, options = self.opened_as
        try:
            frames = open_frames(path, **options)
        except (InputError, OSError):
            return None
        if self == self.of(frames):
            return frames
        frames.close()
        return None


def _digest(frames: FrameSource) -> bytes:
    """Return a sum of the first frame; nothing if it cannot be read."""
    try:
        return hashlib.blake2b(np.ascontiguousarray(frames[0]).data, digest_size=16).digest()
    except InputError:
        return b""
