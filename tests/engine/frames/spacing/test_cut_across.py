"""Volumes cut along Y or X: the same voxels, sizes that stay with their axes, and sessions of their own."""

from pathlib import Path

import numpy as np
import pytest
from dicom_series import write_series

import sam2_plugins
from sam2_engine import InputError, open_frames
from sam2_plugins.cli.app import main
from sam2_plugins.export.formats import FORMATS
from sam2_plugins.measure import PhysicalScale, measure_volumes

VOXELS = np.random.default_rng(0).integers(0, 255, (5, 6, 7), np.uint8)


def test_frames_are_planes_across() -> None:
    coronal, sagittal = (open_frames(VOXELS, axes="ZYX", along=along) for along in "yX")
    assert (len(coronal), coronal.shape, coronal.axis) == (6, (5, 7), "Z")
    assert (len(sagittal), sagittal.shape) == (7, (5, 6))
    np.testing.assert_array_equal(coronal[4], VOXELS[:, 4])
    np.testing.assert_array_equal(sagittal[2], VOXELS[:, :, 2])
    np.testing.assert_array_equal(open_frames(VOXELS, axes="ZYX", along="Z")[1], VOXELS[1])
    assert "cut along Y" in coronal.description


def test_colors_and_times_of_volumes() -> None:
    color = np.random.default_rng(0).integers(0, 255, (4, 5, 6, 3), np.uint8)
    np.testing.assert_array_equal(open_frames(color, axes="ZYXS", along="X")[2], color[:, :, 2])
    frames = open_frames(np.stack([VOXELS, 255 - VOXELS]), axes="TZYX", fixed={"T": 1}, along="Y")
    np.testing.assert_array_equal(frames[0], 255 - VOXELS[:, 0])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"axes": "ZYX", "along": "Q"}, "along Z, Y or X, not 'Q'"),
        ({"axes": "TYX", "along": "Y"}, "no planes to cut across"),
        ({"axes": "ZYX", "along": 3}, "not 3"),
    ],
)
def test_what_cannot_be_cut_is_said(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        open_frames(VOXELS, **options)


@pytest.mark.parametrize("along", ["Z", "Y", "X"])
def test_a_dicom_series_comes_out_as_it_went_in(tmp_path: Path, along: str) -> None:
    nibabel = pytest.importorskip("nibabel")
    folder = write_series(tmp_path / "ct")
    with open_frames(folder) as straight:
        expected = straight.geometry.affine("XYZ")
    frames = open_frames(folder, along=along)
    scale = PhysicalScale.of(frames)
    if along == "Y":
        assert (scale.plane_spacing, scale.pixel_size) == (0.5, (2.5, 0.25))
    session = sam2_plugins.AnnotationSession(frames, sam2_plugins.ModelStore("cpu"))
    whole = np.zeros((4, 20, 30), bool)
    whole[1:3, 4:9, 11:20] = True
    for frame in range(len(frames)):
        session.import_masks(frame, {5: np.take(whole, frame, axis="ZYX".index(along))})
    path = FORMATS["nifti"].write(session, tmp_path / "labels.nii.gz").path
    image = nibabel.load(path)
    np.testing.assert_array_equal(image.get_fdata().T == 5, whole)
    np.testing.assert_allclose(image.affine, np.diag([-1, -1, 1, 1]) @ expected, atol=1e-4)
    (volume,) = measure_volumes(session)["volume"]
    assert volume == pytest.approx(whole.sum() * 0.25 * 0.5 * 2.5)
    frames.close()


def test_a_stack_without_geometry_comes_out_as_it_went_in(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    session = sam2_plugins.AnnotationSession(
        open_frames(VOXELS, axes="ZYX", along="X"), sam2_plugins.ModelStore("cpu")
    )
    session.import_masks(2, {1: np.ones((5, 6), bool)})
    image = nibabel.load(FORMATS["nifti"].write(session, tmp_path / "labels.nii").path)
    assert image.shape == (7, 6, 5)
    assert np.unique(np.argwhere(image.get_fdata())[:, 0]).tolist() == [2]


def test_every_direction_has_a_session_that_finds_its_frames_again(tmp_path: Path) -> None:
    cube = np.random.default_rng(1).integers(0, 255, (24, 24, 24), np.uint8)
    np.save(tmp_path / "ct.npy", cube)
    for along in ("Z", "Y", "X"):
        with sam2_plugins.open(tmp_path / "ct.npy", axes="ZYX", along=along) as work:
            work.add_object(f"along {along}")
    names = sorted(path.name for path in tmp_path.glob("*.sam2"))
    assert names == ["ct along X.sam2", "ct along Y.sam2", "ct.sam2"]
    with sam2_plugins.open(tmp_path / "ct along X.sam2") as work:
        np.testing.assert_array_equal(work.frames[3], cube[:, :, 3])
        assert [one.name for one in work.objects.values()] == ["along X"]
    with sam2_plugins.open(tmp_path / "ct.npy") as work:
        assert [one.name for one in work.objects.values()] == ["along Z"]


def test_the_shell_tracks_along_any_axis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voxels = np.zeros((40, 48, 56), np.uint8)
    voxels[10:30, 12:36, 14:42] = 200
    np.save(tmp_path / "ct.npy", voxels)
    (tmp_path / "box.json").write_text('[{"frame": 20, "object_id": 1, "box": [14, 10, 41, 29]}]')
    arguments = [str(tmp_path / "ct.npy"), "--axes", "ZYX", "--along", "Y"]
    work = ["--prompts", str(tmp_path / "box.json"), "--stop", "24", "--session", str(tmp_path / "y.sam2")]
    assert main(["track", *arguments, *work, "--device", "cpu"]) == 0
    assert main(["export", str(tmp_path / "y.sam2"), "-o", str(tmp_path / "y.nii.gz")]) == 0
    labels = pytest.importorskip("nibabel").load(tmp_path / "y.nii.gz").get_fdata().T
    assert labels.shape == voxels.shape
    tracked = labels[:, 20:25] > 0
    assert (tracked & (voxels[:, 20:25] > 0)).sum() > 0.8 * (voxels[:, 20:25] > 0).sum()
    assert main(["open", *arguments, "--device", "cpu"]) == 0
    assert "along Y.sam2" in capsys.readouterr().out
