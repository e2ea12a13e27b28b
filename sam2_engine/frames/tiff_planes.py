"""Planes of a TIFF stack: what each holds as stored and as it is meant, and which of them are in the file."""

import math
import struct
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from tifffile import PHOTOMETRIC

from sam2_engine.errors import InputError
from sam2_engine.frames.axes import AxisPlan
from sam2_engine.frames.source import FillRange, check_pixels
from sam2_engine.frames.tiff_pixels import PageColors, Reading, page_colors, photometric_of
from sam2_engine.frames.tiff_series import PageStack, missing_companions
from sam2_engine.limits import MOST_COMPRESSED, MOST_DEFLATED, check_bytes, check_memory
from sam2_engine.wording import counted

__all__ = ["TiffPlanes", "is_sparse"]

_RATIOS = {1: 1, 5: 2000, 8: MOST_DEFLATED, 32773: 64, 32946: MOST_DEFLATED}
"""How many times smaller an image becomes at most: as it is, LZW, Deflate, PackBits."""

_FEW = 100
"""So many strips or tiles may be missing in the list of a page; decoders leave those out."""

_MOST_CUT_OFF = 1000
"""How many times as many planes as are there a file that is cut off may have had."""

_LISTED = 3
_HEADER = 8
_GDAL_NODATA = 42113
_MAX_COLORS = 4


def is_sparse(page: Any) -> bool:
    """Whether a page was never written: GDAL leaves its bytes out, and it has no data anywhere."""
    return not any(page.databytecounts) and not any(page.dataoffsets)


def _is_cut_off(page: Any) -> bool:
    """Whether the file ends before a page's pixels do; some decoders would fill up with zeros.

    Nor is a page in the file whose pixels would lie in the file's header; without any bytes it is sparse.
    """
    if any(count and offset < _HEADER for offset, count in zip(page.dataoffsets, page.databytecounts)):
        return True
    if is_sparse(page):
        return False
    if page.is_contiguous and not page.keyframe.is_subsampled:
        end = page.dataoffsets[0] + page.nbytes if page.dataoffsets else 0
    else:
        end = max((offset + count for offset, count in zip(page.dataoffsets, page.databytecounts)), default=0)
    return bool(end > page.parent.filehandle.size)


def _is_cut_short(file: tifffile.TiffFile) -> bool:
    """Whether a file ends before the next page of its chain begins, or within the last one."""
    layout, handle, last = file.tiff, file.filehandle, file.pages[-1]
    handle.seek(last.offset)
    try:
        (tags,) = struct.unpack(layout.tagnoformat, handle.read(layout.tagnosize))
        handle.seek(tags * layout.tagsize, 1)
        (next_offset,) = struct.unpack(layout.offsetformat, handle.read(layout.offsetsize))
    except struct.error:
        return True
    return bool(next_offset >= handle.size or _is_cut_off(last))


