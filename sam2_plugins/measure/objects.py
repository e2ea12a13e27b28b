"""Table of measurements of every object on every frame, in physical units.

Every frame's pixels are read once, and never two frames at a time. Shapes are those of scikit-image's
``regionprops``.
"""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from sam2_engine.arguments import is_whole
from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource
from sam2_engine.masks import CompressedMask
from sam2_engine.wording import counted
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.runtime.csv_files import Value, format_cell, write_csv
from sam2_plugins.session.masks import AcceptedMask
from sam2_plugins.session.readable import LongWork, ReadableSession, known_by_frame

__all__ = ["Column", "MeasurementTable", "measure"]

_COLORS = ("red", "green", "blue", "alpha")
_SHOWN = 20
_STATISTICS = ("mean", "min", "max", "sum")


@dataclass(frozen=True)
class Column:
    """One measurement of all rows.

    Attributes
    ----------
    name
        For example ``area``.
    unit
        For example ``µm²``; empty if there is none.
    values
        One per row; None where it has no meaning, as the speed of an object's first frame.
    """

    name: str
    unit: str
    values: tuple[Value, ...]

    @property
    def header(self) -> str:
        """Name and unit, ``area (µm²)``."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


@dataclass(frozen=True)
class MeasurementTable(Sequence[dict[str, Value]]):
    """Rows of equal columns, one per object and frame, by frame and then by object.

    It is a sequence of dicts, so ``pandas.DataFrame(table)`` takes it as it is.

    Attributes
    ----------
    columns
        In the order of the file.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> table = MeasurementTable((Column("frame", "", (0, 1)), Column("area", "µm²", (25.0, 26.5))))
    >>> table["area"]
    (25.0, 26.5)
    >>> table[1], table.units["area"]
    ({'frame': 1, 'area': 26.5}, 'µm²')
    >>> with TemporaryDirectory() as folder:
    ...     table.write_csv(Path(folder) / "cells.csv")
    ...     print((Path(folder) / "cells.csv").read_text(encoding="utf-8"))
    frame,area (µm²)
    0,25
    1,26.5
    <BLANKLINE>
    """

    columns: tuple[Column, ...]

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    def __len__(self) -> int:
        return len(self.columns[0].values)

    @property
    def units(self) -> dict[str, str]:
        """Unit of each column; empty where it has none."""
        return {column.name: column.unit for column in self.columns}

    @overload
    def __getitem__(self, key: str) -> tuple[Value, ...]: ...
    @overload
    def __getitem__(self, key: int) -> dict[str, Value]: ...
    @overload
    def __getitem__(self, key: slice) -> list[dict[str, Value]]: ...
    def __getitem__(self, key: str | int | slice) -> Any:
        """Return the values of a column by its name, or a row by its number."""
        if isinstance(key, str):
            if key not in self._by_name:
                raise KeyError(f"There is no column {key!r}; the columns are: {', '.join(self._by_name)}.")
            return self._by_name[key].values
        if isinstance(key, slice):
            return [self[i] for i in range(*key.indices(len(self)))]
        number = range(len(self))[key]
        return {column.name: column.values[number] for column in self.columns}

    def __repr__(self) -> str:
        objects = len(set(self._by_name["object_id"].values)) if "object_id" in self._by_name else 0
        of = f" of {counted(objects, 'object')}" if objects else ""
        return f"<MeasurementTable: {counted(len(self), 'row')}{of}; {', '.join(self._by_name)}>"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(column.header)}</th>" for column in self.columns)
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(format_cell(value))}</td>' for value in row.values())}</tr>"
            for row in self[:_SHOWN]
        )
        more = f"<p>and {len(self) - _SHOWN} more</p>" if len(self) > _SHOWN else ""
        return f"<table><tr>{head}</tr>{rows}</table>{more}"

    def write_csv(self, path: str | Path, *, overwrite: bool = False, bom: bool = False) -> None:
        """Write the table as CSV: UTF-8, commas, one line of names with units first.

        Parameters
        ----------
        path
            Ends in ``.csv``.
        overwrite
            Whether a file that is there may be replaced.
        bom
            Whether a byte order mark comes first: Excel takes µ for something else without one.

        Raises
        ------
        InputError
            If the file exists, unless it may be overwritten, or cannot be written there.
        """
        header = [column.header for column in self.columns]
        rows = zip(*(column.values for column in self.columns))
        write_csv(Path(path), header, rows, overwrite=overwrite, bom=bom)


@LongWork
def measure(
    session: ReadableSession,
    scale: PhysicalScale | None = None,
    *,
    object_ids: int | Iterable[int] | None = None,
    intensity: bool = True,
) -> Generator[int, None, MeasurementTable]:
    """Measure every mask of a session, frame by frame.

    Positions are those of pixel centers, the first at 0. An absent object has a row with area 0. The speed is
    the distance from the centroid on the object's previous frame with a mask, over the time between; along Z
    there is no time, and no speed. The perimeter needs square pixels.

    Parameters
    ----------
    session
        The session to measure.
    scale
        Physical sizes; None for those that the frames have from their file, else pixels and frames.
    object_ids
        Which objects, or one; None for all.
    intensity
        Whether to read the pixels, for the intensities of each channel; non-finite pixels do not count.

    Yields
    ------
    int
        Each annotated frame, once it is measured.

    Returns
    -------
    MeasurementTable
        All rows.

    Raises
    ------
    InputError
        If an object does not exist, or a frame cannot be read.

    See Also
    --------
    sam2_plugins.session.readable.run_to_end : Does all steps at once.

    Examples
    --------
    >>> from sam2_plugins.runtime.model_store import ModelStore
    >>> from sam2_plugins.session.annotation_session import AnnotationSession
    >>> session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore("cpu"), axes="TYX")
    >>> mask = np.zeros((40, 60), bool)
    >>> mask[10:20, 5:15] = True
    >>> session.import_masks(0, {1: mask})
    >>> session.import_masks(1, {1: np.roll(mask, 3, axis=1)})
    >>> scale = PhysicalScale((0.5, 0.5), "µm", frame_interval=30, time_unit="s")
    >>> table = measure(session, scale)
    >>> table["area"], table["centroid_x"], table["speed"]
    ((25.0, 25.0), (4.75, 6.25), (None, 0.05))
    """
    scale = scale or PhysicalScale.of(session.frames)
    if isinstance(object_ids, int | np.integer):
        object_ids = [int(object_ids)]
    chosen = set(session.objects) if object_ids is None else set(object_ids)
    if unknown := [i for i in chosen if not is_whole(i) or i not in session.objects]:
        raise InputError(f"There is no object {unknown[0]!r} in this session.")
    measurer = _FrameMeasurer(session, scale, intensity)
    rows: list[tuple[Value, ...]] = []
    for frame, ids in known_by_frame(session).items():
        if ids := [object_id for object_id in ids if object_id in chosen]:
            rows += measurer.rows(frame, ids)
            yield frame
    columns = zip(*rows) if rows else [()] * len(measurer.names)
    return MeasurementTable(
        tuple(Column(name, unit, tuple(values)) for (name, unit), values in zip(measurer.names, columns))
    )


class _FrameMeasurer:
    """Measures the objects of one frame after the other, with where each was last for its speed."""

    def __init__(self, session: ReadableSession, scale: PhysicalScale, intensity: bool) -> None:
        self._session = session
        self._scale = scale
        self._channels = _channel_names(session.frames) if intensity else []
        self._through_time = session.frames.axis != "Z"
        self._last: dict[int, tuple[int, NDArray[np.float64]]] = {}
        self.names = self._names()

    def _names(self) -> list[tuple[str, str]]:
        """Return name and unit of every column."""
        length, time = self._scale.unit, self._scale.time_unit
        along = ("time", time) if self._through_time else ("z", length)
        return [
            ("frame", ""),
            along,
            ("object_id", ""),
            ("name", ""),
            ("class", ""),
            ("parents", ""),
            ("area", f"{length}²"),
            ("centroid_x", length),
            ("centroid_y", length),
            *((name, "") for name in _BOX_COLUMNS),
            *((name, unit.format(length)) for name, unit in _SHAPE_COLUMNS.items()),
            *([("speed", f"{length}/{time}")] if self._through_time else []),
            *((f"{kind}_intensity{name}", "") for name in self._channels for kind in _STATISTICS),
            ("origin", ""),
            ("verified", ""),
            ("presence", ""),
            ("predicted_iou", ""),
            ("stability", ""),
        ]

    def rows(self, frame: int, object_ids: list[int]) -> list[tuple[Value, ...]]:
        """Measure some objects on a frame, reading its pixels at most once."""
        masks = {i: accepted for i in object_ids if (accepted := self._session.accepted(i, frame))}
        visible = any(not accepted.mask.is_empty for accepted in masks.values())
        pixels = self._session.frames[frame] if self._channels and visible else None
        return [self._row(frame, object_id, accepted, pixels) for object_id, accepted in masks.items()]

    def _row(
        self, frame: int, object_id: int, accepted: AcceptedMask, pixels: NDArray[Any] | None
    ) -> tuple[Value, ...]:
        described, scores, mask = self._session.objects[object_id], accepted.scores, accepted.mask
        step = self._scale.frame_interval if self._through_time else self._scale.plane_spacing
        parents = " ".join(map(str, described.parents))
        return (
            frame,
            frame * step,
            object_id,
            described.name,
            described.label,
            parents or None,
            *self._geometry(frame, object_id, mask),
            *self._intensities(mask, pixels),
            accepted.origin.name.lower(),
            "yes" if frame in self._session.verified(object_id) else "no",
            scores.presence,
            scores.predicted_iou,
            scores.stability,
        )

    def _geometry(self, frame: int, object_id: int, mask: CompressedMask) -> list[Value]:
        """Return area, centroid, box, shape and perhaps speed."""
        speeds = int(self._through_time)
        if mask.is_empty:
            return [0.0, *[None] * (2 + len(_BOX_COLUMNS) + len(_SHAPE_COLUMNS) + speeds)]
        crop, size = mask.crop(), np.asarray(self._scale.pixel_size, float)
        rows, columns = mask.box
        corner = np.array([rows.start, columns.start])
        centroid = (np.argwhere(crop).mean(axis=0) + corner) * size
        area = float(np.count_nonzero(crop) * size.prod())
        shape = _shape(crop, self._scale.pixel_size)
        return [
            area,
            float(centroid[1]),
            float(centroid[0]),
            *(columns.start, rows.start, columns.stop - 1, rows.stop - 1),
            *shape,
            *[self._speed(frame, object_id, centroid)] * speeds,
        ]

    def _speed(self, frame: int, object_id: int, centroid: NDArray[np.float64]) -> float | None:
        before = self._last.get(object_id)
        self._last[object_id] = frame, centroid
        if before is None:
            return None
        duration = (frame - before[0]) * self._scale.frame_interval
        return float(np.linalg.norm(centroid - before[1]) / duration)

    def _intensities(self, mask: CompressedMask, pixels: NDArray[Any] | None) -> list[Value]:
        """Return mean, min, max and sum of each channel within the mask."""
        if pixels is None or mask.is_empty:
            return [None] * (len(self._channels) * len(_STATISTICS))
        inside = pixels[mask.box][mask.crop()].reshape(-1, len(self._channels)).T
        return [value for channel in inside for value in _statistics(channel)]


_BOX_COLUMNS = ("x0", "y0", "x1", "y1")
"""First and last column and row of a mask, numbers of pixels whatever the scale."""

_SHAPE_COLUMNS = {
    "perimeter": "{}",
    "eccentricity": "",
    "major_axis": "{}",
    "minor_axis": "{}",
    "orientation": "rad",
    "solidity": "",
    "equivalent_diameter": "{}",
}
"""Columns of ``regionprops``, and their units."""


def _shape(crop: NDArray[np.bool_], pixel_size: tuple[float, float]) -> list[Value]:
    """Return the values of ``_SHAPE_COLUMNS`` of a mask that is not empty."""
    from skimage.measure import regionprops  # slow to import, and seldom needed

    (region,) = regionprops(crop.astype(np.uint8), spacing=pixel_size)
    return [
        float(region.perimeter) if pixel_size[0] == pixel_size[1] else None,
        float(region.eccentricity),
        float(region.axis_major_length),
        float(region.axis_minor_length),
        float(region.orientation),
        float(region.solidity),
        float(region.equivalent_diameter_area),
    ]


def _statistics(values: NDArray[Any]) -> list[Value]:
    """Return mean, min, max and sum of finite values; whole numbers where the pixels are."""
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    if not values.size:
        return [None] * len(_STATISTICS)
    number = float if values.dtype.kind == "f" else int
    total = values.sum(dtype=np.float64 if number is float else np.int64)
    return [float(total) / values.size, number(values.min()), number(values.max()), number(total)]


def _channel_names(frames: FrameSource) -> list[str]:
    """Return the suffix of each channel's columns."""
    if frames.channels == 1:
        return [""]
    if frames.is_rgb:
        return [f"_{_COLORS[channel]}" for channel in range(frames.channels)]
    return [f"_c{channel}" for channel in range(frames.channels)]
