"""TIFF files of every usual kind, read page by page, with the axes that their writers claim."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.preprocessing import estimate_window

STACK = np.random.default_rng(0).integers(0, 60_000, (6, 33, 47)).astype(np.uint16)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"metadata": None},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"compression": "lzw"},
        {"compression": "zlib", "predictor": True},
        {"compression": "deflate", "bigtiff": True},
        {"compression": "zstd"},
        {"tile": (16, 16)},
        {"tile": (16, 32), "compression": "lzw"},
        {"rowsperstrip": 5, "compression": "zlib"},
        {"imagej": True},
        {"imagej": True, "metadata": {"axes": "TYX"}},
        {"ome": True, "metadata": {"axes": "TYX"}},
        {"ome": True},
        {"truncate": True},
        {"planarconfig": "separate", "photometric": "minisblack"},
        {"planarconfig": "separate", "photometric": "minisblack", "compression": "zlib"},
    ],
    ids=str,
)
def test_a_time_lapse_reads_the_same_however_it_is_written(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, **options)
    with open_frames(path) as frames:
        assert (len(frames), frames.axes, frames.axis) == (6, "TYX", "T")
        assert (frames.shape, frames.channels, frames.dtype) == ((33, 47), 1, np.uint16)
        for i in (5, 0, 3, 2):
            np.testing.assert_array_equal(frames[i], STACK[i])


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("metadata", [None, {}])
def test_pages_written_one_by_one_are_one_stack(
    tmp_path: Path, compression: str | None, metadata: dict[str, Any] | None
) -> None:
    with tifffile.TiffWriter(tmp_path / "pages.tif") as writer:
        for plane in STACK:
            writer.write(plane, contiguous=False, compression=compression, metadata=metadata)
    frames = open_frames(tmp_path / "pages.tif")
    assert len(frames) == 6
    np.testing.assert_array_equal(frames[4], STACK[4])
    frames.close()


@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_stack_of_three_or_four_frames_is_no_color(tmp_path: Path, count: int, dtype: str) -> None:
    stack = STACK[:count].astype(dtype)
    tifffile.imwrite(tmp_path / "few.tif", stack, photometric="rgb", planarconfig="separate")
    with open_frames(tmp_path / "few.tif") as frames:
        assert (len(frames), frames.channels) == (count, 1)
        assert "called S in the file and is read as T" in frames.description
        np.testing.assert_array_equal(frames[count - 1], stack[-1])
    with open_frames(tmp_path / "few.tif", single=True) as frames:
        assert frames.is_rgb == (dtype == "uint8")
        assert len(frames) == (1 if dtype == "uint8" else count)


@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_separate_planes_of_color_are_no_frames(tmp_path: Path, count: int, dtype: str) -> None:
    stack = STACK[:count].astype(dtype)
    tifffile.imwrite(tmp_path / "few.tif", stack, photometric="rgb", planarconfig="separate", metadata=None)
    for single in (False, True):
        with open_frames(tmp_path / "few.tif", single=single) as frames:
            assert (len(frames), frames.channels, frames.is_rgb, frames.axes) == (1, 3, True, "YXS")
            assert f"its {count} separate samples are read as colors" in frames.description
            np.testing.assert_array_equal(frames[0], stack[:3].transpose(1, 2, 0))
    with open_frames(tmp_path / "few.tif", axes="TYX") as frames:  # whoever wrote it so knows better
        assert (len(frames), frames.channels) == (count, 1)
        np.testing.assert_array_equal(frames[count - 1], stack[-1])
    for axes in ("YXS", "SYX", "CYX"):
        with open_frames(tmp_path / "few.tif", axes=axes) as frames:
            assert (len(frames), frames.channels) == (1, 3)
            np.testing.assert_array_equal(frames[0], stack[:3].transpose(1, 2, 0))


def test_color(tmp_path: Path) -> None:
    color = np.random.default_rng(1).integers(0, 255, (5, 33, 47, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "video.tif", color, photometric="rgb", compression="lzw")
    tifffile.imwrite(tmp_path / "image.tif", color[0], photometric="rgb")
    with open_frames(tmp_path / "video.tif") as frames:
        assert (len(frames), frames.channels, frames.is_rgb) == (5, 3, True)
        np.testing.assert_array_equal(frames[3], color[3])
    with open_frames(tmp_path / "video.tif", channel=1) as frames:
        np.testing.assert_array_equal(frames[3], color[3, ..., 1])
    with open_frames(tmp_path / "image.tif") as frames:
        assert (len(frames), frames.axes) == (1, "YXS")
        np.testing.assert_array_equal(frames[0], color[0])


@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_hyperstacks(tmp_path: Path, kind: str) -> None:
    stack = np.random.default_rng(2).integers(0, 255, (4, 3, 2, 33, 47)).astype(np.uint16)
    path = tmp_path / "hyper.tif"
    tifffile.imwrite(path, stack, metadata={"axes": "TZCYX"}, **{kind: True})
    with pytest.raises(InputError, match=r"T=4 and Z=3.*fixed=\{'Z': 0\}"):
        open_frames(path)
    with open_frames(path, fixed={"Z": 2}) as frames:
        assert (len(frames), frames.channels) == (4, 2)
        np.testing.assert_array_equal(frames[1], stack[1, 2].transpose(1, 2, 0))
    with open_frames(path, fixed={"T": 3}, channel=1) as frames:
        assert (len(frames), frames.axis) == (3, "Z")
        np.testing.assert_array_equal(frames[1], stack[3, 1, 1])


def test_an_imagej_image_of_two_channels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "two.tif", STACK[:2], imagej=True, metadata={"axes": "CYX"})
    with open_frames(tmp_path / "two.tif", single=True) as image:
        assert (len(image), image.channels, image.is_rgb) == (1, 2, False)
        np.testing.assert_array_equal(image[0], STACK[:2].transpose(1, 2, 0))
    with open_frames(tmp_path / "two.tif", axes="CYX") as image:
        assert (len(image), image.channels) == (1, 2)
    with open_frames(tmp_path / "two.tif") as stack:
        assert len(stack) == 2


def test_a_stack_that_nobody_named(tmp_path: Path) -> None:
    stack = np.zeros((4, 5, 33, 47), np.uint16)
    tifffile.imwrite(tmp_path / "four.tif", stack)
    with pytest.raises(
        InputError, match=r"four.tif has 4 axes of lengths \(4, 5, 33, 47\) and nobody named them"
    ):
        open_frames(tmp_path / "four.tif")
    with open_frames(tmp_path / "four.tif", axes="TZYX", fixed={"Z": 1}) as frames:
        assert len(frames) == 4


def test_a_volume_in_one_page_is_read_by_its_tiles(tmp_path: Path) -> None:
    volume = np.random.default_rng(3).integers(0, 255, (32, 48, 64)).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "volume.tif",
        volume,
        tile=(16, 16, 16),
        volumetric=True,
        photometric="minisblack",
        compression="zlib",
    )
    with open_frames(tmp_path / "volume.tif") as frames:
        assert (len(frames), frames.axis) == (32, "Z")
        np.testing.assert_array_equal(frames[19], volume[19])


def test_levels_of_a_pyramid(tmp_path: Path) -> None:
    path = tmp_path / "pyramid.ome.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(STACK, subifds=1, metadata={"axes": "TYX"})
        writer.write(STACK[:, ::2, ::2], subfiletype=1)
    with open_frames(path) as fine, open_frames(path, level=1) as coarse:
        assert (fine.shape, coarse.shape) == ((33, 47), (17, 24))
        np.testing.assert_array_equal(coarse[3], STACK[3, ::2, ::2])
    with pytest.raises(InputError, match="levels 0 to 1, not 2"):
        open_frames(path, level=2)


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int8", "int16", "uint32", "int32", "float16", "float32", "float64"]
)
def test_types_of_pixels(tmp_path: Path, dtype: str) -> None:
    stack = (STACK % 2).astype(dtype)
    tifffile.imwrite(tmp_path / "typed.tif", stack)
    with open_frames(tmp_path / "typed.tif") as frames:
        assert frames.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(frames[3], stack[3])


def cut(path: Path, share: float) -> Path:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    return path


@pytest.mark.parametrize(
    ("options", "there"),
    [
        ({}, 3),
        ({"truncate": True}, 3),
        ({"imagej": True}, 3),
        ({"bigtiff": True}, 3),
        ({"compression": "zlib"}, 3),
        ({"compression": "zlib", "metadata": None}, 3),
        ({"ome": True}, 0),
    ],
    ids=str,
)
def test_a_stack_that_is_cut_off(
    tmp_path: Path, options: dict[str, Any], there: int, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, STACK, **options)
    cut(path, 0.6)
    if there:
        with open_frames(path) as frames:
            assert len(frames) == there
            for i in range(there):
                np.testing.assert_array_equal(frames[i], STACK[i])
            assert "cut off" in frames.description or "are not in the file" in frames.description
            assert estimate_window(frames) is not None
    cut(path, 0.02)
    with pytest.raises(InputError, match=r"^cut.tif is (cut off|a damaged|not a readable)"):
        open_frames(path)
    assert capfd.readouterr().err == ""


def test_a_single_image_that_is_cut_off(tmp_path: Path) -> None:
    for number, options in enumerate(
        [{}, {"compression": "zlib"}, {"photometric": "minisblack", "tile": (16, 16)}]
    ):
        path = tmp_path / f"cut{number}.tif"
        tifffile.imwrite(path, STACK[0], **options)
        with pytest.raises(InputError, match=r"^cut\d.tif is cut off: it ends before its first frame does"):
            open_frames(cut(path, 0.8))


def test_a_damaged_page_is_named(tmp_path: Path) -> None:
    path = tmp_path / "damaged.tif"
    tifffile.imwrite(path, STACK, compression="zlib")
    with tifffile.TiffFile(path) as file:
        offset = file.pages[3].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + 40] = b"\xff" * 40
    path.write_bytes(data)
    with open_frames(path) as frames:
        np.testing.assert_array_equal(frames[4], STACK[4])
        with pytest.raises(InputError, match=r"Frame 3 of damaged.tif cannot be read"):
            frames[3]


def test_names_that_lie(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("hello")
    with pytest.raises(InputError, match=r"text.tif is not a readable TIFF file"):
        open_frames(tmp_path / "text.tif")
    tifffile.imwrite(tmp_path / "stack.dat", STACK)
    with open_frames(tmp_path / "stack.dat") as frames:
        assert len(frames) == 6


def test_a_series_is_chosen_by_number_or_name(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "fields.ome.tif") as writer:
        writer.write(STACK[0, :20, :20], metadata={"axes": "YX", "Name": "overview"})
        writer.write(STACK, metadata={"axes": "TYX", "Name": "field"})
    with open_frames(tmp_path / "fields.ome.tif") as frames:
        assert len(frames) == 6
        assert "series 1 (field) of 2, left out: 0 (overview)" in frames.description
    for series in (0, "overview", "0"):
        with open_frames(tmp_path / "fields.ome.tif", series=series) as frames:
            assert (len(frames), frames.shape) == (1, (20, 20))
    with pytest.raises(InputError, match=r"no series 'macro'; choose one of 0 \(overview\), 1 \(field\)"):
        open_frames(tmp_path / "fields.ome.tif", series="macro")
    with pytest.raises(InputError, match=r"leave out series\."):
        open_frames(STACK, axes="TYX", series=0)