@dataclass(frozen=True)
class TiffPlanes:
    """The planes of a stack: its leading axes count them, and each is an image or one channel of it.

    Attributes
    ----------
    stack
        The pages.
    reading, colors
        What pixels are read for, and what becomes of the samples of a plane.
    stored
        Letters of the axes as they are stored.
    axes, shape
        The same with the samples of a pixel last, converted to pixels, without positions at the ends of
        axes that are not in the file.
    unit
        Shape of a plane as stored; the samples of a pixel come first if ``samples_first``.
    present
        Which planes are in the file, by position on the leading axes, as promised.
    note
        What users should know of how they are read.
    """

    stack: PageStack
    reading: Reading
    colors: PageColors
    stored: str
    axes: str
    shape: tuple[int, ...]
    unit: tuple[int, ...]
    samples_first: bool
    present: NDArray[np.bool_]
    note: str

    @classmethod
    def of(
        cls,
        file: tifffile.TiffFile,
        stack: PageStack,
        axes: str | None = None,
        *,
        single: bool = False,
        labels: bool = False,
    ) -> "TiffPlanes":
        """Look at the planes of a stack.

        Parameters
        ----------
        file, stack
            The file and its pages.
        axes
            Letters that the user gives: separate samples that they name otherwise than S and C are no colors.
        single
            Whether one image is wanted: few separate planes of 8 bits are then its colors.
        labels
            Whether pixels are labels.

        Raises
        ------
        InputError
            If they hold no pixels that an image can be made of, or more than there can be.
        """
        page = stack.keyframe
        check_pixels(file.filename, stack.shape, np.dtype(page.dtype or np.uint8))
        within = _axes_within(stack, single and axes is None)
        lead, inner, unit = stack.axes[:-within], stack.axes[-within:], stack.shape[-within:]
        gray = photometric_of(page) <= PHOTOMETRIC.MINISBLACK
        named = (axes or "").upper()[len(lead) : len(lead) + 1]
        first = inner[0] in "SC"
        reading = Reading(
            labels,
            stack.kind,
            planes=within == 2 and page.samplesperpixel > 1,
            raw=first and len(axes or "") == len(stack.axes) and named not in ("", "S", "C", "Y", "X"),
        )
        colors = page_colors(page, reading, stack.orientation)
        if stack.is_mixed:
            colors = _common(colors, stack, reading)
        check_pixels(file.filename, colors.shape, colors.dtype)
        _check_size(file.filename, page, unit)
        present = _present(file, stack, unit)
        notes = [*stack.notes, *colors.notes]
        if first and not stack.is_measured and not reading.raw:
            kind = "channels" if gray else "colors"
            notes.append(f"its {unit[0]} separate samples are read as {kind}, not as frames")
        letter = "C" if gray and ("C" in inner or not stack.is_measured) else "S"
        return cls(
            stack=stack,
            reading=reading,
            colors=colors,
            stored=stack.axes,
            axes=lead + "YX" + letter * (len(colors.shape) - 2),
            shape=(*_extent(present), *colors.shape),
            unit=unit,
            samples_first=first,
            present=present,
            note="; ".join(notes),
        )

    @property
    def are_pages(self) -> bool:
        """Whether each plane has a page of its own."""
        return self.stack.in_pages(self.unit)

    @property
    def fill_values(self) -> list[FillRange]:
        """The value that GDAL declares to be no data, as it is among the pixels."""
        page = self.stack.keyframe
        text, dtype = page.tags.valueof(_GDAL_NODATA), np.dtype(page.dtype)
        try:
            value = float(str(text).strip(" \0"))
        except ValueError:
            return []
        if dtype.kind != "f" and not (
            value.is_integer() and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max
        ):
            return []
        if photometric_of(page) == PHOTOMETRIC.MINISWHITE and not self.reading.labels:
            value = float(self.colors.convert(np.full((1, 1), value, dtype))[0, 0])
        is_converted = self.colors.dtype != dtype or len(self.colors.shape) > len(self.unit)
        return [] if is_converted else [(value, value)]

    def converted(self, samples: NDArray[Any], page: Any = None) -> NDArray[Any]:
        """Return the pixels of a plane, for its samples as stored and the page that has them, if one has."""
        colors = self.colors
        if page is not None and self._has_own_colors(page):
            page = page.aspage()
            colors = page_colors(page, self.reading, self.stack.orientation)
        first = samples.ndim == 3 and (page.axes[0] in "SC" if page is not None else self.samples_first)
        return self.alike(colors.convert(np.moveaxis(samples, 0, -1) if first else samples))

    def _has_own_colors(self, page: Any) -> bool:
        """Whether a page may differ in what tifffile does not compare: its palette and orientation."""
        keyframe = self.stack.keyframe
        if isinstance(page, tifffile.TiffPage):
            return page is not keyframe
        return photometric_of(keyframe) == PHOTOMETRIC.PALETTE or self.colors.orientation != 1

    def alike(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return pixels of another kind in the form that all planes have in common."""
        shape, dtype = self.colors.shape, self.colors.dtype
        if pixels.dtype == np.bool_ and dtype == np.uint8:
            pixels = pixels.astype(np.uint8) * np.uint8(255)
        if pixels.ndim == 2 and len(shape) == 3:
            pixels = np.repeat(pixels[..., None], shape[2], axis=2)
        if pixels.shape != shape:
            raise ValueError(f"it is {pixels.shape[:2]} in size, but the first is {shape[:2]}")
        return pixels.astype(dtype, copy=False)

    def letters(self, axes: str | None) -> str | None:
        """Return the letters that a user gives for the axes as stored, in the order of ``self.axes``."""
        lead = self.present.ndim
        source = self.stack.source
        if axes and source is not None and len(axes) == len(source.axes) > len(self.stored):
            axes = axes[: len(self.stored)]
        if axes is None or len(axes) not in (len(self.stored), len(self.axes)):
            return axes
        given, pixel = axes.upper(), len(self.axes) - lead
        if self.samples_first and given[lead : lead + 1] not in ("Y", "X"):
            given = given[:lead] + given[lead + 1 :] + given[lead]
        elif len(given) < len(self.axes):
            given += "S" if "S" not in given else "C"
        return given[: lead + pixel]

    def planned(self, file: tifffile.TiffFile, plan: AxisPlan) -> tuple[AxisPlan, str]:
        """Return the plan without the frames at its end that are not in the file, and a note on those.

        Raises
        ------
        InputError
            If none of its frames is there.
        """
        lead = self.present.ndim
        extent = _extent(self.present)
        letters = plan.axes[:lead]
        there = self.present[tuple(slice(0, n) for n in extent)]
        there = there[tuple(plan.fixed.get(letter, slice(None)) for letter in letters)]
        free = [letter for letter in letters if letter not in plan.fixed]
        others = tuple(i for i, letter in enumerate(free) if letter != plan.axis)
        frames = np.atleast_1d(there.all(axis=others))
        if not frames.any():
            channels = ", or choose a channel that is there (--channel)" if self.present.any() else ""
            raise InputError(f"{file.filename} {self._nothing(file)}; copy or export it again{channels}.")
        if plan.axis not in free:
            return plan, self._missing(file, plan, np.ones(1, bool), 1)
        promised = self.present.shape[letters.index(plan.axis)]
        count = int(np.flatnonzero(frames)[-1]) + 1
        shape = tuple(count if letter == plan.axis else n for letter, n in zip(plan.axes, plan.shape))
        return replace(plan, shape=shape), self._missing(file, plan, frames[:count], promised)

    def _nothing(self, file: tifffile.TiffFile) -> str:
        companions = missing_companions(file)
        if companions:
            return f"is one file of a set, of which {_listed(companions)}"
        if self.present.any():
            return "holds no frame with all of its channels, though its metadata promise some"
        return "is cut off: it ends before its first frame does"

    def _missing(
        self, file: tifffile.TiffFile, plan: AxisPlan, frames: NDArray[np.bool_], promised: int
    ) -> str:
        """Say which of the promised frames and positions are not in the file."""
        parts = []
        for letter, whole, there in zip(plan.axes, self.present.shape, _extent(self.present)):
            if there < whole and letter != plan.axis:
                verb = "is" if there == 1 else "are"
                parts.append(f"only {there} of the {whole} positions on {letter} {verb} in the file")
        missing = promised - int(frames.sum())
        described = self.stack.kind not in ("generic", "uniform")
        if missing:
            whose = "that its metadata promise" if described else "that it begins"
            verb = "is" if missing == 1 else "are"
            parts.append(f"{missing} of the {counted(promised, 'frame')} {whose} {verb} not in the file")
        if not described and _is_cut_short(file):
            parts.append("the file is cut off, and what came behind is lost")
        holes = np.flatnonzero(~frames)
        if holes.size:
            parts.append(f"reading {_listed([str(hole) for hole in holes], 'frame')} is refused")
        companions = missing_companions(file) if parts else []
        if companions:
            parts.append(_listed(companions))
        return ", ".join(parts)


def _listed(names: list[str], noun: str = "") -> str:
    rest = len(names) - _LISTED
    text = ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")
    return f"{noun}{'s' * (len(names) > 1)} {text}" if noun else text


def _axes_within(stack: PageStack, single: bool) -> int:
    """Return how many of the last axes make up a plane."""
    page = stack.keyframe
    whole = stack.shape[-page.ndim :] == page.shape and page.imagedepth == 1
    color = single and page.dtype == np.uint8 and page.samplesperpixel <= _MAX_COLORS
    if not whole or (stack.has_planes_in_pages and not color):
        return 3 if stack.axes.endswith("YXS") else 2
    return int(page.ndim)


def _common(colors: PageColors, stack: PageStack, reading: Reading) -> PageColors:
    """Return colors that pages of several kinds have in common: RGB if one has color, gray otherwise."""
    every = [page_colors(page, reading) for page in stack.pages]
    richest = max(
        every, key=lambda one: (len(one.shape), np.dtype(one.dtype).itemsize, one.dtype != np.bool_)
    )
    return replace(colors, axes=richest.axes, shape=richest.shape, dtype=richest.dtype)


def _extent(present: NDArray[np.bool_]) -> tuple[int, ...]:
    """Return the lengths of the leading axes up to the last position with anything in the file."""
    if not present.ndim or not present.any():
        return present.shape
    return tuple(int(positions.max()) + 1 for positions in np.nonzero(present))


def _present(file: tifffile.TiffFile, stack: PageStack, unit: tuple[int, ...]) -> NDArray[np.bool_]:
    lead = stack.shape[: len(stack.shape) - len(unit)]
    count = math.prod(lead)
    if stack.in_pages(unit):
        there = [page is not None and not _is_cut_off(page) for page in stack.pages[:count]]
    elif stack.offset is not None:
        size = math.prod(unit) * np.dtype(stack.keyframe.dtype).itemsize
        held = max(0, file.filehandle.size - stack.offset)
        check_bytes(file.filename, (count, *unit), count * size, held, _MOST_CUT_OFF)
        there = [True] * min(count, held // size)
        there += [False] * (count - len(there))
    else:
        whole = all(page is not None and not _is_cut_off(page) for page in stack.pages)
        there = [whole] * count
    return np.array(there, bool).reshape(lead)


def _check_size(name: str, page: Any, unit: tuple[int, ...]) -> None:
    """Refuse a header that asks for more than can be.

    Raises
    ------
    InputError
        If a plane needs more memory than there is, or the file cannot hold so much.
    """
    size = math.prod(unit) * np.dtype(page.dtype).itemsize
    ratio = _RATIOS.get(int(page.compression), MOST_COMPRESSED)
    unpacked = 8 * np.dtype(page.dtype).itemsize / page.bitspersample
    check_bytes(name, unit, size, sum(page.databytecounts), ratio * unpacked)
    check_memory(name, unit, size)
    pieces, there = math.prod(page.chunked), len(page.dataoffsets)
    if pieces > 2 * there + _FEW:
        raise InputError(
            f"{name} is damaged: its header asks for an image of {' x '.join(map(str, unit))} in {pieces} "
            f"strips or tiles, but lists {there} of them; export it again."
        )
