"""DICOM as it lies on disks: several times, series and sizes, CDs, missing files, every kind of pixels."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.fileset import FileSet
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames


def dataset(pixels: NDArray[Any], number: int = 1, z: float | None = None, **tags: Any) -> Dataset:
    """Return a DICOM image; ``z`` is its position in millimetres."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = CTImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.SeriesInstanceUID, made.StudyInstanceUID, made.PatientID, made.StudyID = "1.2.3", "1.2", "1", "1"
    made.StudyDate, made.StudyTime, made.SeriesNumber, made.PatientName = "20200101", "120000", 1, "X"
    made.Modality, made.InstanceNumber = "MR", number
    made.Rows, made.Columns = pixels.shape[1:3] if pixels.ndim == 4 else pixels.shape[-2:]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8 * pixels.dtype.itemsize
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(pixels.dtype.kind == "i")
    if z is not None:
        made.ImagePositionPatient, made.ImageOrientationPatient = [0, 0, z], [1, 0, 0, 0, 1, 0]
    made.PixelData = pixels.tobytes()
    for tag, value in tags.items():
        setattr(made, tag, value)
    return made


def save(path: Path, made: Dataset) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return path


def plane(value: int, shape: tuple[int, int] = (8, 9)) -> NDArray[np.int16]:
    return np.full(shape, value, np.int16)


def values(frames: Any) -> list[int]:
    return [int(frame[0, 0]) for frame in frames]


# ------------------------------------------------------------------ times, echoes, ...


def temporal_position(t: int, z: int) -> dict[str, Any]:
    return {"TemporalPositionIdentifier": t + 1}


def acquisition_time(t: int, z: int) -> dict[str, Any]:
    return {"AcquisitionTime": f"1200{10 * t + z:02}.5"}  # each slice has its own


def trigger_time(t: int, z: int) -> dict[str, Any]:
    return {"TriggerTime": 25.5 * t + z}


def acquisition_number(t: int, z: int) -> dict[str, Any]:
    return {"AcquisitionNumber": t + 7}


def nothing(t: int, z: int) -> dict[str, Any]:
    return {}


@pytest.mark.parametrize(
    "tags", [temporal_position, acquisition_time, trigger_time, acquisition_number, nothing]
)
@pytest.mark.parametrize("slices_first", [True, False])
def test_a_dynamic_series_has_times_and_slices(
    tmp_path: Path, tags: Callable[[int, int], dict[str, Any]], slices_first: bool
) -> None:
    for t in range(4):
        for z in range(3):
            number = 3 * t + z if slices_first else 4 * z + t
            save(tmp_path / f"I{(5 * number) % 12}", dataset(plane(10 * t + z), number, z, **tags(t, z)))
    with pytest.raises(InputError, match="has T=4 and Z=3, but frames lie along one axis"):
        open_frames(tmp_path)
    with open_frames(tmp_path, fixed={"Z": 1}) as frames:
        assert values(frames) == [1, 11, 21, 31]
        assert frames.description.startswith("T=4 Y=8 X=9, 1 channel, int16; Z=1 of 3; T is the ")
    with open_frames(tmp_path, fixed={"T": 2}) as frames:
        assert (values(frames), frames.axis) == ([20, 21, 22], "Z")
        assert "T=2 of 4" in frames.description


