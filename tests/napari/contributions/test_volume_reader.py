"""NIfTI and DICOM dropped into the window: axes, sizes, and sessions that find their file again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_series import write_series

from napari_plugin.contributions.volume_reader import volume_reader
from napari_plugin.layers import ImageStack
from sam2_engine import open_frames

nibabel = pytest.importorskip("nibabel")


def nifti(path: Path, shape: tuple[int, ...], unit: str = "mm") -> np.ndarray:
    voxels = np.random.default_rng(0).integers(0, 900, shape).astype(np.int16)
    image = nibabel.Nifti1Image(voxels, np.diag([0.5, 0.75, 3.0, 1]))
    image.header.set_xyzt_units(unit, "sec")
    if len(shape) == 4:
        image.header.set_zooms((0.5, 0.75, 3.0, 2.0))
    nibabel.save(image, path)
    return voxels


@pytest.mark.gui
def test_a_nifti_volume_is_shown_as_planes_in_its_sizes(
    make_napari_viewer_proxy: Callable[..., Any], tmp_path: Path
) -> None:
    voxels = nifti(tmp_path / "mr.nii.gz", (30, 20, 4))
    (layer,) = make_napari_viewer_proxy().open(str(tmp_path / "mr.nii.gz"), plugin="sam2-plugins")
    np.testing.assert_array_equal(layer.data, voxels.T)
    assert (layer.name, layer.axis_labels) == ("mr", ("z", "y", "x"))
    assert layer.scale.tolist() == [3.0, 0.75, 0.5]
    assert {f"{unit:~P}" for unit in layer.units} == {"mm"}
    stack = ImageStack.of(layer)
    assert stack.plan.axis == "Z"
    with stack.open() as shown, open_frames(stack.file, **stack.opening) as stored:
        assert stored.axes == "XYZ"
        for frame in (0, 3):
            np.testing.assert_array_equal(shown[frame], stored[frame])
    turned = ImageStack.of(layer, axes="YXZ")  # tracked along the layer's last axis
    with turned.open() as shown, open_frames(turned.file, **turned.opening) as stored:
        np.testing.assert_array_equal(shown[7], stored[7])


@pytest.mark.gui
def test_a_time_lapse_of_volumes_has_time_first(
    make_napari_viewer_proxy: Callable[..., Any], tmp_path: Path
) -> None:
    voxels = nifti(tmp_path / "f.nii", (30, 20, 4, 3))
    (layer,) = make_napari_viewer_proxy().open(str(tmp_path / "f.nii"), plugin="sam2-plugins")
    np.testing.assert_array_equal(layer.data, voxels.T)
    assert layer.axis_labels == ("t", "z", "y", "x")
    assert layer.scale.tolist() == [2.0, 3.0, 0.75, 0.5]
    for along in "TZ":
        stack = ImageStack.of(layer, along=along)
        with stack.open() as shown, open_frames(stack.file, **stack.opening) as stored:
            np.testing.assert_array_equal(shown[2], stored[2])


@pytest.mark.gui
@pytest.mark.parametrize("dropped", ["folder", "file", "files", "study"])
def test_dicom_is_opened_however_it_is_dropped(
    make_napari_viewer_proxy: Callable[..., Any], tmp_path: Path, dropped: str
) -> None:
    pytest.importorskip("pydicom")
    study = tmp_path / "study"
    study.mkdir()
    folder = write_series(study / "ct")
    files = sorted(map(str, folder.iterdir()))
    path: Any = {"folder": str(folder), "file": files[0], "files": files, "study": str(study)}[dropped]
    viewer = make_napari_viewer_proxy()
    (layer,) = viewer.open(path, stack=dropped == "files", plugin="sam2-plugins")
    planes = 1 if dropped == "file" else 4
    assert layer.data.shape == ((4, 20, 30) if planes == 4 else (20, 30))
    assert layer.scale.tolist() == [2.5, 0.5, 0.25][-layer.ndim :]
    assert layer.axis_labels == ("z", "y", "x")[-layer.ndim :]
    assert layer.contrast_limits[0] < 0  # Hounsfield units
    with open_frames(folder) as frames:
        np.testing.assert_array_equal(np.asarray(layer.data).reshape(-1, 20, 30)[-1].shape, frames[3].shape)


def test_what_is_no_volume_is_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "notes.dcm").write_text("no image")
    (tmp_path / "empty").mkdir()
    (tmp_path / "some.zarr").mkdir()
    for path in ("notes.dcm", "empty", "some.zarr", "missing.dcm"):
        assert volume_reader(str(tmp_path / path)) is None
    assert volume_reader([]) is None


@pytest.mark.gui
def test_an_export_from_the_window_lies_where_the_file_does(
    make_napari_viewer_proxy: Callable[..., Any], tmp_path: Path
) -> None:
    from napari_plugin.layers import take_from_file

    pytest.importorskip("pydicom")
    folder = write_series(tmp_path / "ct")
    (layer,) = make_napari_viewer_proxy().open(str(folder), plugin="sam2-plugins")
    stack = ImageStack.of(layer)
    with stack.open() as frames, open_frames(folder) as stored:
        take_from_file(frames, stack)
        assert frames.geometry == stored.geometry
        assert frames.instances == stored.instances
