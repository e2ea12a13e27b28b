"""Sizes of pixels, distances of planes and times between frames of DICOM images."""

from collections.abc import Sequence
from typing import Any

from sam2_engine.frames.dicom.headers import numbers
from sam2_engine.frames.dicom.records import FrameRecord
from sam2_engine.frames.dicom.stack import Stack, plane_distance
from sam2_engine.frames.spacing import Spacing, frame_interval, usable

__all__ = ["dicom_spacing"]

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


def _numbers(record: FrameRecord, keyword: str) -> tuple[float, ...]:
    found = () if record.measures is None else numbers(record.measures, keyword)
    return found or numbers(record.header, keyword)


def _are_numbered(record: FrameRecord) -> bool:
    """Whether what are called positions are numbers of slices, as nuclear medicine has them."""
    in_space = ("GridFrameOffsetVector", "SliceLocationVector")
    vectors = any(numbers(record.header, keyword) for keyword in in_space)
    return not vectors and record.measures is None and bool(numbers(record.header, "SliceVector"))