@pytest.mark.parametrize(
    ("letter", "tag", "levels"),
    [
        ("E", "EchoTime", [4.6, 9.2]),
        ("B", "DiffusionBValue", [0, 1000]),
        ("K", "ImageType", [["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]]),
    ],
)
def test_echoes_and_kinds_of_images_are_axes(
    tmp_path: Path, letter: str, tag: str, levels: list[Any]
) -> None:
    for k, level in enumerate(levels):
        for z in range(3):
            save(tmp_path / f"{k}{z}", dataset(plane(10 * k + z), 3 * k + z, z, **{tag: level}))
    with open_frames(tmp_path, fixed={letter: 1}) as frames:
        assert (values(frames), frames.axis) == ([10, 11, 12], "Z")
        assert f"{letter}=1 of 2" in frames.description


def test_times_and_echoes_and_slices(tmp_path: Path) -> None:
    for t in range(2):
        for e in range(3):
            for z in range(2):
                number = 6 * t + 2 * e + z
                image = dataset(plane(100 * t + 10 * e + z), number, z, EchoTime=5.0 * (e + 1))
                image.AcquisitionTime = f"12000{t}"
                save(tmp_path / f"{number}", image)
    with open_frames(tmp_path, fixed={"E": 2, "Z": 1}) as frames:
        assert values(frames) == [21, 121]
    with open_frames(tmp_path, fixed={"T": 1, "E": 0}) as frames:
        assert values(frames) == [100, 101]


def test_a_stopped_series_uses_its_complete_times(tmp_path: Path) -> None:
    for t in range(4):
        for z in range(3 if t < 3 else 2):
            image = dataset(plane(10 * t + z), 3 * t + z, z, TemporalPositionIdentifier=t + 1)
            image.NumberOfTemporalPositions = 6
            save(tmp_path / f"{t}{z}", image)
    with open_frames(tmp_path, fixed={"Z": 2}) as frames:
        assert values(frames) == [2, 12, 22]
        assert "left out 2 of 11 images, whose times or positions are incomplete" in frames.description
        assert "promise 6 temporal positions, 3 can be used" in frames.description


def test_positions_that_rounding_sets_apart_are_one(tmp_path: Path) -> None:
    for t in range(2):
        for z in range(3):
            save(tmp_path / f"{t}{z}", dataset(plane(10 * t + z), 3 * t + z, 2.5 * z + 0.002 * t))
    with open_frames(tmp_path, fixed={"T": 1}) as frames:
        assert values(frames) == [10, 11, 12]


def test_files_in_a_list_lie_in_the_order_of_positions(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{z}.dcm", dataset(plane(z), z, z)) for z in (2, 0, 1)]
    with open_frames(files) as frames:
        assert (values(frames), frames.axis) == ([0, 1, 2], "Z")


def test_a_file_that_is_there_twice_is_one_slice(tmp_path: Path) -> None:
    for z in range(4):
        save(tmp_path / f"{z}", dataset(plane(z), z, z))
    shutil.copy(tmp_path / "2", tmp_path / "copy of 2")
    with open_frames(tmp_path) as frames:
        assert values(frames) == [0, 1, 2, 3]
        assert "1 copy" in frames.description


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    for z in range(8):
        if z not in (3, 6):
            save(tmp_path / "volume" / f"{z}", dataset(plane(z), z + 1, 2.5 * z))
            save(tmp_path / "film" / f"{z}", dataset(plane(z), z + 1))
    with open_frames(tmp_path / "volume") as frames:
        assert "2 slices missing (no slice between 5 and 10 mm, and 1 more)" in frames.description
    with open_frames(tmp_path / "film") as frames:
        assert frames.axis == "T"
        assert "missing: image numbers 4, 7" in frames.description


# ------------------------------------------------------------------ several series, sizes, directions


def write_study(folder: Path) -> None:
    for number, (uid, name, count) in enumerate([("1.5", "T1 ax", 4), ("1.6", "T2 ax", 3)]):
        for z in range(count):
            image = dataset(plane(100 * number + z), z, z, SeriesInstanceUID=uid, SeriesDescription=name)
            image.SeriesNumber = number + 3
            save(folder / f"{number}{z}", image)


@pytest.mark.parametrize(("series", "first"), [(0, 0), ("1", 100), ("t2 AX", 100), ("1.5", 0)])
def test_one_of_several_series_is_chosen(tmp_path: Path, series: int | str, first: int) -> None:
    write_study(tmp_path)
    with open_frames(tmp_path, series=series) as frames:
        assert values(frames)[0] == first
        assert "left out: " in frames.description
    with pytest.raises(InputError, match=r"2 DICOM series: 0 \(T1 ax, 4 images\), 1 \(T2 ax, 3 images\)"):
        open_frames(tmp_path)
    with pytest.raises(InputError, match=r"choose one of 0 \(T1 ax\), 1 \(T2 ax\)"):
        open_frames(tmp_path, series="PD")


def test_a_localizer_gives_way(tmp_path: Path) -> None:
    for z in range(3):
        save(tmp_path / f"{z}", dataset(plane(z), z, z, SeriesDescription="T1"))
    scout = dataset(plane(50), 1, 0, SeriesInstanceUID="1.9", SeriesDescription="Scout")
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    save(tmp_path / "scout", scout)
    with open_frames(tmp_path) as frames:
        assert values(frames) == [0, 1, 2]
        assert "(T1) of 2, left out: " in frames.description
        assert "(Scout)" in frames.description


@pytest.mark.parametrize("other", ["size", "direction"])
def test_other_sizes_and_directions_within_a_series_are_left_out_by_name(tmp_path: Path, other: str) -> None:
    for z in range(3):
        save(tmp_path / f"{z}", dataset(plane(z), z, z))
    odd = dataset(plane(50, (8, 10) if other == "size" else (8, 9)), 9, 9)
    if other == "direction":
        odd.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    save(tmp_path / "odd", odd)
    with open_frames(tmp_path) as frames:
        assert values(frames) == [0, 1, 2]
        assert (
            f"left out: 1 (MR, {'axial 10' if other == 'size' else 'sagittal 9'} x 8)" in frames.description
        )
    with open_frames(tmp_path, series=1) as frames:
        assert values(frames) == [50]


# ------------------------------------------------------------------ folders and CDs


@pytest.fixture
def cd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    staging = SimpleNamespace(name=str(tmp_path / "staging"), cleanup=lambda: None)  # pydicom leaves its own
    (tmp_path / "staging").mkdir()
    monkeypatch.setattr("pydicom.fileset.TemporaryDirectory", lambda: staging)
    files = FileSet()
    for z in range(5):
        save(tmp_path / "series" / f"IM{z}", dataset(plane(z), z + 1, z))
        files.add(pydicom.dcmread(tmp_path / "series" / f"IM{z}"))
    files.write(tmp_path / "cd")
    (tmp_path / "cd" / "README.TXT").write_text("A CD for you")
    return tmp_path / "cd"


def test_a_cd_by_its_root_its_directory_and_beside_the_images(cd: Path) -> None:
    series = cd.parent / "series"
    for path in (cd, cd / "DICOMDIR"):
        with open_frames(path) as frames:
            assert values(frames) == [0, 1, 2, 3, 4]
    shutil.copy(cd / "DICOMDIR", series / "DICOMDIR")
    with open_frames(series) as frames:
        assert values(frames) == [0, 1, 2, 3, 4]
        assert (
            "left out 1 file without a DICOM image (DICOMDIR: Media Storage Directory)" in frames.description
        )


def test_a_folder_above_a_series(cd: Path) -> None:
    shutil.copytree(cd.parent / "series", cd.parent / "study" / "patient" / "S1")
    with open_frames(cd.parent / "study") as frames:
        assert values(frames) == [0, 1, 2, 3, 4]


def test_a_cd_that_was_copied_in_part(cd: Path) -> None:
    images = sorted(file for file in cd.rglob("*") if file.name.startswith("IM"))
    images[1].unlink()
    images[3].rename(images[3].with_name(images[3].name.lower()))
    with open_frames(cd / "DICOMDIR") as frames:
        assert values(frames) == [0, 2, 3, 4]
        assert "1 of 5 images that DICOMDIR lists are missing (" in frames.description
    for image in cd.rglob("*"):
        if image.name.upper().startswith("IM"):
            image.unlink()
    with pytest.raises(InputError, match="directory of a CD, but none of its images is there"):
        open_frames(cd)


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("little", [True, False])
def test_files_without_a_preamble(tmp_path: Path, implicit: bool, little: bool) -> None:
    if implicit and not little:
        pytest.skip("there is no such encoding")
    for z in range(3):
        image = dataset(plane(z), z, z)
        del image.file_meta
        if not little:
            image.PixelData = plane(z).astype(">i2").tobytes()
        image["PixelData"].VR = "OW"
        tmp_path.joinpath("s").mkdir(exist_ok=True)
        image.save_as(tmp_path / "s" / f"IM{z}", implicit_vr=implicit, little_endian=little)
    (tmp_path / "s" / "notes.txt").write_text("no image, and not DICOM either")
    with open_frames(tmp_path / "s") as frames:
        assert values(frames) == [0, 1, 2]
        assert "left out 1 file without a DICOM image (notes.txt)" in frames.description
    with open_frames(tmp_path / "s" / "IM2") as frames:
        assert values(frames) == [2]


def test_reports_are_left_out_and_alone_refused(tmp_path: Path) -> None:
    for z in range(2):
        save(tmp_path / f"IM{z}", dataset(plane(z), z, z))
    report = dataset(plane(0))
    for tag in ("Rows", "Columns", "PixelData", "BitsAllocated"):
        delattr(report, tag)
    report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    save(tmp_path / "REPORT", report)
    with open_frames(tmp_path) as frames:
        assert values(frames) == [0, 1]
        assert "(REPORT: Encapsulated PDF)" in frames.description
    with pytest.raises(InputError, match=r"REPORT is DICOM without an image \(Encapsulated PDF\)"):
        open_frames(tmp_path / "REPORT")


def test_a_damaged_file_is_named_itself(tmp_path: Path) -> None:
    for z in range(3):
        save(tmp_path / f"IM{z}", dataset(plane(z), z, z))
    whole = (tmp_path / "IM1").read_bytes()
    (tmp_path / "IM1").write_bytes(whole[:-40])
    with (
        open_frames(tmp_path) as frames,
        pytest.raises(InputError, match=r"^IM1 cannot be read .* leave it out"),
    ):
        list(frames)


# ------------------------------------------------------------------ many frames in one file


def enhanced(stored: NDArray[Any], frames: list[dict[str, Any]]) -> Dataset:
    """Return a multi-frame image whose functional groups give each frame's position, time and rescaling."""
    made = dataset(stored, NumberOfFrames=len(stored))
    shared, orientation = Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PlaneOrientationSequence = Sequence([orientation])
    made.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for frame in frames:
        group, place, content, units = Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, frame["z"]]
        content.TemporalPositionIndex = frame["t"]
        units.RescaleSlope, units.RescaleIntercept = frame.get("slope", 1), 0
        group.PlanePositionSequence, group.FrameContentSequence = Sequence([place]), Sequence([content])
        group.PixelValueTransformationSequence = Sequence([units])
        groups.append(group)
    made.PerFrameFunctionalGroupsSequence = Sequence(groups)
    return made


def test_frames_of_one_file_by_their_functional_groups(tmp_path: Path) -> None:
    order = [(z, t) for z in (5.0, 0.0, 2.5) for t in (2, 1)]
    stored = np.stack([plane(int(10 * t + z)) for z, t in order])
    path = save(tmp_path / "e.dcm", enhanced(stored, [{"z": z, "t": t} for z, t in order]))
    with open_frames(path, fixed={"T": 1}) as frames:
        assert (values(frames), frames.axis) == ([20, 22, 25], "Z")
    with open_frames(path, fixed={"Z": 2}) as frames:
        assert values(frames) == [15, 25]


def test_each_frame_and_file_has_its_own_rescaling(tmp_path: Path) -> None:
    groups = [{"z": z, "t": 1, "slope": z + 1} for z in range(3)]
    path = save(tmp_path / "e.dcm", enhanced(np.stack([plane(10)] * 3), groups))
    with open_frames(path) as frames:
        assert values(frames) == [10, 20, 30]
    for z in range(3):
        save(tmp_path / "pet" / f"{z}", dataset(plane(10), z, z, RescaleSlope=z + 1, RescaleIntercept=0))
    with open_frames(tmp_path / "pet") as frames:
        assert (values(frames), frames.dtype) == ([10, 20, 30], np.float32)


def test_a_segment_is_empty_where_no_frame_is_stored(tmp_path: Path) -> None:
    where = [(1, 0), (1, 1), (1, 2), (2, 1)]
    made = enhanced(np.stack([plane(10 * g + z) for g, z in where]), [{"z": z, "t": 1} for _, z in where])
    for group, (segment, _) in zip(made.PerFrameFunctionalGroupsSequence, where):
        number = Dataset()
        number.ReferencedSegmentNumber = segment
        group.SegmentIdentificationSequence = Sequence([number])
    with open_frames(save(tmp_path / "seg.dcm", made), fixed={"G": 1}) as frames:
        assert values(frames) == [0, 21, 0]


def test_tiles_of_a_slide_are_no_frames(tmp_path: Path) -> None:
    slide = dataset(np.stack([plane(1)] * 4), NumberOfFrames=4)
    slide.TotalPixelMatrixRows, slide.TotalPixelMatrixColumns = 16, 18
    with pytest.raises(InputError, match="a slide of 18 x 16 pixels in tiles of 9 x 8; convert it"):
        open_frames(save(tmp_path / "wsi.dcm", slide))


def test_vectors_of_frames(tmp_path: Path) -> None:
    stored = np.stack([plane(10 * t + z) for z in range(2) for t in range(3)])
    nuclear = dataset(stored, NumberOfFrames=6, SliceVector=[1, 1, 1, 2, 2, 2], TimeSlotVector=[1, 2, 3] * 2)
    with open_frames(save(tmp_path / "nm.dcm", nuclear), fixed={"Z": 1}) as frames:
        assert values(frames) == [1, 11, 21]
    dose = dataset(stored[:3], NumberOfFrames=3, GridFrameOffsetVector=[6, 0, 3], DoseGridScaling=0.5)
    with open_frames(save(tmp_path / "dose.dcm", dose)) as frames:
        assert (frames.axis, values(frames)) == ("Z", [5, 10, 0])
    film = dataset(stored[:3], NumberOfFrames=3, FrameTimeVector=[0, 40, 60])
    with open_frames(save(tmp_path / "film.dcm", film)) as frames:
        assert (frames.axis, frames.timestamps) == ("T", (0, 0.04, 0.1))


def test_two_films_of_one_series_are_not_one_film(tmp_path: Path) -> None:
    for number in range(2):
        save(tmp_path / f"C{number}", dataset(np.stack([plane(number)] * 3), number, NumberOfFrames=3))
    with pytest.raises(
        InputError, match=r"of C0, 3 images\), 1 \(.* of C1, 3 images\); choose one with series"
    ):
        open_frames(tmp_path)
    with open_frames(tmp_path, series=1) as frames:
        assert values(frames) == [1, 1, 1]


# ------------------------------------------------------------------ pixels


def test_inverted_gray_is_shown_as_viewers_do(tmp_path: Path) -> None:
    stored = np.arange(72, dtype=np.uint16).reshape(8, 9)
    image = dataset(stored, PhotometricInterpretation="MONOCHROME1", BitsStored=12, HighBit=11)
    image.PixelPaddingValue = 4095
    with open_frames(save(tmp_path / "cr.dcm", image)) as frames:
        np.testing.assert_array_equal(frames[0], 4095 - stored)
        assert frames.fill_values == ((0, 0),)
        assert "inverted" in frames.description
    signed = dataset(plane(-5), PhotometricInterpretation="MONOCHROME1", RescaleSlope=2, RescaleIntercept=1)
    with open_frames(save(tmp_path / "signed.dcm", signed)) as frames:
        assert values(frames) == [9]


def test_what_old_files_leave_to_be_understood(tmp_path: Path) -> None:
    old = dataset(plane(5).astype(np.uint16))
    for tag in (
        "PhotometricInterpretation",
        "PixelRepresentation",
        "SamplesPerPixel",
        "BitsStored",
        "HighBit",
    ):
        delattr(old, tag)
    del old.SeriesInstanceUID, old.SOPClassUID, old.file_meta
    old["PixelData"].VR = "OW"
    old.save_as(tmp_path / "acr.img", implicit_vr=True, little_endian=True)
    with open_frames(tmp_path / "acr.img") as frames:
        assert (values(frames), frames.dtype) == ([5], np.uint16)


@pytest.mark.parametrize(("bits", "scale"), [(8, 1), (16, 257), (16, 1)])
def test_palettes_are_colors(tmp_path: Path, bits: int, scale: int) -> None:
    stored = np.array([[0, 1], [2, 3]], np.uint8)
    image = dataset(stored, PhotometricInterpretation="PALETTE COLOR")
    shades = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0], [10, 20, 30]])
    for name, column in zip(("Red", "Green", "Blue"), shades.T):
        entries = (column * scale).astype("<u2") if bits == 16 else column.astype(np.uint8)
        setattr(image, f"{name}PaletteColorLookupTableDescriptor", [4, 0, bits])
        setattr(image, f"{name}PaletteColorLookupTableData", entries.tobytes())
    with open_frames(save(tmp_path / "us.dcm", image)) as frames:
        assert (frames.is_rgb, frames.dtype) == (True, np.uint8)
        np.testing.assert_array_equal(frames[0].reshape(-1, 3), shades)


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("kind", ["RGB", "YBR_FULL"])
def test_color_is_rgb(tmp_path: Path, planar: int, kind: str) -> None:
    red = np.full((8, 9, 3), (255, 0, 0) if kind == "RGB" else (76, 85, 255), np.uint8)
    stored = red.transpose(2, 0, 1) if planar else red
    image = dataset(np.zeros((8, 9), np.uint8), SamplesPerPixel=3, PhotometricInterpretation=kind)
    image.PlanarConfiguration, image.PixelData = planar, stored.tobytes()
    with open_frames(save(tmp_path / "c.dcm", image)) as frames:
        assert frames.is_rgb
        np.testing.assert_allclose(frames[0][3, 4], (255, 0, 0), atol=2)
    with open_frames(tmp_path / "c.dcm", channel=0) as frames:
        assert frames[0].shape == (8, 9)


