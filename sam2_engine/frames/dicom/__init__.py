"""DICOM: files of a folder or a CD, their series, axes and pixels."""

from sam2_engine.frames.dicom.files import holds_dicom
from sam2_engine.frames.dicom.frames import DicomFrames, open_dicom
from sam2_engine.frames.dicom.headers import is_dicom

__all__ = ["DicomFrames", "holds_dicom", "is_dicom", "open_dicom"]
