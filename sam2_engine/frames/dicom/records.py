"""Frames of DICOM files: where each one lies in space, and what else tells it from others."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sam2_engine.errors import InputError
from sam2_engine.frames.dicom.files import DicomFile
from sam2_engine.frames.dicom.headers import numbers, text
from sam2_engine.limits import MOST_DEFLATED

__all__ = ["Attribute", "FrameRecord", "records_of"]

Attribute = float | str

_LEAST_BYTES = 8
"""Of a compressed frame, the header of its item alone; one that is not has hardly fewer."""

_DEFLATED = "1.2.840.10008.1.2.1.99"
_VECTORS = {
    "time_slot": ("TimeSlotVector", "TimeSliceVector", "PhaseVector"),
    "energy": ("EnergyWindowVector",),
    "detector": ("DetectorVector",),
    "rotation": ("RotationVector",),
    "interval": ("RRIntervalVector",),
    "view": ("AngularViewVector",),
}


@dataclass(frozen=True)
class FrameRecord:
    """One frame of a file.

    Attributes
    ----------
    file, header, index
        Where it is: the file, its header, and the number of the frame in it.
    position
        Where it lies along the normal of its plane, in millimetres; None where nothing tells.
    orientation
        Directions of rows and columns, rounded; empty where nothing tells.
    attributes
        What may tell frames of one position from each other, by name: time, echo, b-value, ...
    slope, intercept
        Rescaling of its stored values.
    measures
        Functional group with the sizes of its pixels; None where the header itself has them.
    corner, directions
        Center of its first pixel in the patient, and directions of rows and columns; empty where nothing
        tells.
    """

    file: Path
    header: Any
    index: int
    position: float | None
    orientation: tuple[float, ...]
    attributes: Mapping[str, Attribute]
    slope: float
    intercept: float
    measures: Any = None
    corner: tuple[float, ...] = ()
    directions: tuple[float, ...] = ()


def records_of(file: DicomFile) -> list[FrameRecord]:
    """Return the frames of a file, in their stored order.

    Raises
    ------
    InputError
        If its header says that there are more than the file can hold.
    """
    header = file.header
    count = _count(file)
    shared = _items(header, "SharedFunctionalGroupsSequence")
    each = _items(header, "PerFrameFunctionalGroupsSequence")
    return [
        _record(file, index, count, [*(each[index : index + 1] if len(each) == count else ()), *shared])
        for index in range(count)
    ]


def _count(file: DicomFile) -> int:
    said = next(iter(numbers(file.header, "NumberOfFrames")), 1.0)
    most = file.path.stat().st_size // _LEAST_BYTES * (MOST_DEFLATED if _is_deflated(file.header) else 1)
    if not said <= max(most, 1):
        raise InputError(
            f"{file.path.name} is a damaged DICOM file (its header says that it has {said:.0f} frames, for "
            "which it is too small); copy or export it again, or leave it out."
        )
    return max(int(said), 1)


def _is_deflated(header: Any) -> bool:
    meta = getattr(header, "file_meta", None) or {}
    return text(meta, "TransferSyntaxUID").endswith(_DEFLATED)


def _items(holder: Any, keyword: str) -> list[Any]:
    try:
        value = holder.get(keyword)
        return [] if value is None else list(value)
    except Exception:
        return []


def _group(groups: list[Any], sequence: str) -> Any:
    """Return a functional group of a frame: its own, else the one that all frames share."""
    return next((items[0] for group in groups if (items := _items(group, sequence))), None)


def _record(file: DicomFile, index: int, count: int, groups: list[Any]) -> FrameRecord:
    header = file.header
    plane, place = _group(groups, "PlaneOrientationSequence"), _group(groups, "PlanePositionSequence")
    orientation = numbers(plane or header, "ImageOrientationPatient")
    origin = numbers(place or header, "ImagePositionPatient")
    vectors = _vectors(header, index, count)
    position = _position(header, index, count, orientation, origin) if place or not groups else None
    if place:
        position = _along_normal(orientation, origin)
    attributes = {**_attributes(header), **vectors, **_functional(groups)}
    return FrameRecord(
        file.path,
        header,
        index,
        position,
        tuple(float(part) for part in np.round(orientation, 2) + 0.0) if len(orientation) == 6 else (),
        attributes,
        *_rescaling(header, groups),
        _group(groups, "PixelMeasuresSequence"),
        *((origin, orientation) if place or count == 1 else ((), ())),
    )


def _along_normal(orientation: tuple[float, ...], origin: tuple[float, ...]) -> float | None:
    if len(orientation) != 6 or len(origin) != 3 or not np.isfinite([*orientation, *origin]).all():
        return None
    row, column = np.reshape(orientation, (2, 3))
    return float(np.round(np.cross(row, column) @ np.asarray(origin), 3)) + 0.0


def _position(
    header: Any, index: int, count: int, orientation: tuple[float, ...], origin: tuple[float, ...]
) -> float | None:
    if count > 1:
        for keyword in ("GridFrameOffsetVector", "SliceLocationVector", "SliceVector"):
            if len(offsets := numbers(header, keyword)) == count:
                return offsets[index]
        return None
    return (
        _along_normal(orientation, origin)
        if orientation
        else next(iter(numbers(header, "SliceLocation")), None)
    )


def _vectors(header: Any, index: int, count: int) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {}
    for name, keywords in _VECTORS.items():
        for keyword in keywords:
            if len(values := numbers(header, keyword)) == count > 1:
                found[name] = values[index]
    return found


def _attributes(header: Any) -> dict[str, Attribute]:
    """Return what a file of one image says of itself."""
    named = {
        "time_index": "TemporalPositionIdentifier",
        "echo": "EchoTime",
        "echo_number": "EchoNumbers",
        "b_value": "DiffusionBValue",
        "trigger_time": "TriggerTime",
        "acquisition": "AcquisitionNumber",
        "reference_time": "FrameReferenceTime",
        "number": "InstanceNumber",
    }
    found: dict[str, Attribute] = {
        name: values[0] for name, keyword in named.items() if (values := numbers(header, keyword))
    }
    moments = {
        "acquisition_time": text(header, "AcquisitionDateTime")
        or text(header, "AcquisitionDate") + text(header, "AcquisitionTime"),
        "content_time": text(header, "ContentDate") + text(header, "ContentTime"),
        "image_type": text(header, "ImageType"),
    }
    return {**found, **{name: moment for name, moment in moments.items() if moment}}


def _functional(groups: list[Any]) -> dict[str, Attribute]:
    """Return what the functional groups of a multi-frame file say of a frame."""
    named = {
        "time_index": ("FrameContentSequence", "TemporalPositionIndex"),
        "acquisition": ("FrameContentSequence", "FrameAcquisitionNumber"),
        "echo": ("MREchoSequence", "EffectiveEchoTime"),
        "b_value": ("MRDiffusionSequence", "DiffusionBValue"),
        "trigger_time": ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
        "time_offset": ("TemporalPositionSequence", "TemporalPositionTimeOffset"),
        "segment": ("SegmentIdentificationSequence", "ReferencedSegmentNumber"),
    }
    found: dict[str, Attribute] = {
        name: values[0]
        for name, (sequence, keyword) in named.items()
        if (group := _group(groups, sequence)) is not None and (values := numbers(group, keyword))
    }
    content = _group(groups, "FrameContentSequence")
    if content is not None:
        if moment := text(content, "FrameAcquisitionDateTime"):
            found["acquisition_time"] = moment
        if stack := text(content, "StackID"):
            found["stack"] = stack
    for sequence in ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence"):
        if (kind := _group(groups, sequence)) is not None and (frame_type := text(kind, "FrameType")):
            found["image_type"] = frame_type + text(kind, "ComplexImageComponent")
    return found


def _rescaling(header: Any, groups: list[Any]) -> tuple[float, float]:
    """Return slope and intercept, which multi-frame files have in their functional groups."""
    holder = _group(groups, "PixelValueTransformationSequence") or header
    slope = next(iter(numbers(holder, "RescaleSlope")), 1.0) or 1.0
    intercept = next(iter(numbers(holder, "RescaleIntercept")), 0.0)
    dose = next(iter(numbers(header, "DoseGridScaling")), 1.0) or 1.0
    if not np.isfinite([slope, intercept, dose]).all():
        return 1.0, 0.0
    return slope * dose, intercept
