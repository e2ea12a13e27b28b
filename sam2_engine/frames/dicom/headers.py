"""Headers of DICOM files: read without pixels, their values checked where they are used."""

import struct
from pathlib import Path
from typing import Any

from sam2_engine.frames.libraries import quiet

__all__ = ["element", "is_dicom", "numbers", "read_header", "text"]

_PREAMBLE, _MAGIC = 128, b"DICM"
_FIRST_GROUPS = (2, 8)  # of a data set without a preamble: file meta information, or identification
_MAX_FIRST_LENGTH = 256
_VRS = {b"UL", b"OB", b"UI", b"CS", b"SH", b"LO", b"DA", b"TM", b"UN", b"LT", b"ST", b"DT", b"IS"}

TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "ImageType",
    "Modality",
    "AcquisitionNumber",
    "AcquisitionDateTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "ContentDate",
    "ContentTime",
    "FrameReferenceTime",
    "TemporalPositionIdentifier",
    "NumberOfTemporalPositions",
    "TriggerTime",
    "EchoTime",
    "EchoNumbers",
    "DiffusionBValue",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "InstanceNumber",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "SliceLocation",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "SpacingBetweenSlices",
    "SliceThickness",
    "TemporalResolution",
    "ConcatenationUID",
    "InConcatenationNumber",
    "TotalPixelMatrixColumns",
    "TotalPixelMatrixRows",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "NumberOfFrames",
    "FrameIncrementPointer",
    "FrameTime",
    "FrameTimeVector",
    "CineRate",
    "RecommendedDisplayFrameRate",
    "EnergyWindowVector",
    "DetectorVector",
    "PhaseVector",
    "RotationVector",
    "RRIntervalVector",
    "TimeSlotVector",
    "SliceVector",
    "AngularViewVector",
    "TimeSliceVector",
    "SliceLocationVector",
    "GridFrameOffsetVector",
    "DoseGridScaling",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]


def is_dicom(path: Path) -> bool:
    """Whether a file starts as a DICOM file does, or as a data set without the usual preamble."""
    with path.open("rb") as file:
        start = file.read(_PREAMBLE + 4)
    return start[_PREAMBLE:] == _MAGIC or _is_data_set(start)


def _is_data_set(start: bytes) -> bool:
    """Whether bytes can be the first element of a data set, in any of the three encodings."""
    if len(start) < 16:
        return False
    for order in "<>":
        group, element, length = struct.unpack(f"{order}HHI", start[:8])
        if group in _FIRST_GROUPS and element <= 0x60:
            if start[4:6] in _VRS:
                return True
            return order == "<" and length <= _MAX_FIRST_LENGTH and length % 2 == 0
    return False


def read_header(path: Path, pydicom: Any) -> Any:
    """Read a file's elements before its pixels, those that are of use here.

    Raises
    ------
    Exception
        Whatever pydicom raises if the file is damaged.
    """
    return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS, force=True)


def element(header: Any, keyword: str) -> Any:
    """Return an element, None where it is missing or not readable."""
    try:
        with quiet():  # a value is judged when it is asked for
            return header.get(keyword)
    except Exception:
        return None


def text(header: Any, keyword: str) -> str:
    """Return an element as text, empty where it is missing or not readable."""
    value = element(header, keyword)
    return "" if value is None else str(value).strip()


def numbers(header: Any, keyword: str) -> tuple[float, ...]:
    """Return an element as numbers; none where it is missing or not readable."""
    try:
        value = element(header, keyword)
        if value is None or value == "":
            return ()
        many = value if hasattr(value, "__iter__") and not isinstance(value, str | bytes) else [value]
        return tuple(float(one) for one in many)
    except Exception:
        return ()
