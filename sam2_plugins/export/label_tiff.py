"""TIFF label images, (Y, X) to (T, Z, Y, X) unsigned integers: 0 is background, one value per object."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import EFBIG
from io import SEEK_END, FileIO
from itertools import accumulate, repeat
from pathlib import Path
from struct import calcsize, pack
from struct import error as StructError
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from sam2_engine.disk import replacing, when_full
from sam2_engine.frames.spacing.units import LENGTH_UNITS
from sam2_plugins.export.targets import ExportSummary, LabelImages, source_of
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.runtime.atomic_files import new_file
from sam2_plugins.session.readable import LongWork, ReadableSession

__all__ = ["OME_SUFFIXES", "TIFF_SUFFIXES", "LabelStackWriter", "write_label_image", "write_label_tiff"]

TIFF_SUFFIXES = (".tif", ".tiff")
OME_SUFFIXES = (".ome.tif", ".ome.tiff")

_CLASSIC_TIFF_BYTES = 2**32 - 2**25
"""Above this, uncompressed, a TIFF gets 64-bit offsets, which ImageJ's own format does not have."""

_STRIP_BYTES = 4 * 2**20
"""Uncompressed size of the strips of large planes, of which programs read a part at a time."""

_LEVEL = 6
"""Of deflate: half the size of level 1, for no more time, as labels are long runs of equal numbers."""

_TAG_TYPES = {3: "H", 4: "I", 16: "Q"}
"""Of TIFF's types of whole numbers, what ``struct`` calls them."""


def write_label_image(path: str | Path, labels: NDArray[Any], scale: PhysicalScale | None = None) -> None:
    """Write one (H, W) label image that ImageJ opens (16 bit, or 32 bit where ids need it), with its sizes.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> labels = np.zeros((40, 60), np.uint16)
    >>> labels[10:20, 5:15] = 7
    >>> with TemporaryDirectory() as folder:
    ...     write_label_image(Path(folder) / "labels.tif", labels)
    ...     int(tifffile.imread(Path(folder) / "labels.tif").max())
    7
    """
    path = Path(path)
    with LabelStackWriter.open(path, (1, *labels.shape), labels.dtype, axes="YX", scale=scale) as stack:
        stack.write(0, labels)


@LongWork
def write_label_tiff(
    session: ReadableSession, path: str | Path, scale: PhysicalScale | None = None, *, overwrite: bool = False
) -> Generator[int, None, ExportSummary]:
    """Write the label images of a session as one TIFF stack.

    A name that ends in ``.ome.tif`` makes an OME-TIFF. Others are ImageJ's, with 16 bits; if an id needs
    32 bits, or the stack 4 GB, which ImageJ's own format does not have, it is a plain TIFF.

    Yields
    ------
    int
        Each frame, once it is written.

    Raises
    ------
    InputError
        If there is nothing to write, or it cannot be written there.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sam2_plugins.runtime.model_store import ModelStore
    >>> from sam2_plugins.session.annotation_session import AnnotationSession
    >>> session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore("cpu"), axes="TYX")
    >>> for frame in range(2):
    ...     session.import_masks(frame, {1: np.ones((40, 60), bool)})
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels.ome.tif"
    ...     summary = write_label_tiff(session, path, PhysicalScale((0.5, 0.5), "µm"))
    ...     tifffile.imread(path).shape
    (2, 40, 60)
    """
    path, scale = Path(path), scale or PhysicalScale.of(session.frames)
    labels = LabelImages(session)
    shape = (labels.length, *labels.shape)
    with (
        new_file(path, suffixes=TIFF_SUFFIXES, inputs=source_of(session), overwrite=overwrite) as aside,
        LabelStackWriter.into(
            aside,
            shape,
            labels.dtype,
            f"{labels.axis}YX",
            scale=scale,
            ome=path.name.lower().endswith(OME_SUFFIXES),
        ) as stack,
    ):
        for frame in range(labels.length):
            stack.write(frame, labels[frame])
            yield frame
    return ExportSummary(path, labels.length, labels.num_objects, labels.changes)


