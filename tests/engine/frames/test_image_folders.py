"""Folders of images: which files are frames, in which order, and what is said of their names."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.frames.images.folders import images_in, natural_key
from sam2_engine.labels import open_labels


def test_a_folder_in_natural_order(tmp_path: Path) -> None:
    for number in (1, 2, 10, 9, 100):
        Image.fromarray(np.full((24, 36), number, np.uint8)).save(tmp_path / f"Frame_{number}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._Frame_1.png").write_bytes(b"what macOS leaves behind")
    (tmp_path / "inside.png").mkdir()
    with open_frames(tmp_path) as frames:
        assert [int(frame[0, 0]) for frame in frames] == [1, 2, 9, 10, 100]
        assert (frames.axes, frames.fps) == ("TYX", None)
    with open_frames(tmp_path, axes="ZYX") as frames:
        assert (frames.axis, frames.axes) == ("Z", "ZYX")


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ((1, 2, 4), "missing: number 3"),
        ((0, 1, 2, 5, 6, 8), "missing: numbers 3, 4, 7"),
        ((0, 10, 20, 40), "missing: number 30"),
        ((1, 2, 3), ""),
        ((0, 5, 10, 15), ""),
        ((3, 17, 20, 41), ""),
    ],
)
def test_a_missing_file_of_a_numbered_folder_is_said(
    tmp_path: Path, numbers: tuple[int, ...], said: str
) -> None:
    for number in numbers:
        Image.new("L", (8, 8), number).save(tmp_path / f"img_{number:03}.png")
    with open_frames(tmp_path) as frames:
        assert [int(frame[0, 0]) for frame in frames] == list(numbers)
        assert frames.description.partition("; ")[2] == said


def folder_of(folder: Path, *names: str) -> Path:
    """Write small images, each filled with its place in ``names``."""
    for number, name in enumerate(names):
        Image.new("L", (8, 8), number).save(folder / name, format="PNG")
    return folder


def said_of(folder: Path) -> str:
    with open_frames(folder) as frames:
        return frames.description.partition("; ")[2]


@pytest.mark.parametrize("name", ["3.png", "3"])
def test_a_link_to_what_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    folder_of(tmp_path, "1.png", "2.png")
    (tmp_path / ".#1.png").symlink_to("me@host.123")  # a lock of an editor
    assert len(images_in(tmp_path)) == 2
    (tmp_path / name).symlink_to("/not/mounted/3.png")
    for read in (open_frames, images_in, open_labels):
        with pytest.raises(InputError, match=rf"{name} is a link to /not/mounted/3.png, which is not there"):
            read(tmp_path)


def test_backups_are_no_frames(tmp_path: Path) -> None:
    folder_of(tmp_path, "img1.png", "img2.png~", "img2.png.part", "img3.png.crdownload", "img1.BAK", "a.tmp")
    (tmp_path / "notes.txt~").write_text("no image either")
    assert images_in(tmp_path) == [tmp_path / "img1.png"]
    assert said_of(tmp_path) == (
        "left out, as backups or unfinished: a.tmp, img1.BAK, img2.png.part, img2.png~, img3.png.crdownload"
    )
    (tmp_path / "img1.png").unlink()
    with pytest.raises(InputError, match=r"holds no images \(left out, as backups or unfinished: a\.tmp, "):
        open_frames(tmp_path)


def test_names_with_equal_numbers_have_an_order(tmp_path: Path) -> None:
    names = ["img001.png", "img01.png", "img1.png", "img2.png"]
    folder_of(tmp_path, *names)
    with open_frames(tmp_path) as frames:
        assert [int(frame[0, 0]) for frame in frames] == [0, 1, 2, 3]
    expected = "the same number, read in this order: img001.png, img01.png, img1.png"
    assert said_of(tmp_path) == expected
    there = sorted(map(Path, names), key=natural_key)
    assert there == sorted(map(Path, names[::-1]), key=natural_key) == list(map(Path, names))


@pytest.mark.parametrize(
    ("names", "counted"),
    [
        ("x_t1_z1 x_t1_z2 x_t2_z1 x_t2_z2", "t and z"),
        ("t001z01 t001z02 t002z01 t002z02", "t and z"),
        ("a_ch00 a_ch01", "channels"),
        ("a_t0_ch00 a_t0_ch01", "channels"),
        ("pos1_time_01 pos1_time_02 pos2_time_01 pos2_time_02", "positions and t"),
        ("t0_z0_c0 t0_z0_c1 t0_z1_c0 t0_z1_c1 t1_z0_c0", "channels, t and z"),
    ],
)
def test_names_that_count_more_than_time_are_said(tmp_path: Path, names: str, counted: str) -> None:
    files = [f"{name}.png" for name in names.split()]
    assert said_of(folder_of(tmp_path, *files)) == (
        f"{len(files)} files whose names count {counted} are read as one sequence, ordered by their names"
    )


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        ("img1 img1_mask img2 img2_mask", "img#, img#_mask"),
        ("img_000_DAPI img_000_GFP img_001_DAPI img_001_GFP", "img_#_dapi, img_#_gfp"),
    ],
)
def test_several_kinds_of_names_are_said(tmp_path: Path, names: str, kinds: str) -> None:
    assert said_of(folder_of(tmp_path, *(f"{name}.png" for name in names.split()))) == (
        f"files with names of several kinds but equal numbers ({kinds}) are read as one sequence, "
        "ordered by their names"
    )


@pytest.mark.parametrize(
    "names",
    [
        "frame_0001 frame_0002",
        "t000 t001 t002",
        "z000 z001",
        "s01_t0001 s01_t0002",
        "frame_0001_t000033 frame_0002_t000066",
        "2024-01-15_10-00 2024-01-15_10-30 2024-01-15_11-00 2024-01-15_11-30",
        "20240115T100000 20240115T103000 20240115T110000 20240115T113000",
        "cells_2024-01-15T10-00_f1 cells_2024-01-15T10-30_f2 cells_2024-01-15T11-00_f3",
        "VID1_A1_1_00d00h00m VID1_A1_1_00d12h00m VID1_A1_1_01d00h00m",
        "c9d3f2a1 1c0d9f7e 77b2c1f0",
        "cat dog",
        "img2 img3",
        "img1 img2 img3 img2_copy",
    ],
)
def test_ordinary_names_are_not_remarked_on(tmp_path: Path, names: str) -> None:
    assert said_of(folder_of(tmp_path, *(f"{name}.png" for name in names.split()))) == ""


def test_one_name_in_two_formats_is_refused(tmp_path: Path) -> None:
    folder_of(tmp_path, "img1.png", "img1.jpg", "img2.png")
    with pytest.raises(InputError, match=r"holds img1.jpg and img1.png, one name in two formats; move one"):
        open_frames(tmp_path)
    assert len(open_frames([tmp_path / "img1.png", tmp_path / "img2.png"])) == 2
