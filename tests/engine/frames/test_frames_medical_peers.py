"""Test files that pydicom and nibabel bring along, value by value as these libraries read them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.pixels import apply_color_lut, apply_rescale

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames

DICOM = Path(pydicom.__file__).parent / "data" / "test_files"
VOLUMES = Path(nibabel.__file__).parent / "tests" / "data"
SUFFIXES = (".nii", ".gz", ".mgz", ".mnc", ".PAR", ".REC", ".HEAD", ".BRIK", ".hdr", ".img")

pytestmark = pytest.mark.filterwarnings("ignore")  # of these libraries, about their own files

NOT_AS_NIBABEL = {
    "row_major.dconn.nii": "a matrix of connections, no image",
    "phantom_truncated.PAR": "a scan that was stopped: what is complete is read",
    "phantom_truncated.REC": "as phantom_truncated.PAR",
}


def dicom_files() -> list[str]:
    found = (path for path in DICOM.rglob("*") if path.is_file() and path.suffix in (".dcm", ""))
    return sorted(str(path.relative_to(DICOM)) for path in found)


def read_with_pydicom(path: Path) -> NDArray[Any]:
    """Return all frames, (N, H, W) or (N, H, W, 3), in the units of the modality."""
    dataset = pydicom.dcmread(path, force=True)
    pixels = dataset.pixel_array
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset) >> 8
    elif dataset.SamplesPerPixel == 1:
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            pixels = (1 << dataset.BitsStored) - 1 - pixels  # as viewers show it
        pixels = apply_rescale(pixels, dataset) * float(dataset.get("DoseGridScaling", 1))
    return np.asarray(pixels if int(dataset.get("NumberOfFrames", 1) or 1) > 1 else pixels[np.newaxis])


def or_refusal(read: Callable[[Path], NDArray[Any]], path: Path) -> NDArray[Any] | str:
    """Return what is read, or why it is not."""
    try:
        return read(path)
    except InputError as error:
        return str(error)


def series(path: Path) -> NDArray[Any]:
    with open_frames(path) as frames:
        return np.stack(list(frames))


@pytest.mark.parametrize("name", dicom_files())
def test_dicom(name: str) -> None:
    ours = or_refusal(series, DICOM / name)
    try:
        expected = read_with_pydicom(DICOM / name)
    except Exception:
        return  # what pydicom reads not, or not without another package, we may read
    assert not isinstance(ours, str), ours
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def volume_files() -> list[str]:
    return sorted(path.name for path in VOLUMES.glob("*") if path.suffix in SUFFIXES)


def whole(path: Path) -> NDArray[Any]:
    """Return all frames of a volume, if need be from each position on its second axis."""
    try:
        return series(path)
    except InputError as error:
        lengths = re.findall(r"([A-Z])=(\d+)", str(error)) if "lie along one axis" in str(error) else []
        if not lengths:
            raise
    letter, length = lengths[1]
    parts = []
    for position in range(int(length)):
        with open_frames(path, fixed={letter: position}) as frames:
            parts.append(np.stack(list(frames)))
    return np.stack(parts, axis=1)


@pytest.mark.parametrize("name", volume_files())
def test_volumes(name: str) -> None:
    ours = or_refusal(whole, VOLUMES / name)
    try:
        image: Any = nibabel.load(VOLUMES / name)
        expected = np.asarray(image.dataobj, np.float64)
    except Exception:
        assert isinstance(ours, str) or name in NOT_AS_NIBABEL
        return
    if isinstance(ours, str):
        assert name in NOT_AS_NIBABEL, ours
        return
    if not name.endswith(".mnc"):  # MINC's axes are in the order of ours
        expected = expected.transpose((2, 3, 1, 0) if expected.ndim == 4 else (2, 1, 0))
    np.testing.assert_allclose(np.squeeze(ours), np.squeeze(expected), rtol=1e-5)


def test_there_is_something_to_compare() -> None:
    assert len(dicom_files()) > 60
