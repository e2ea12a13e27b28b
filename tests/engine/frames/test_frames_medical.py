"""DICOM series and NIfTI volumes: slices in the order of space, in Hounsfield units."""

from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.frames.source import is_fill
from sam2_engine.preprocessing import IntensityWindow, estimate_window

VOLUME = np.random.default_rng(0).integers(-1000, 2000, (6, 20, 30)).astype(np.int16)
SERIES = generate_uid()


def write_dicom(path: Path, stored: NDArray[np.uint16], **tags: object) -> None:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.SeriesInstanceUID = "CT", SERIES
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    if stored.ndim == 3:
        dataset.NumberOfFrames = len(stored)
    for tag, value in tags.items():
        setattr(dataset, tag, value)
    dataset.PixelData = stored.tobytes()
    dataset.save_as(path, enforce_file_format=True)


def write_series(folder: Path) -> None:
    """Write the slices of ``VOLUME`` under names and numbers in another order than their positions."""
    for position, plane in enumerate(VOLUME):
        write_dicom(
            folder / f"IM{(position * 5) % 6}",
            (plane.astype(int) + 1024).astype(np.uint16),
            InstanceNumber=6 - position,
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[-100, -100, 12.5 + 2.5 * position],
            RescaleSlope=1,
            RescaleIntercept=-1024,
        )


def test_a_series_lies_in_the_order_of_its_positions(tmp_path: Path) -> None:
    write_series(tmp_path)
    (tmp_path / "DIRFILE").write_bytes(b"an index that is no image")
    with open_frames(tmp_path) as frames:
        assert (len(frames), frames.axis, frames.axes, frames.shape) == (6, "Z", "ZYX", (20, 30))
        assert frames.dtype == np.float32
        np.testing.assert_array_equal(np.stack(list(frames)), VOLUME)


def test_without_positions_the_numbers_count(tmp_path: Path) -> None:
    for number in range(3):
        write_dicom(
            tmp_path / f"{number}.dcm", np.full((8, 9), 10 - number, np.uint16), InstanceNumber=30 - number
        )
    with open_frames(tmp_path) as frames:
        assert (frames.axis, frames.dtype) == ("T", np.uint16)
        assert [int(frame[0, 0]) for frame in frames] == [8, 9, 10]


def test_one_file_of_many_frames(tmp_path: Path) -> None:
    stored = np.random.default_rng(1).integers(0, 4000, (5, 8, 9)).astype(np.uint16)
    write_dicom(tmp_path / "cine.dcm", stored, FrameTime="40")
    with open_frames(tmp_path / "cine.dcm") as frames:
        assert (len(frames), frames.fps) == (5, 25)
        np.testing.assert_array_equal(frames[3], stored[3])


def test_dicom_that_cannot_be_used(tmp_path: Path) -> None:
    write_series(tmp_path)
    write_dicom(tmp_path / "other", np.zeros((20, 30), np.uint16), SeriesInstanceUID=generate_uid())
    with pytest.raises(
        InputError, match=r"holds 2 DICOM series: 0 \(CT, 1 image\), 1 \(CT, 6 images\); choose"
    ):
        open_frames(tmp_path)


def test_a_slice_that_is_cut_off_is_named(tmp_path: Path) -> None:
    write_series(tmp_path)
    last = tmp_path / "IM1"
    last.write_bytes(last.read_bytes()[:-300])
    with open_frames(tmp_path) as frames:
        np.testing.assert_array_equal(frames[0], VOLUME[0])
        with pytest.raises(InputError, match=r"^IM1 cannot be read .* leave it out"):
            frames[5]


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"volume{suffix}"
    nibabel.save(nibabel.Nifti1Image(VOLUME.T.copy(), np.eye(4)), path)
    with open_frames(path) as frames:
        assert (len(frames), frames.axis, frames.shape, frames.dtype) == (6, "Z", (20, 30), np.int16)
        for i in (5, 0, 3):
            np.testing.assert_array_equal(frames[i], VOLUME[i])


def test_nifti_scaling_and_time(tmp_path: Path) -> None:
    stored = np.random.default_rng(2).integers(0, 4000, (30, 20, 3, 4)).astype(np.int16)
    image = nibabel.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(2, -1024)
    path = tmp_path / "functional.nii"
    nibabel.save(image, path)
    with pytest.raises(InputError, match="Z=3 and T=4"):
        open_frames(path)
    expected = np.asarray(nibabel.load(path).dataobj, np.float32)
    with open_frames(path, fixed={"Z": 1}) as frames:
        assert (len(frames), frames.axis, frames.dtype) == (4, "T", np.float32)
        np.testing.assert_array_equal(frames[2], expected[:, :, 1, 2].T)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_that_cannot_be_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(b"no volume at all")
    with pytest.raises(InputError, match=r"^broken.* is not a readable volume"):
        open_frames(path)
    nibabel.save(nibabel.Nifti1Image(VOLUME.T.copy(), np.eye(4)), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with open_frames(path) as frames, pytest.raises(InputError, match=r"^Frame 5 of broken.* cannot be read"):
        frames[5]


def test_a_dicom_without_pixels(tmp_path: Path) -> None:
    write_series(tmp_path)
    dataset = pydicom.dcmread(tmp_path / "IM0")
    del dataset.PixelData
    dataset.save_as(tmp_path / "report.dcm")
    with pytest.raises(InputError, match=r"^report.dcm cannot be read"):
        open_frames(tmp_path / "report.dcm")


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"PixelPaddingValue": 0}, (-1024, -1024)),
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 24}, (-1024, -1000)),
        ({"PixelPaddingValue": 65535, "PixelPaddingRangeLimit": 65000}, (63976, 64511)),
    ],
)
def test_declared_padding_is_a_fill_value_in_the_units_of_the_frames(
    tmp_path: Path, tags: dict[str, int], expected: tuple[float, float]
) -> None:
    pixels = np.full((8, 9), 1064, np.uint16)
    pixels[0] = tags["PixelPaddingValue"]
    write_dicom(tmp_path / "ct.dcm", pixels, RescaleSlope=1, RescaleIntercept=-1024, **tags)
    with open_frames(tmp_path / "ct.dcm") as frames:
        assert frames.fill_values == (expected,)
        assert expected[0] <= frames[0][0, 0] <= expected[1]
        assert estimate_window(frames) == IntensityWindow((40,), (41,), (expected,))


@pytest.mark.parametrize("padding", [-2000, 63536])
def test_padding_of_signed_pixels_however_its_type_was_written(tmp_path: Path, padding: int) -> None:
    pixels = np.full((8, 9), -2000, np.int16)
    write_dicom(tmp_path / "ct.dcm", pixels.view(np.uint16), PixelRepresentation=1)
    dataset = pydicom.dcmread(tmp_path / "ct.dcm")
    dataset.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)
    dataset.save_as(tmp_path / "ct.dcm")
    with open_frames(tmp_path / "ct.dcm") as frames:
        assert frames.fill_values == ((-2000, -2000),)
        assert is_fill(frames[0], frames.fill_values).all()
