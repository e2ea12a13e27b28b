"""Frames of DICOM by pydicom: one series of a file, a folder or a CD, by its axes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames.array_frames import PlannedFrames
from sam2_engine.frames.axes import plan_axes
from sam2_engine.frames.dicom.files import DicomFiles, find_files
from sam2_engine.frames.dicom.headers import numbers, text
from sam2_engine.frames.dicom.pixels import PixelReader, declared_dtype, is_inverted, padding_of
from sam2_engine.frames.dicom.records import FrameRecord, records_of
from sam2_engine.frames.dicom.spacing import dicom_geometry, dicom_spacing
from sam2_engine.frames.dicom.stack import Stack, arrange
from sam2_engine.frames.libraries import pydicom_for, quiet
from sam2_engine.frames.series import Series, choose_series, left_out
from sam2_engine.frames.spacing import as_read
from sam2_engine.wording import counted

__all__ = ["DicomFrames", "open_dicom"]

_PLANES = ("sagittal", "coronal", "axial")
_SCOUTS = ("LOCALIZER", "SCOUT")
_ORDER = ("SeriesNumber", "InConcatenationNumber", "InstanceNumber")
_MAX_LISTED = 12


def open_dicom(
    source: Path | Sequence[Path],
    *,
    axes: str | None = None,
    channel: int | None = None,
    fixed: Mapping[str, int] | None = None,
    series: Series = None,
) -> "DicomFrames":
    """Open DICOM files, a DICOMDIR, or a folder with one of them in it or below it.

    Slices lie in the order of their positions (Z), their times, echoes and other differences on axes of
    their own. Values are in the units of the modality (Hounsfield units in CT).

    Parameters
    ----------
    source
        File, folder, or files of a series in any order.
    axes, channel, fixed
        As for ``open_frames``.
    series
        Number, description or UID of one of several series. By default the only one that is no localizer;
        of a series of images of different sizes or directions, the most of one kind.

    Raises
    ------
    InputError
        If there is no DICOM image, one is damaged, or several series are there to choose from.
    """
    name = source.name if isinstance(source, Path) else "The list of files"
    pydicom = pydicom_for(name)
    with quiet():
        found = find_files(source, pydicom)
        if not found.images:
            raise InputError(_nothing(name, found))
        parts = _parts(found)
        number = _choose(name, parts, series)
        _refuse_tiles(name, parts[number].records[0].header)
        names = [part.name for part in parts]
        stack = arrange(parts[number].records)
    notes = [*stack.notes, left_out(names, number), *found.notes]
    return DicomFrames(name, stack, PixelReader(pydicom), notes, axes, channel, fixed)


def _refuse_tiles(name: str, header: Any) -> None:
    """Refuse a slide whose frames are tiles of one plane, not times or slices."""
    size = (*numbers(header, "TotalPixelMatrixRows"), *numbers(header, "TotalPixelMatrixColumns"))
    tile = (*numbers(header, "Rows"), *numbers(header, "Columns"))
    if len(size) == 2 and any(whole > part for whole, part in zip(size, tile)):
        raise InputError(
            f"{name} is a slide of {int(size[1])} x {int(size[0])} pixels in tiles of "
            f"{int(tile[1])} x {int(tile[0])}; convert it to a pyramidal TIFF or OME-Zarr."
        )


def _nothing(name: str, found: DicomFiles) -> str:
    said = "; ".join(found.notes)
    return f"{name} holds no DICOM images{f' ({said})' if said else ''}; give a folder with some."


@dataclass(frozen=True)
class _Part:
    """Frames that can be one stack: of one series, size, direction and kind of pixels."""

    uid: str
    name: str
    is_scout: bool
    records: list[FrameRecord]


def _parts(found: DicomFiles) -> list[_Part]:
    records = [record for file in found.images for record in records_of(file)]
    records.sort(key=lambda record: _number_in_series(record.header))
    groups: dict[tuple[Any, ...], list[FrameRecord]] = {}
    by_direction = _directions_matter(records)
    for record in records:
        groups.setdefault(_kind(record, record.orientation if by_direction else ()), []).append(record)
    several = Counter(key[0] for key in groups)
    return [
        _Part(key[0], _part_name(group[0], several[key[0]] > 1), _is_scout(group), group)
        for key, group in groups.items()
    ]


def _number_in_series(header: Any) -> tuple[float, ...]:
    return tuple(next(iter(numbers(header, keyword)), 0.0) for keyword in _ORDER)


def _kind(record: FrameRecord, orientation: tuple[float, ...]) -> tuple[Any, ...]:
    header = record.header
    uid = text(header, "SeriesInstanceUID") or str(record.file.parent)
    is_color = text(header, "PhotometricInterpretation").upper() == "PALETTE COLOR"
    size = (*numbers(header, "Rows"), *numbers(header, "Columns"), *numbers(header, "SamplesPerPixel"))
    clip = "" if record.position is not None else _clip(record)
    return uid, size, is_color, orientation, clip


def _clip(record: FrameRecord) -> str:
    """Return what tells one film of a series from another."""
    if max(numbers(record.header, "NumberOfFrames"), default=1) <= 1:
        return ""
    return text(record.header, "ConcatenationUID") or str(record.file)


def _directions_matter(records: Sequence[FrameRecord]) -> bool:
    """Whether directions divide a series; in a radial one every image has its own."""
    count = Counter((_kind(record, record.orientation)) for record in records)
    return max(count.values()) > 1


def _is_scout(records: Sequence[FrameRecord]) -> bool:
    return any(word in text(records[0].header, "ImageType").upper() for word in _SCOUTS)


def _part_name(record: FrameRecord, divided: bool) -> str:
    header = record.header
    said = text(header, "SeriesDescription") or text(header, "Modality") or "no description"
    if not divided:
        return said
    rows, columns = (int(next(iter(numbers(header, word)), 0)) for word in ("Rows", "Columns"))
    direction = f" {_plane(record.orientation)}" if record.orientation else ""
    file = f" of {record.file.name}" if _clip(record) else ""
    return f"{said},{direction} {columns} x {rows}{file}"


def _plane(orientation: tuple[float, ...]) -> str:
    row, column = np.reshape(orientation, (2, 3))
    return _PLANES[int(np.abs(np.cross(row, column)).argmax())]


def _choose(name: str, parts: Sequence[_Part], series: Series) -> int:
    """Return the number of the part that is asked for, or that is meant."""
    names = [part.name for part in parts]
    by_uid = [number for number, part in enumerate(parts) if series is not None and part.uid == str(series)]
    if by_uid:
        return max(by_uid, key=lambda number: len(parts[number].records))
    if series is not None:
        return choose_series(name, names, series)
    usual = [number for number, part in enumerate(parts) if not part.is_scout] or list(range(len(parts)))
    sizes = sorted((len(parts[number].records) for number in usual), reverse=True)
    if len({parts[number].uid for number in usual}) > 1 or (len(sizes) > 1 and sizes[0] == sizes[1]):
        raise InputError(
            f"{name} holds {len({part.uid for part in parts})} DICOM series: {_listed(parts)}; "
            "choose one with series (--series), by its number or name."
        )
    return max(usual, key=lambda number: len(parts[number].records))


def _listed(parts: Sequence[_Part]) -> str:
    shown = [
        f"{number} ({part.name}, {counted(len(part.records), 'image')})"
        for number, part in enumerate(parts[:_MAX_LISTED])
    ]
    more = f" and {len(parts) - _MAX_LISTED} more" if len(parts) > _MAX_LISTED else ""
    return ", ".join(shown) + more


class DicomFrames(PlannedFrames):
    """Frames of a stack of DICOM images, by its axes, in the units of the modality."""

    def __init__(
        self,
        name: str,
        stack: Stack,
        reader: PixelReader,
        notes: Sequence[str] = (),
        axes: str | None = None,
        channel: int | None = None,
        fixed: Mapping[str, int] | None = None,
    ) -> None:
        self._reader = reader
        self._letters, self._records = stack.letters, stack.frames
        records: list[FrameRecord] = [one for one in self._records.reshape(-1) if one is not None]
        first = reader.read(records[0])
        colors = "S" if first.ndim == 3 else ""
        declared = f"{stack.letters}YX{colors}"
        shape = (*self._records.shape, *first.shape)
        dtype = _common_dtype(first, records)
        plan = plan_axes(
            name,
            shape,
            dtype,
            declared=declared,
            axes=_renamed(axes, declared),
            channel=channel,
            fixed=fixed,
        )
        if any("MOSAIC" in text(record.header, "ImageType").upper() for record in records):
            notes = [*notes, "each frame is a mosaic of slices"]
        if any(is_inverted(record.header) for record in records):
            notes = [*notes, "inverted, as its lowest value is white (MONOCHROME1)"]
        with quiet():
            fill = sorted({ends for record in records for ends in padding_of(record)})
            timing = _timing(records, plan.length) if plan.axis == "T" else (None, None)
            sizes = as_read(plan.axes, declared, dicom_spacing(stack, records[0], *timing))
        super().__init__(name, dtype, plan, "; ".join(note for note in notes if note), fill, sizes)
        self.fps, self.timestamps = timing
        with quiet():
            self.geometry = dicom_geometry(stack, plan)
        self.instances = tuple(map(self._instance, range(len(self))))

    def _instance(self, frame: int) -> tuple[Path, int] | None:
        record: Any = self._records[self.plan.index(frame)[: len(self._letters)]]
        return None if record is None else (record.file, record.index)

    def _read(self, frame: int) -> NDArray[Any]:
        index = self.plan.index(frame)
        record: Any = self._records[index[: len(self._letters)]]
        if record is None:
            return np.zeros(self.shape, self.dtype)
        pixels = self._reader.read(record)
        if pixels.shape[:2] != self.shape:
            return pixels
        return self.plan.arrange(pixels[index[len(self._letters) :]])


def _common_dtype(first: NDArray[Any], records: Sequence[FrameRecord]) -> "np.dtype[Any]":
    """Return a type that holds the values of all frames, of which the first is decoded."""
    if first.ndim == 3:
        return first.dtype
    kinds = {first.dtype}
    for record in records:
        stored = declared_dtype(record.header)
        if (record.slope, record.intercept) == (1, 0):
            kinds |= {stored} if first.dtype.kind in "iu" else set()
        else:
            kinds.add(np.dtype(np.float32 if stored.itemsize <= 2 else np.float64))
    return np.result_type(*kinds) if len(kinds) > 1 else first.dtype


def _renamed(axes: str | None, declared: str) -> str | None:
    """Return the axes that a user names, with those of a frame where only the stack's are of interest."""
    if axes is None:
        return None
    given = [letter for letter in axes.upper() if letter not in "YXSC"]
    stack = len(declared.split("Y")[0])
    if len(given) == stack:
        return "".join(given) + declared[stack:]
    return declared if stack == 0 and len(given) == 1 else axes


def _timing(records: Sequence[FrameRecord], length: int) -> tuple[float | None, tuple[float, ...] | None]:
    """Return frames per second, and the time of each frame in seconds, of a single film."""
    header = records[0].header
    steps = numbers(header, "FrameTimeVector")
    if len(steps) == length > 1 and len({record.file for record in records}) == 1 and min(steps[1:]) > 0:
        return None, tuple(float(time) for time in (np.cumsum(steps) - steps[0]) / 1000)
    if rate := next(iter(numbers(header, "CineRate")), 0.0):
        return rate, None
    time = next(iter(numbers(header, "FrameTime")), 0.0)
    return (1000 / time if time > 0 else None), None