class LabelStackWriter:
    """A label stack on disk that is filled frame by frame, in any order; the rest stays 0.

    The stack is never in memory, and is written aside: the file appears under its name when the
    ``with`` block of :meth:`open` ends, and not at all if that ends with an exception.

    Every page is compressed (deflate). They all begin as the same page of zeros; a frame goes behind what is
    there, and then its page is told where it is, in one write: whenever the process is killed, the file is a
    TIFF with all frames until then.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels.tif"
    ...     with LabelStackWriter.open(path, (3, 40, 60), np.dtype(np.uint16)) as stack:
    ...         stack.write(1, np.full((40, 60), 7, np.uint16))
    ...     tifffile.imread(path).max(axis=(1, 2)).tolist()
    [0, 7, 0]
    """

    def __init__(
        self, file: FileIO, pages: list["_PageEntry"], shape: tuple[int, ...], dtype: "np.dtype[Any]"
    ) -> None:
        self._file = file
        self._pages = pages
        self.shape = shape
        self.dtype = dtype

    @classmethod
    @contextmanager
    def open(
        cls,
        path: str | Path,
        shape: tuple[int, ...],
        dtype: "np.dtype[Any]",
        axes: str = "TYX",
        *,
        scale: PhysicalScale | None = None,
    ) -> Iterator["LabelStackWriter"]:
        """Create the stack.

        Parameters
        ----------
        path
            Where it will be.
        shape
            ``(T, H, W)``, or ``(T, Z, H, W)``.
        dtype
            An unsigned integer type, see :func:`sam2_plugins.session.label_image.label_dtype`.
        axes
            ``TYX``, ``ZYX``, ``TZYX``, or ``YX`` for a single image.
        scale
            Sizes of pixels, planes and frames, where they are known.

        Raises
        ------
        OSError
            If it cannot be written; nothing is left behind then.
        """
        path = Path(path)
        with replacing(path) as aside, cls.into(aside, shape, dtype, axes, scale=scale) as stack:
            yield stack

    @classmethod
    @contextmanager
    def into(
        cls,
        path: str | Path,
        shape: tuple[int, ...],
        dtype: "np.dtype[Any]",
        axes: str = "TYX",
        *,
        scale: PhysicalScale | None = None,
        ome: bool = False,
    ) -> Iterator["LabelStackWriter"]:
        """Create the stack under its final name at once, for callers who rename it; see :meth:`open`."""
        path = Path(path)
        num_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        imagej = not ome and dtype == np.uint16 and num_bytes < _CLASSIC_TIFF_BYTES
        metadata = {"axes": axes}
        if scale is not None:
            metadata |= _ome_sizes(scale, axes) if ome else _imagej_sizes(scale, axes)
        rows = max(1, min(shape[-2], _STRIP_BYTES // (shape[-1] * dtype.itemsize)))
        num_strips = int(np.prod(shape[:-2], dtype=np.int64)) * -(-shape[-2] // rows)
        with when_full(path):
            tifffile.imwrite(
                path,
                repeat((b"", 0), num_strips),  # the pages' entries alone
                shape=shape[1:] if axes == "YX" else shape,
                dtype=dtype.newbyteorder(">" if imagej else "="),
                byteorder=">" if imagej else None,
                imagej=imagej,
                ome=ome,
                bigtiff=num_bytes >= _CLASSIC_TIFF_BYTES,
                photometric="minisblack",
                compression="zlib",
                rowsperstrip=rows,
                **_resolution(scale, plain=not imagej and not ome),
                metadata=metadata,
            )
        with tifffile.TiffFile(path, mode="r+") as tiff:
            tiff.pages.useframes = False
            if imagej:  # "images=3" lets ImageJ 1.51, for one, look for three images that are not compressed
                described = tiff.pages[0].tags["ImageDescription"]
                described.overwrite(described.value.replace("images=", "planes="))
            pages, stored = [_PageEntry.of(page) for page in tiff.pages], dtype.newbyteorder(tiff.byteorder)
        with path.open("r+b", buffering=0) as file:  # a failed write is told at once, and of that frame
            stack = cls(file, pages, shape, stored)
            with when_full(path):
                stack._put(range(len(pages)), np.zeros(shape[-2:], stored))
            yield stack

    def write(self, frame: int, labels: NDArray[Any]) -> None:
        """Write the (H, W) labels of one frame, 0 <= ``frame`` < T; of (T, Z, H, W), ``t * Z + z``.

        Raises
        ------
        OSError
            If they cannot be written; that frame then stays as it was, and the others, too.
        """
        if not 0 <= frame < len(self._pages) or labels.shape != self.shape[-2:]:
            raise ValueError(f"frame {frame} of shape {labels.shape} does not fit a stack of {self.shape}")
        self._put([frame], labels)

    def _put(self, frames: Iterable[int], labels: NDArray[Any]) -> None:
        """Append what is in some frames, then let their pages say where it is."""
        rows = self._pages[0].rows
        stored = labels.astype(self.dtype, copy=False)
        strips = [
            imagecodecs.deflate_encode(stored[row : row + rows].tobytes(), _LEVEL)
            for row in range(0, len(stored), rows)
        ]
        end = self._file.seek(0, SEEK_END)
        try:
            self._write(b"".join(strips))
        except OSError:
            with suppress(OSError):
                self._file.truncate(end)
            raise
        sizes = [len(strip) for strip in strips]
        for frame in frames:
            page = self._pages[frame]
            self._file.seek(page.start)
            entry = page.pointing_to(self._file.read(page.length), end, sizes)
            self._file.seek(page.start)
            self._write(entry)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]


class _PageEntry(NamedTuple):
    """The bytes of a page's entry in a TIFF, from the offsets of its strips to the end of their sizes."""

    start: int
    length: int
    rows: int
    offset_type: str
    size_type: str

    @classmethod
    def of(cls, page: Any) -> "_PageEntry":
        offsets, sizes = page.tags["StripOffsets"], page.tags["StripByteCounts"]
        order = page.parent.byteorder
        types = [f"{order}{tag.count}{_TAG_TYPES[int(tag.dtype)]}" for tag in (offsets, sizes)]
        end = sizes.valueoffset + calcsize(types[1])
        return cls(offsets.valueoffset, end - offsets.valueoffset, page.rowsperstrip, *types)

    def pointing_to(self, entry: bytes, offset: int, sizes: list[int]) -> bytes:
        """Return the entry with strips of some sizes, the first at ``offset``.

        Raises
        ------
        OSError
            If they lie beyond the 4 GB of a TIFF that is no BigTIFF.
        """
        try:
            offsets = pack(self.offset_type, *accumulate(sizes[:-1], initial=offset))
            counts = pack(self.size_type, *sizes)
        except StructError:
            raise OSError(EFBIG, "A TIFF of ImageJ ends at 4 GB") from None
        return offsets + entry[len(offsets) : -len(counts)] + counts


def _resolution(scale: PhysicalScale | None, *, plain: bool) -> dict[str, Any]:
    """Return pixels per unit, of a TIFF that cannot name another one per centimeter."""
    if scale is None:
        return {}
    plain = plain and scale.unit in LENGTH_UNITS
    height, width = (scale.in_unit("cm") if plain else scale).pixel_size
    return {"resolution": (1 / width, 1 / height)} | ({"resolutionunit": "CENTIMETER"} if plain else {})


def _imagej_sizes(scale: PhysicalScale, axes: str) -> dict[str, Any]:
    """Return ImageJ's words for a scale; the size of a pixel is in the TIFF's resolution."""
    sizes: dict[str, Any] = {"unit": "um" if scale.unit == "µm" else scale.unit}  # the text is ASCII
    if "Z" in axes:
        sizes["spacing"] = scale.plane_spacing
    if "T" in axes and scale.has_time:
        sizes |= {"finterval": scale.frame_interval, "tunit": scale.time_unit}
    return sizes


def _ome_sizes(scale: PhysicalScale, axes: str) -> dict[str, Any]:
    """Return OME's words for a scale; what is not physical is left out."""
    sizes: dict[str, Any] = {}
    if scale.is_physical:
        lengths = {"Y": scale.pixel_size[0], "X": scale.pixel_size[1]}
        if "Z" in axes:
            lengths["Z"] = scale.plane_spacing
        for axis, size in lengths.items():
            sizes |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": scale.unit}
    if scale.has_time and "T" in axes:
        sizes |= {"TimeIncrement": scale.frame_interval, "TimeIncrementUnit": scale.time_unit}
    return sizes
