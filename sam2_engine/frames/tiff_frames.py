"""Frames of TIFF stacks, read page by page: plain, ImageJ, OME and BigTIFF, any compression."""

import logging
import math
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames.array_frames import PlannedFrames
from sam2_engine.frames.axes import AxisPlan, plan_axes
from sam2_engine.frames.source import FrameSource, check_pixels, explain

__all__ = ["open_tiff"]

# Without a handler Python prints the library's complaints; what matters of them becomes an InputError.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def open_tiff(
    path: Path,
    *,
    axes: str | None = None,
    channel: int | None = None,
    fixed: Mapping[str, int] | None = None,
    single: bool = False,
    level: int = 0,
) -> FrameSource:
    """Open the first series of a TIFF file; ``level`` chooses one of its resolutions.

    Raises
    ------
    InputError
        If the file is not a usable TIFF, or its axes are ambiguous.
    """
    try:
        file = tifffile.TiffFile(path)
    except Exception as error:
        raise InputError(
            f"{path.name} is not a readable TIFF file ({explain(error)}); export it again."
        ) from error
    try:
        _check_complete(file)
        stack = _Stack.of(file, level)
        dtype = np.dtype(stack.pages[0].dtype)
        check_pixels(path.name, stack.shape, dtype)
        plan = plan_axes(
            path.name,
            stack.shape,
            dtype,
            declared=stack.axes,
            axes=axes,
            channel=channel,
            fixed=fixed,
            single=single,
        )
        return TiffFrames(path.name, file, stack, plan)
    except InputError:
        file.close()
        raise
    except Exception as error:
        file.close()
        raise InputError(
            f"{path.name} is a damaged TIFF file ({explain(error)}); export it again."
        ) from error


def _check_complete(file: tifffile.TiffFile) -> None:
    """Refuse a file that ends before the last of its chained pages."""
    layout, handle = file.tiff, file.filehandle
    handle.seek(file.pages[-1].offset)
    (tags,) = struct.unpack(layout.tagnoformat, handle.read(layout.tagnosize))
    handle.seek(tags * layout.tagsize, 1)
    (next_offset,) = struct.unpack(layout.offsetformat, handle.read(layout.offsetsize))
    if next_offset >= handle.size or _is_cut_off(file.pages[-1]):
        raise InputError(
            f"{file.filename} is cut off: it ends before its last page does; copy or export it again."
        )


def _is_cut_off(page: Any) -> bool:
    """Whether the file ends before a page's compressed data do; some decoders would fill up with zeros."""
    ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts)]
    return page.compression != tifffile.COMPRESSION.NONE and max(ends, default=0) > int(
        page.parent.filehandle.size
    )


@dataclass(frozen=True)
class _Stack:
    """The pages of one series; the first of its axes count pages, the last are within one."""

    series: Any
    pages: Sequence[Any]
    axes: str
    shape: tuple[int, ...]
    note: str = ""

    @classmethod
    def of(cls, file: tifffile.TiffFile, level: int) -> "_Stack":
        series = file.series
        if not series:
            raise InputError(f"{file.filename} holds no image; export it again.")
        first = series[0]
        if len(series) > 1 and all(
            len(s.pages) == 1 and s.shape == first.shape and s.dtype == first.dtype for s in series
        ):
            return cls(first, [s.pages[0] for s in series], "I" + first.axes, (len(series), *first.shape))
        if not 0 <= level < len(first.levels):
            raise InputError(f"{file.filename} has the levels 0 to {len(first.levels) - 1}, not {level}.")
        chosen = first.levels[level]
        note = f"the first of {len(series)} series in the file" if len(series) > 1 else ""
        return cls(chosen, chosen.pages, chosen.axes, tuple(chosen.shape), note)


class TiffFrames(PlannedFrames):
    """Frames of an open TIFF file, each decoded from its own pages on demand."""

    def __init__(self, name: str, file: tifffile.TiffFile, stack: _Stack, plan: AxisPlan) -> None:
        super().__init__(name, np.dtype(stack.pages[0].dtype), plan, stack.note)
        self._file = file
        self._stack = stack
        self._lock = threading.Lock()
        within = 3 if stack.axes.endswith("YXS") else 2
        self._plane_shape = stack.shape[-within:]
        self._planes = np.arange(math.prod(stack.shape[:-within])).reshape(stack.shape[:-within])
        in_pages = len(stack.pages) == self._planes.size and stack.pages[0].shape == self._plane_shape
        self._plane = self._from_page if in_pages else self._from_offset
        self._whole: Any = None
        if not in_pages and stack.series.dataoffset is None:
            self._whole = zarr.open(stack.series.aszarr(), mode="r")
        if len(self) == 1:
            file.close()

    @contextmanager
    def _opened(self) -> Iterator[None]:
        """Open a single image only while it is read: data sets have thousands of those."""
        if len(self) > 1:
            yield
            return
        self._file.filehandle.open()
        try:
            yield
        finally:
            self._file.close()

    def _read(self, frame: int) -> NDArray[Any]:
        index = self.plan.index(frame)
        with self._lock, self._opened():
            if self._whole is not None:
                return self.plan.arrange(np.asarray(self._whole[index]))
            numbers = self._planes[index[: self._planes.ndim]]
            planes = np.stack([self._plane(int(number), frame) for number in numbers.flat])
        block = planes.reshape(*numbers.shape, *self._plane_shape)
        return self.plan.arrange(block[(..., *index[self._planes.ndim :])])

    def _from_page(self, number: int, frame: int) -> NDArray[Any]:
        page = self._stack.pages[number]
        if page is None:
            raise self._unreadable(frame, "it is not in the file")
        handle = page.parent.filehandle
        if handle.closed:  # another file of a multi-file OME series
            handle.open()
        if _is_cut_off(page):
            raise self._unreadable(frame, "the file ends before it")
        pixels: NDArray[Any] = page.asarray()
        return pixels

    def _from_offset(self, number: int, frame: int) -> NDArray[Any]:
        """Read from a stack whose pixels are contiguous, though not every plane has a page of its own."""
        dtype = np.dtype(self._stack.pages[0].dtype)
        count = math.prod(self._plane_shape)
        start = self._stack.series.dataoffset + number * count * dtype.itemsize
        handle = self._file.filehandle
        if start + count * dtype.itemsize > handle.size:
            raise self._unreadable(frame, "the file ends before it")
        handle.seek(start)
        pixels: NDArray[Any] = handle.read_array(dtype.newbyteorder(self._file.byteorder), count)
        return pixels.reshape(self._plane_shape)

    def close(self) -> None:
        self._file.close()