def test_single_bits_are_binary(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).random((3, 8, 8)) > 0.5
    image = dataset(np.zeros((8, 8), np.uint8), BitsAllocated=1, BitsStored=1, HighBit=0, NumberOfFrames=3)
    image.PixelData = np.packbits(mask.ravel(), bitorder="little").tobytes()
    with open_frames(save(tmp_path / "seg.dcm", image)) as frames:
        assert frames.dtype == np.bool_
        np.testing.assert_array_equal(np.stack(list(frames)), mask)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint32", "int8"])
def test_wide_and_fractional_pixels(tmp_path: Path, dtype: str) -> None:
    stored = (np.arange(72).reshape(8, 9) * (1.5 if dtype[0] == "f" else 1)).astype(dtype)
    image = dataset(stored)
    if dtype[0] == "f":
        del image.PixelData
        setattr(image, "FloatPixelData" if dtype == "float32" else "DoubleFloatPixelData", stored.tobytes())
    with open_frames(save(tmp_path / "w.dcm", image)) as frames:
        assert frames.dtype == dtype
        np.testing.assert_array_equal(frames[0], stored)


def test_gray_levels_by_a_table(tmp_path: Path) -> None:
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [4, 0, 16])
    table.ModalityLUTType, table.LUTData = "US", np.array([7, 500, 3, 900], "<u2").tobytes()
    table["LUTData"].VR = "OW"
    image = dataset(np.array([[0, 1], [2, 3]], np.uint16), ModalityLUTSequence=Sequence([table]))
    with open_frames(save(tmp_path / "t.dcm", image)) as frames:
        assert frames[0].tolist() == [[7, 500], [3, 900]]


