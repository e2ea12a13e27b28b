"""Zarr stores: OME-Zarr of versions 0.4 and 0.5, plain arrays, levels, bad stores."""

from pathlib import Path
from typing import Any

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


def test_a_damaged_chunk_names_the_frame(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "damaged.zarr", data=STACK[:, 0, 0], chunks=(1, 24, 36))
    (tmp_path / "damaged.zarr" / "c" / "2" / "0" / "0").write_bytes(b"rubbish")
    with open_frames(tmp_path / "damaged.zarr") as frames:
        np.testing.assert_array_equal(frames[3], STACK[3, 0, 0])
        with pytest.raises(InputError, match=r"^Frame 2 of damaged.zarr cannot be read"):
            frames[2]
