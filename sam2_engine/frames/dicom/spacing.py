"""Sizes of pixels, distances of planes, times between frames and geometry of DICOM images."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sam2_engine.frames.axes import AxisPlan
from sam2_engine.frames.dicom.headers import numbers
from sam2_engine.frames.dicom.records import FrameRecord
from sam2_engine.frames.dicom.stack import Stack, plane_distance
from sam2_engine.frames.spacing import Spacing, frame_interval, usable
from sam2_engine.frames.spacing.geometry import Geometry, vector

__all__ = ["dicom_geometry", "dicom_spacing"]

_EVEN = 0.01
"""Of the distance of planes: how far a plane may lie from where even ones would."""

_PIXELS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


def dicom_spacing(
    stack: Stack, record: FrameRecord, fps: float | None, times: Sequence[float] | None
) -> dict[str, Spacing]:
    """Return what the header of a frame says, and what the positions of all of them do.

    Planes are as far apart as they lie in space; only where nothing tells that, as far as the header says,
    and of the thickness of a slice only where it says nothing else.

    Parameters
    ----------
    stack, record
        The frames by their axes, and one of them.
    fps, times
        Of a film, as for ``FrameSource``.
    """
    height, width = next(
        (size for keyword in _PIXELS if len(size := _numbers(record, keyword)) == 2), (None, None)
    )
    apart = (*_numbers(record, "SpacingBetweenSlices"), *_numbers(record, "SliceThickness"))
    known = len(stack.positions) > 1 and not _are_numbered(record)
    depth = plane_distance(stack.positions) if known else next(iter(apart), None)
    interval = frame_interval(fps, times)
    pause = next(iter(numbers(record.header, "TemporalResolution")), None)
    said: dict[str, tuple[Any, Any]] = {"Z": (depth, "mm"), "Y": (height, "mm"), "X": (width, "mm")}
    return usable(said | {"T": (pause, "ms") if pause and interval is None else (interval, "s")})


def dicom_geometry(stack: Stack, plan: AxisPlan) -> Geometry | None:
    """Return where the pixels of a stack lie that is read by a plan; None where planes do not lie evenly."""
    letters = stack.letters
    if any(letter in "XY" for letter in letters) or plan.axes[: len(letters)] != letters:
        return None
    along = slice(None) if plan.axis == "Z" else plan.fixed.get("Z", 0)
    index = tuple(along if letter == "Z" else plan.fixed.get(letter, 0) for letter in letters)
    records: list[FrameRecord | None] = np.atleast_1d(np.asarray(stack.frames[index], object)).tolist()
    first = records[0]
    if first is None or len(first.directions) != 6:
        return None
    corners = [one.corner if one is not None else () for one in records]
    size = _numbers(first, "PixelSpacing")
    if len(size) != 2 or any(len(corner) != 3 for corner in corners):
        return None
    row, column = np.reshape(first.directions, (2, 3))
    apart = next(iter((*_numbers(first, "SpacingBetweenSlices"), *_numbers(first, "SliceThickness"))), 1.0)
    step = np.cross(row, column) * apart
    if len(corners) > 1:
        places = np.array(corners)
        step = (places[-1] - places[0]) / (len(places) - 1)
        even = places[0] + np.arange(len(places))[:, None] * step
        if np.abs(places - even).max() > _EVEN * max(float(np.linalg.norm(step)), 1e-6):
            return None
    steps = {"X": vector(row * size[1]), "Y": vector(column * size[0]), "Z": vector(step)}
    if not np.linalg.det(np.array(list(steps.values()))):
        return None
    return Geometry(vector(np.array(first.corner)), steps)


def _numbers(record: FrameRecord, keyword: str) -> tuple[float, ...]:
    found = () if record.measures is None else numbers(record.measures, keyword)
    return found or numbers(record.header, keyword)


def _are_numbered(record: FrameRecord) -> bool:
    """Whether what are called positions are numbers of slices, as nuclear medicine has them."""
    in_space = ("GridFrameOffsetVector", "SliceLocationVector")
    vectors = any(numbers(record.header, keyword) for keyword in in_space)
    return not vectors and record.measures is None and bool(numbers(record.header, "SliceVector"))
