"""Label images as TIFF: (Y, X) or (T, Y, X) unsigned integers, 0 is background, one value per object."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from sam2_plugins.files import replacing

__all__ = ["LabelStackWriter", "write_label_image"]

_CLASSIC_TIFF_BYTES = 2**32 - 2**25
"""Above this a TIFF needs 64-bit offsets, which ImageJ's own format does not have."""


def write_label_image(path: Path, labels: NDArray[Any]) -> None:
    """Write one (H, W) label image that ImageJ opens (16 bit, or 32 bit where ids need it)."""
    with LabelStackWriter.open(path, (1, *labels.shape), labels.dtype, axes="YX") as stack:
        stack.write(0, labels)


class LabelStackWriter:
    """A label stack on disk that is filled frame by frame, in any order; the rest stays 0.

    The stack is never in memory, and is written aside: the file appears under its name when the
    ``with`` block of :meth:`open` ends, and not at all if that ends with an exception.
    """

    def __init__(
        self, file: BinaryIO, offset: int, shape: tuple[int, int, int], dtype: "np.dtype[Any]"
    ) -> None:
        self._file = file
        self._offset = offset
        self.shape = shape
        self.dtype = dtype

    @classmethod
    @contextmanager
    def open(
        cls, path: Path, shape: tuple[int, int, int], dtype: "np.dtype[Any]", axes: str = "TYX"
    ) -> Iterator["LabelStackWriter"]:
        """Create the stack.

        Parameters
        ----------
        path
            Where it will be.
        shape
            ``(T, H, W)``.
        dtype
            An unsigned integer type, see :func:`sam2_plugins.label_image.label_dtype`.
        axes
            ``TYX``, ``ZYX``, or ``YX`` for a single image.

        Raises
        ------
        OSError
            If it cannot be written; nothing is left behind then.
        """
        num_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        imagej = dtype == np.uint16 and num_bytes < _CLASSIC_TIFF_BYTES
        stored_shape = shape[1:] if axes == "YX" else shape
        with replacing(path) as aside:
            tifffile.imwrite(
                aside,
                shape=stored_shape,
                dtype=dtype.newbyteorder(">" if imagej else "="),
                byteorder=">" if imagej else None,
                imagej=imagej,
                bigtiff=num_bytes >= _CLASSIC_TIFF_BYTES,
                photometric="minisblack",
                metadata={"axes": axes},
            )
            with tifffile.TiffFile(aside) as tiff:
                offset, stored = tiff.series[0].dataoffset, tiff.byteorder
            with aside.open("r+b") as file:
                yield cls(file, int(offset), shape, dtype.newbyteorder(stored))

    def write(self, frame: int, labels: NDArray[Any]) -> None:
        """Write the (H, W) labels of one frame, 0 <= ``frame`` < T."""
        if not 0 <= frame < self.shape[0] or labels.shape != self.shape[1:]:
            raise ValueError(f"frame {frame} of shape {labels.shape} does not fit a stack of {self.shape}")
        page = np.ascontiguousarray(labels, dtype=self.dtype)
        self._file.seek(self._offset + frame * page.nbytes)
        self._file.write(page.data)
