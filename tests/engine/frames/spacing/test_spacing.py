"""Sizes of pixels, distances of planes and intervals of frames come from the file, whatever its format."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
import zarr

from sam2_engine import open_frames
from sam2_engine.frames.derived_frames import CroppedFrames
from sam2_engine.frames.spacing import Spacing, as_read, usable
from tests.engine.frames.spacing.written import (
    READERS,
    STACK,
    XY,
    animation,
    dicom,
    imagej,
    nifti,
    ome_tiff,
    ome_zarr,
    plain_tiff,
)


def found(path: Path, **options: Any) -> dict[str, tuple[Any, str]]:
    with open_frames(path, **options) as frames:
        return {letter: (pytest.approx(one.size), one.unit) for letter, one in frames.spacing.items()}


@pytest.mark.parametrize("name", READERS)
def test_every_reader_fills_in_what_its_file_says(tmp_path: Path, name: str) -> None:
    write, options, sizes = READERS[name]
    assert found(write(tmp_path / name), **options) == sizes


ABSURD = [0, -1, float("inf"), float("nan"), 1e30, 1e-30]


@pytest.mark.parametrize("size", ABSURD)
@pytest.mark.parametrize(
    "write",
    [
        lambda path, size: imagej(path / "a.tif", unit="um", finterval=size),
        lambda path, size: ome_tiff(path / "a.ome.tif", TimeIncrement=size),
        lambda path, size: ome_zarr(path / "a.zarr", scale=(size, 0.25, 0.5)),
    ],
)
def test_absurd_intervals_are_passed_over(
    tmp_path: Path, write: Callable[[Path, float], Path], size: float
) -> None:
    assert found(write(tmp_path, size)) == XY


@pytest.mark.parametrize(
    "write",
    [
        lambda path: imagej(path / "a.tif"),
        lambda path: imagej(path / "a.tif", unit="pixel"),
        lambda path: imagej(path / "a.tif", unit="parsec"),
        lambda path: imagej(path / "a.tif", unit="um", finterval=3, tunit="fortnight", fps=7),
        lambda path: ome_tiff(path / "a.ome.tif", Plane={"DeltaT": [0, 1, 2, 9, 10]}),
        lambda path: ome_zarr(path / "a.zarr", units=(None, "micrometer", "micrometer")),
        lambda path: ome_zarr(path / "a.zarr", units=(None, None, None)),
        lambda path: nifti(path / "a.nii", (1, 1, 1), (None, None)),
        lambda path: dicom(path / "a", (0, 1, 5, 6.5), SliceThickness=1),
        lambda path: animation(path / "a.gif", [100, 100, 900, 100]),
    ],
    ids=["none", "pixel", "unknown", "unknown_time", "uneven", "zarr_time", "zarr", "nifti", "dicom", "gif"],
)
def test_what_is_not_known_is_not_guessed(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    assert found(write(tmp_path)) in ({}, XY)


@pytest.mark.parametrize(
    ("per_unit", "unit"), [(72, "INCH"), (300, "INCH"), (4800, "INCH"), (118.11, "CENTIMETER"), (1, "NONE")]
)
def test_the_resolution_of_a_photograph_is_no_physical_size(
    tmp_path: Path, per_unit: float, unit: str
) -> None:
    assert found(plain_tiff(tmp_path / "a.tif", (per_unit, per_unit), unit)) == {}


def test_a_coarser_level_of_a_tiff_has_larger_pixels(tmp_path: Path) -> None:
    path = tmp_path / "pyramid.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}
        file.write(STACK, subifds=1, metadata={"axes": "TYX", "TimeIncrement": 4, **sizes})
        file.write(STACK[:, ::2, ::2], subfiletype=1)
    assert found(path, level=1) == {"T": (4, "s"), "Y": (0.5, "µm"), "X": (1, "µm")}


def test_each_series_of_an_ome_tiff_has_its_own_sizes(tmp_path: Path) -> None:
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        for size in (0.5, 2.0):
            sizes = {"PhysicalSizeX": size, "PhysicalSizeY": size}
            file.write(STACK, metadata={"axes": "TYX", "Name": f"at {size}", **sizes})
    assert [found(path, series=number)["X"] for number in (0, 1)] == [(0.5, "µm"), (2, "µm")]


def test_turned_pages_have_their_sizes_turned(tmp_path: Path) -> None:
    path = tmp_path / "turned.tif"
    tags = [(274, 3, 1, 6, True)]
    tifffile.imwrite(
        path,
        STACK[0],
        resolution=(20_000, 40_000),
        resolutionunit="CENTIMETER",
        extratags=tags,
        metadata=None,
    )
    assert found(path) == {"Y": (0.5, "µm"), "X": (0.25, "µm")}


def test_an_array_that_is_a_level_of_an_image_has_the_sizes_of_the_level(tmp_path: Path) -> None:
    image = ome_zarr(tmp_path / "image.zarr")
    assert found(image / "1") == {"T": (30, "s"), "Y": (0.5, "µm"), "X": (1, "µm")}
    with open_frames(zarr.open_group(image, mode="r")) as frames:
        assert frames.spacing["X"] == Spacing(0.5, "µm")


def test_sizes_come_along_with_derived_frames_and_copies(tmp_path: Path) -> None:
    with open_frames(imagej(tmp_path / "a.tif", unit="um")) as frames:
        assert CroppedFrames(frames, slice(0, 8), slice(0, 8)).spacing == frames.spacing != {}


def test_arrays_have_no_sizes() -> None:
    assert open_frames(STACK, axes="TYX").spacing == {}


def test_axes_keep_their_sizes_under_other_names() -> None:
    sizes = usable({"X": (1, "mm"), "Y": (2, "mm"), "Z": (3, "mm"), "T": (4, "s")})
    assert {letter: one.size for letter, one in as_read("TYXZ", "TXYZ", sizes).items()} == {
        **{"T": 4, "Y": 1, "X": 2, "Z": 3}
    }


def test_no_frame_is_read_for_the_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = nifti(tmp_path / "a.nii")
    read: list[Any] = []
    proxy = nibabel.arrayproxy.ArrayProxy
    monkeypatch.setattr(proxy, "__getitem__", lambda self, index: read.append(index) or np.zeros(1))
    assert found(path)
    assert not read
