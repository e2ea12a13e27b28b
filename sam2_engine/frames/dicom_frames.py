"""Frames of DICOM by pydicom: a series of files in the order of positions, or one file of many frames."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames.axes import sequence_axis
from sam2_engine.frames.source import FrameSource, explain

__all__ = ["DicomFrames", "is_dicom"]

_TAGS = [
    "SeriesInstanceUID",
    "InstanceNumber",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "CineRate",
    "FrameTime",
    "RescaleSlope",
    "RescaleIntercept",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]


def is_dicom(path: Path) -> bool:
    """Whether a file starts as a DICOM file does."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _pydicom(name: str) -> Any:
    try:
        import pydicom
        import pydicom.pixels
    except ImportError:
        raise InputError(f'{name} needs an extra package: pip install "sam2-plugins[medical]".') from None
    return pydicom


def _position(header: Any) -> float | None:
    """Return where a slice lies along the normal of its plane, in millimetres."""
    orientation, origin = header.get("ImageOrientationPatient"), header.get("ImagePositionPatient")
    if not orientation or not origin:
        return None
    row, column = np.reshape(np.asarray(orientation, float), (2, 3))
    return float(np.round(np.cross(row, column) @ np.asarray(origin, float), 3))


def _in_order(headers: Mapping[Path, Any]) -> tuple[list[Path], str]:
    """Sort the files of a series: by position (axis Z) where all differ, else by number (axis T)."""
    positions = {file: _position(header) for file, header in headers.items()}
    known = {file: position for file, position in positions.items() if position is not None}
    if len(known) == len(headers) == len(set(known.values())):
        return sorted(headers, key=lambda file: known[file]), "Z"
    return sorted(headers, key=lambda file: int(headers[file].get("InstanceNumber") or 0)), "T"


class DicomFrames(FrameSource):
    """Images of one DICOM series, with the rescaling of the file applied (Hounsfield units in CT)."""

    def __init__(
        self,
        name: str,
        files: Sequence[Path],
        *,
        axes: str | None = None,
        channel: int | None = None,
        fixed: Mapping[str, int] | None = None,
    ) -> None:
        pydicom = _pydicom(name)
        self._pydicom = pydicom
        try:
            headers = {
                file: pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS) for file in files
            }
            ordered, axis = _in_order(headers)
        except Exception as error:
            raise InputError(f"{name} is not readable DICOM ({explain(error)}); export it again.") from error
        self._check_alike(name, headers)
        self._locations = [
            (file, index, *_rescaling(headers[file]))
            for file in ordered
            for index in range(int(headers[file].get("NumberOfFrames") or 1))
        ]
        rescaled = any(location[2:] != (1, 0) for location in self._locations)
        header = headers[ordered[0]]
        try:
            first = self._read(0)
        except Exception as error:
            raise InputError(
                f"{ordered[0].name} cannot be read ({explain(error)}); export it again."
            ) from error
        super().__init__(
            name,
            shape=(first.shape[0], first.shape[1]),
            channels=first.shape[2] if first.ndim == 3 else 1,
            dtype=np.dtype(np.float32) if rescaled else first.dtype,
            length=len(self._locations),
            axes=("" if len(self._locations) == 1 else axis) + ("YXS" if first.ndim == 3 else "YX"),
            axis=sequence_axis(name, axes or axis, fixed),
            is_rgb=first.ndim == 3,
            channel=channel,
            fps=_frame_rate(header),
        )

    @staticmethod
    def _check_alike(name: str, headers: Mapping[Path, Any]) -> None:
        series = {str(header.get("SeriesInstanceUID")) for header in headers.values()}
        if len(series) > 1:
            raise InputError(f"{name} holds {len(series)} DICOM series; put each in a folder of its own.")
        sizes = {(header.get("Rows"), header.get("Columns")) for header in headers.values()}
        if len(sizes) > 1:
            raise InputError(f"{name} holds DICOM images of {len(sizes)} sizes; frames must all be alike.")

    def _read(self, frame: int) -> NDArray[Any]:
        file, index, slope, intercept = self._locations[frame]
        pixels: NDArray[Any] = self._pydicom.pixels.pixel_array(file, index=index)
        return pixels if (slope, intercept) == (1, 0) else pixels * np.float32(slope) + np.float32(intercept)


def _rescaling(header: Any) -> tuple[float, float]:
    """Return slope and intercept, which multi-frame objects have in their functional groups."""
    groups = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
    for sequence in (header[group].value for group in groups if header.get(group)):
        for transformation in sequence[0].get("PixelValueTransformationSequence", ()):
            return float(transformation.RescaleSlope), float(transformation.RescaleIntercept)
    return float(header.get("RescaleSlope", 1) or 1), float(header.get("RescaleIntercept", 0) or 0)


def _frame_rate(header: Any) -> float | None:
    if header.get("CineRate"):
        return float(header.CineRate)
    return 1000 / float(header.FrameTime) if header.get("FrameTime") else None
