"""Frames of TIFF stacks, read page by page: plain, ImageJ, OME and BigTIFF, any compression."""

import logging
import math
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from PIL import Image

from sam2_engine.errors import InputError
from sam2_engine.frames.array_frames import PlannedFrames
from sam2_engine.frames.axes import AxisPlan, plan_axes
from sam2_engine.frames.images.pixel_limit import most_pixels, up_to
from sam2_engine.frames.series import Series
from sam2_engine.frames.source import FrameSource, explain
from sam2_engine.frames.spacing import as_read
from sam2_engine.frames.tiff_pixels import is_subsampled_raw, needs_pillow, subsampled_colors
from sam2_engine.frames.tiff_planes import TiffPlanes, is_sparse
from sam2_engine.frames.tiff_series import choose_stack, missing_companions

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
    labels: bool = False,
    level: int = 0,
    series: Series = None,
) -> FrameSource:
    """Open one series of a TIFF file, by default the largest; ``level`` chooses one of its resolutions.

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
        planes = TiffPlanes.of(file, choose_stack(file, series, level), axes, single=single, labels=labels)
        plan = plan_axes(
            path.name,
            planes.shape,
            planes.colors.dtype,
            declared=planes.axes,
            axes=planes.letters(axes),
            channel=channel,
            fixed=fixed,
            single=single,
        )
        return TiffFrames(path.name, file, planes, *planes.planned(file, plan))
    except InputError:
        file.close()
        raise
    except Exception as error:
        file.close()
        raise InputError(
            f"{path.name} is a damaged TIFF file ({explain(error)}); export it again."
        ) from error


class TiffFrames(PlannedFrames):
    """Frames of an open TIFF file, each decoded from its own pages on demand."""

    def __init__(
        self, name: str, file: tifffile.TiffFile, planes: TiffPlanes, plan: AxisPlan, note: str
    ) -> None:
        notes = "; ".join(filter(None, (planes.note, note)))
        sizes = as_read(plan.axes, planes.axes, planes.stack.spacing)
        super().__init__(name, planes.colors.dtype, plan, notes, planes.fill_values, sizes)
        self.holds_labels = planes.reading.labels
        self._file = file
        self._planes = planes
        self._lock = threading.Lock()
        self._closed = False
        self._numbers = np.arange(planes.present.size).reshape(planes.present.shape)
        self._whole: Any = None
        if not planes.are_pages and planes.stack.offset is None:
            self._whole = zarr.open(planes.stack.source.aszarr(), mode="r")
        if len(self) == 1:
            file.close()

    @contextmanager
    def _opened(self) -> Iterator[None]:
        """Open a single image only while it is read: data sets have thousands of those."""
        if len(self) > 1:
            if self._closed:
                raise self._was_closed()
            yield
            return
        self._file.filehandle.open()
        try:
            yield
        finally:
            self._file.close()

    def _read(self, frame: int) -> NDArray[Any]:
        index = self.plan.index(frame)
        lead = self._numbers.ndim
        with self._lock, self._opened():
            numbers = self._numbers[index[:lead]]
            planes = np.stack([self._plane(int(number), frame) for number in numbers.flat])
        block = planes.reshape(*numbers.shape, *self._planes.colors.shape)
        return self.plan.arrange(block[(..., *index[lead:])])

    def _plane(self, number: int, frame: int) -> NDArray[Any]:
        """Return the pixels of one plane, upright and in their colors."""
        planes = self._planes
        if not planes.present.flat[number]:
            raise self._unreadable(frame, self._reason(number))
        if planes.are_pages:
            return self._from_page(planes.stack.pages[number])
        if self._whole is None:
            samples = self._from_offset(number)
        else:
            where = np.unravel_index(number, planes.present.shape)
            samples = np.asarray(self._whole[tuple(int(i) for i in where)])
        return planes.converted(samples.reshape(planes.unit))

    def _reason(self, number: int) -> str:
        page = self._planes.stack.pages[number] if self._planes.are_pages else self._planes.stack.keyframe
        if page is not None:
            name = page.parent.filename
            return "the file ends before it" if name == self.name else f"{name} ends before it"
        return "; ".join(missing_companions(self._file)[:1]) or "it is not in the file"

    def _from_page(self, page: Any) -> NDArray[Any]:
        handle = page.parent.filehandle
        if handle.closed:  # another file of a multi-file OME series
            handle.open()
        if is_sparse(page):
            return self._planes.converted(np.full(page.shape, page.keyframe.nodata, page.dtype), page)
        if is_subsampled_raw(page.keyframe):
            return self._planes.converted(subsampled_colors(page), page)
        readers = [lambda: self._planes.converted(page.asarray(), page)]
        readers.insert(0 if needs_pillow(page.keyframe) else 1, lambda: self._planes.alike(_by_pillow(page)))
        try:
            return readers[0]()
        except Exception as error:
            damaged = isinstance(error, RuntimeError) and not isinstance(error, NotImplementedError)
            if damaged or isinstance(error, MemoryError):
                raise
            try:
                return readers[1]()
            except Exception:
                raise error from None

    def _from_offset(self, number: int) -> NDArray[Any]:
        """Read from a stack whose pixels are contiguous, though not every plane has a page of its own."""
        stack = self._planes.stack
        dtype = np.dtype(stack.keyframe.dtype)
        count = math.prod(self._planes.unit)
        handle = self._file.filehandle
        handle.seek((stack.offset or 0) + number * count * dtype.itemsize)
        pixels: NDArray[Any] = handle.read_array(dtype.newbyteorder(self._file.byteorder), count)
        return pixels

    def close(self) -> None:
        with self._lock:  # another thread may be reading
            self._closed = True
            self._file.close()


def _by_pillow(page: Any) -> NDArray[Any]:
    """Return the pixels of a page as libtiff reads them, through Pillow: upright, and in their colors.

    Raises
    ------
    ValueError
        If it is no page that Pillow finds.
    """
    if page.is_subifd:
        raise ValueError("subsampled colors below another page")
    with warnings.catch_warnings(), up_to(most_pixels()):
        warnings.simplefilter("ignore")  # of tags
        with Image.open(page.parent.filehandle.path, formats=["TIFF"]) as image:
            image.seek(page.index)
            image.load()
            plain = image.mode in ("1", "L", "F") or image.mode.startswith("I")
            return np.array(image if plain else image.convert("RGB"))