@pytest.mark.parametrize(
    ("syntax", "codec", "options"),
    [
        ("1.2.840.10008.1.2.4.80", "jpegls", {}),
        ("1.2.840.10008.1.2.4.70", "ljpeg", {"bitspersample": 16}),
        ("1.2.840.10008.1.2.4.90", "jpeg2k", {"reversible": True, "codecformat": "J2K"}),
        ("1.2.840.10008.1.2.4.201", "htj2k", {"reversible": True}),
    ],
)
def test_compressed_pixels(tmp_path: Path, syntax: str, codec: str, options: dict[str, Any]) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    if not getattr(imagecodecs, codec.upper()).available:
        pytest.skip("imagecodecs was built without it")
    stored = np.random.default_rng(0).integers(0, 60_000, (16, 24)).astype(np.uint16)
    encoded = getattr(imagecodecs, f"{codec}_encode")(stored, **options)
    image = dataset(stored, PixelData=encapsulate([encoded]))
    image["PixelData"].VR = "OB"
    image["PixelData"].is_undefined_length = True
    image.file_meta.TransferSyntaxUID = syntax
    with open_frames(save(tmp_path / "z.dcm", image)) as frames:
        np.testing.assert_array_equal(frames[0], stored)


def test_a_film_inside_is_refused_with_what_would_read_it(tmp_path: Path) -> None:
    image = dataset(plane(0), PixelData=encapsulate([b"\0\0\1\xba" * 8]))
    image["PixelData"].VR = "OB"
    image["PixelData"].is_undefined_length = True
    image.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    with pytest.raises(InputError, match=r"^film.dcm holds a film \(MPEG-4 .*export it as MP4"):
        open_frames(save(tmp_path / "film.dcm", image))
