"""Zarr stores: OME-Zarr of versions 0.4 and 0.5, plain arrays, levels, bad stores."""

import base64
from pathlib import Path
from typing import Any, Literal

import numcodecs
import numpy as np
import pytest
import zarr

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames

STACK = np.random.default_rng(0).integers(0, 60_000, (4, 2, 3, 24, 36)).astype(np.uint16)
AXES = [
    {"name": "t", "type": "time"},
    {"name": "c", "type": "channel"},
    {"name": "z", "type": "space"},
    {"name": "y", "type": "space"},
    {"name": "x", "type": "space"},
]


def write(path: Path, stack: np.ndarray, axes: list[Any], version: str) -> zarr.Group:
    """Write an image with two levels in the layout of NGFF."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version < "0.5" else 3)
    for level in range(2):
        plane = stack[..., :: 2**level, :: 2**level]
        chunks = (1,) * (plane.ndim - 2) + plane.shape[-2:]
        group.create_array(str(level), shape=plane.shape, dtype=plane.dtype, chunks=chunks)[...] = plane
    multiscales = [{"version": version, "axes": axes, "datasets": [{"path": "0"}, {"path": "1"}]}]
    group.attrs.update(
        {"multiscales": multiscales} if version < "0.5" else {"ome": {"multiscales": multiscales}}
    )
    return group


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(tmp_path: Path, version: str) -> None:
    path = tmp_path / "image.ome.zarr"
    write(path, STACK, AXES, version)
    with pytest.raises(InputError, match=r"T=4 and Z=3"):
        open_frames(path)
    with open_frames(path, fixed={"Z": 1}) as frames:
        assert (len(frames), frames.axes, frames.channels, frames.shape) == (4, "TCZYX", 2, (24, 36))
        np.testing.assert_array_equal(frames[2], STACK[2, :, 1].transpose(1, 2, 0))
    with open_frames(path, fixed={"Z": 1}, channel=1, level=1) as frames:
        np.testing.assert_array_equal(frames[3], STACK[3, 1, 1, ::2, ::2])
    with pytest.raises(InputError, match="levels 0 to 1, not 5"):
        open_frames(path, level=5)


def test_channels_that_the_metadata_name_are_channels(tmp_path: Path) -> None:
    write(tmp_path / "image.zarr", STACK[:1, :, :1], AXES, "0.5")
    with open_frames(tmp_path / "image.zarr") as frames:
        assert (len(frames), frames.channels, frames.axis) == (1, 2, "T")
        np.testing.assert_array_equal(frames[0], STACK[0, :, 0].transpose(1, 2, 0))


@pytest.mark.parametrize("axes", [["z", "y", "x"], AXES[2:], [{"name": "angle"}, *AXES[3:]]])
def test_axes_by_name_and_by_type(tmp_path: Path, axes: list[Any]) -> None:
    write(tmp_path / "image.zarr", STACK[:, 0, 0], axes, "0.4")
    with open_frames(tmp_path / "image.zarr") as frames:
        assert len(frames) == 4
        assert frames.axis == ("A" if axes[0] == {"name": "angle"} else "Z")


def test_stores_without_metadata(tmp_path: Path) -> None:
    zarr.save_array(str(tmp_path / "plain.zarr"), STACK[:, 0, 0])
    with open_frames(tmp_path / "plain.zarr") as frames:
        assert (len(frames), frames.axis) == (4, "T")
        np.testing.assert_array_equal(frames[1], STACK[1, 0, 0])
    group = zarr.open_group(tmp_path / "one.zarr", mode="w")
    group.create_array("data", data=STACK[:, 0, 0])
    with open_frames(tmp_path / "one.zarr") as frames:
        assert len(frames) == 4
    zarr.save_array(str(tmp_path / "four.zarr"), STACK[:, 0])
    with pytest.raises(InputError, match="nobody named them"):
        open_frames(tmp_path / "four.zarr")


@pytest.mark.parametrize(
    ("names", "order"),
    [("xyt", (2, 1, 0)), ("tyx", (0, 1, 2)), ("xty", (2, 0, 1)), (("time", "lat", "lon"), (0, 1, 2))],
)
def test_an_array_names_its_axes(tmp_path: Path, names: Any, order: tuple[int, ...]) -> None:
    """Was: 36 frames of x, as if nobody had named them."""
    stack = STACK[:, 0, 0]
    zarr.create_array(tmp_path / "3.zarr", data=stack.transpose(order), dimension_names=list(names))
    xarray = {"_ARRAY_DIMENSIONS": list(names)}
    zarr.create_array(tmp_path / "2.zarr", data=stack.transpose(order), attributes=xarray, zarr_format=2)
    for source in (tmp_path / "3.zarr", tmp_path / "2.zarr", zarr.open_array(tmp_path / "3.zarr")):
        with open_frames(source) as frames:
            assert "not named" not in frames.description
            np.testing.assert_array_equal(np.stack(list(frames)), stack)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_level_of_an_image_has_its_axes(tmp_path: Path, version: str) -> None:
    """Was: channels and slices read as time, where the path of a level was given."""
    write(tmp_path / "image.zarr", STACK[0], AXES[1:], version)
    level = next(path.parent for path in (tmp_path / "image.zarr").glob("*/[.z]*[yn]*"))
    with open_frames(tmp_path / "image.zarr") as image, open_frames(level) as frames:
        assert (frames.axis, frames.channels, len(frames)) == (image.axis, image.channels, len(image))
        np.testing.assert_array_equal(frames[1], image[1])


def test_an_image_within_a_group(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "converted.zarr", mode="w")
    group = write(tmp_path / "converted.zarr" / "0", STACK[:, :, :1], AXES, "0.5")
    for source in (tmp_path / "converted.zarr", group):
        with open_frames(source) as frames:
            assert (len(frames), frames.channels) == (4, 2)


def test_stores_that_hold_no_image(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "many.zarr", mode="w")
    for name in ("cells", "nuclei"):
        group.create_array(name, data=STACK[:, 0, 0])
    with pytest.raises(InputError, match=r"many.zarr .* holds cells, nuclei"):
        open_frames(tmp_path / "many.zarr")
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "broken.zarr" / "zarr.json").write_text("{")
    with pytest.raises(InputError, match=r"broken.zarr is not a readable zarr store"):
        open_frames(tmp_path / "broken.zarr")


@pytest.mark.parametrize(
    ("dtype", "attributes", "fill_value"),
    [
        ("int16", {"_FillValue": -9999}, 0),
        ("float32", {"missing_value": [-9999.0]}, 0),
        ("int16", {"_ARRAY_DIMENSIONS": ["time", "y", "x"]}, -9999),
        ("float64", {"_FillValue": base64.b64encode(np.array(-9999, "<f8").tobytes()).decode()}, 0),
    ],
)
def test_fill_values_of_the_climate_conventions(
    tmp_path: Path, dtype: str, attributes: dict[str, Any], fill_value: float
) -> None:
    stack = np.ones((2, 20, 30), dtype)
    zarr.create_array(
        tmp_path / "a.zarr", data=stack, attributes=attributes, fill_value=fill_value, zarr_format=2
    )
    with open_frames(tmp_path / "a.zarr") as frames:
        assert frames.fill_values == ((-9999, -9999),)


def test_zarr_fills_missing_chunks_without_declaring_them_no_data(tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(3, 20, 30), chunks=(1, 20, 30), dtype="uint16", fill_value=7
    )
    array[0] = 100
    with open_frames(tmp_path / "a.zarr") as frames:
        assert frames.fill_values == ()
        assert [int(frame[0, 0]) for frame in frames] == [100, 7, 7]


def test_a_damaged_chunk_names_the_frame(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "damaged.zarr", data=STACK[:, 0, 0], chunks=(1, 24, 36))
    (tmp_path / "damaged.zarr" / "c" / "2" / "0" / "0").write_bytes(b"rubbish")
    with open_frames(tmp_path / "damaged.zarr") as frames:
        np.testing.assert_array_equal(frames[3], STACK[3, 0, 0])
        with pytest.raises(InputError, match=r"^Frame 2 of damaged.zarr cannot be read"):
            frames[2]


@pytest.mark.parametrize("length", [4, 16, 500, -1])
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("opened", [False, True])
def test_a_chunk_that_is_cut_off_is_refused_by_name(
    tmp_path: Path, zarr_format: Literal[2, 3], length: int, opened: bool
) -> None:
    """Noise, which Blosc copies: it would go on in the memory behind the chunk."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 24, 36)).astype(np.uint8)
    blosc = numcodecs.Blosc() if zarr_format == 2 else zarr.codecs.BloscCodec()
    path = tmp_path / "cut.zarr"
    array = zarr.create_array(
        path, data=noise, chunks=(1, 24, 36), zarr_format=zarr_format, compressors=blosc
    )
    key = "2.0.0" if zarr_format == 2 else "c/2/0/0"
    whole = (path / key).read_bytes()
    (path / key).write_bytes(whole[:length])
    with open_frames(array if opened else path) as frames:
        np.testing.assert_array_equal(frames[3], noise[3])
        there = length if length > 0 else len(whole) - 1
        with pytest.raises(InputError, match=rf"chunk {key} is cut off, {there} of \d+ bytes are there"):
            frames[2]
        (path / key).write_bytes(whole)
        np.testing.assert_array_equal(frames[2], noise[2])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_series_of_a_converted_file(tmp_path: Path, version: str) -> None:
    """As bioformats2raw lays them out: an image with its label and its overview."""
    path = tmp_path / "slide.zarr"
    zarr.open_group(path, mode="w", zarr_format=2 if version < "0.5" else 3)
    for number, size in enumerate((12, 24, 12)):
        write(path / str(number), STACK[0, 0, :1, :size, :size], AXES[2:], version)
    with open_frames(path) as frames:
        assert "series 1 of 3, left out: 0, 2; level 0 of 2, the finest" in frames.description
        np.testing.assert_array_equal(frames[0], STACK[0, 0, 0, :24, :24])
    for series in (2, "2"):
        with open_frames(path, series=series) as frames:
            assert frames.shape == (12, 12)
    with pytest.raises(InputError, match="no series 5"):
        open_frames(path, series=5)


def test_fields_of_a_plate(tmp_path: Path) -> None:
    path = tmp_path / "plate.zarr"
    plate = zarr.open_group(path, mode="w", zarr_format=2)
    plate.attrs["plate"] = {"wells": [{"path": "A/1"}, {"path": "B/2"}]}
    for number, well in enumerate(("A/1", "B/2")):
        group = plate.create_group(well)
        group.attrs["well"] = {"images": [{"path": "0"}, {"path": "1"}]}
        for field in range(2):
            write(path / well / str(field), STACK[number, field, :1], AXES[2:], "0.4")
    with open_frames(path) as frames:
        assert "series 0 (A/1/0) of 4, left out: 1 (A/1/1), 2 (B/2/0), 3 (B/2/1)" in frames.description
    with open_frames(path, series="b/2/1") as frames:
        np.testing.assert_array_equal(frames[0], STACK[1, 1, 0])
