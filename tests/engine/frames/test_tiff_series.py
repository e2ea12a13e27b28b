"""Series, resolutions, thumbnails and masks of a TIFF file: one is read, the others are said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames

RNG = np.random.default_rng(0)
BIG = RNG.integers(0, 255, (96, 128, 3)).astype(np.uint8)
RGB: dict[str, Any] = {"photometric": "rgb", "metadata": None}
GRAY: dict[str, Any] = {"photometric": "minisblack", "metadata": None}


def smaller(step: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(BIG[::step, ::step])


@pytest.mark.parametrize(
    ("thumbnail", "full"),
    [
        ({"subfiletype": 1}, {"subfiletype": 0}),
        ({"extratags": [(255, "H", 1, 2, True)]}, {"extratags": [(255, "H", 1, 1, True)]}),
    ],
    ids=["new", "old"],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_thumbnail_is_a_level(
    tmp_path: Path, thumbnail: dict[str, Any], full: dict[str, Any], first: bool
) -> None:
    pages = [(smaller(8), thumbnail), (BIG, full)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for pixels, options in pages if first else pages[::-1]:
            writer.write(pixels, **RGB, **options)
    for options in ({}, {"single": True}):
        with open_frames(tmp_path / "a.tif", **options) as frames:
            assert len(frames) == 1
            assert "level 0 of 2, the finest" in frames.description
            np.testing.assert_array_equal(frames[0], BIG)
    with open_frames(tmp_path / "a.tif", level=1) as frames:
        np.testing.assert_array_equal(frames[0], smaller(8))
    with pytest.raises(InputError, match=r"levels 0 to 1, not 2"):
        open_frames(tmp_path / "a.tif", level=2)


def test_an_unmarked_thumbnail_is_a_series(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(smaller(8), **RGB)
        writer.write(BIG, **RGB)
    with open_frames(tmp_path / "a.tif") as frames:
        assert "series 1 (96 x 128) of 2, left out: 0 (12 x 16)" in frames.description
        np.testing.assert_array_equal(frames[0], BIG)
    with open_frames(tmp_path / "a.tif", series=0) as frames:
        np.testing.assert_array_equal(frames[0], smaller(8))


def test_an_unmarked_pyramid_may_begin_with_its_coarsest_level(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(smaller(2), **RGB)
        writer.write(BIG, **RGB)
    with open_frames(tmp_path / "a.tif") as frames:
        np.testing.assert_array_equal(frames[0], BIG)


def test_levels_are_turned_as_the_finest_one(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(BIG, extratags=[(274, "H", 1, 6, True)], **RGB)
        writer.write(smaller(2), subfiletype=1, **RGB)
    with open_frames(tmp_path / "a.tif", level=1) as frames:
        np.testing.assert_array_equal(frames[0], np.rot90(smaller(2), -1))


def test_pages_of_other_sizes_are_left_out_and_named(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for rows in (60, 60, 90, 60):
            writer.write(BIG[:rows], **RGB)
    with open_frames(tmp_path / "a.tif") as frames:
        assert len(frames) == 3
        assert "series 0 (60 x 128) of 2, left out: 1 (90 x 128)" in frames.description
        np.testing.assert_array_equal(frames[2], BIG[:60])


def test_overviews_and_masks_of_a_cloud_optimized_geotiff(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for step in (1, 2, 4):
            kind = 0 if step == 1 else 1
            writer.write(smaller(step), tile=(16, 16), subfiletype=kind, **RGB)
            mask = smaller(step)[..., 0] > 9
            writer.write(mask, subfiletype=kind + 4, photometric="mask", metadata=None)
    for level, step in enumerate((1, 2, 4)):
        with open_frames(tmp_path / "a.tif", level=level) as frames:
            assert len(frames) == 1
            assert "transparency mask" in frames.description
            np.testing.assert_array_equal(frames[0], smaller(step))


def test_levels_below_a_page(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(BIG, subifds=2, **RGB)
        writer.write(smaller(2), subfiletype=1, **RGB)
        writer.write(smaller(4), subfiletype=1, **RGB)
    for level, step in enumerate((1, 2, 4)):
        with open_frames(tmp_path / "a.tif", level=level) as frames:
            np.testing.assert_array_equal(frames[0], smaller(step))


def test_raw_data_of_a_camera_leave_its_preview(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.dng") as writer:
        writer.write(smaller(8), subfiletype=1, subifds=2, **RGB)
        writer.write(BIG[..., 0].astype(np.uint16), photometric=32803, subfiletype=0, metadata=None)
        writer.write(smaller(2), subfiletype=1, **RGB)
    with open_frames(tmp_path / "a.dng") as frames:
        assert "left out: 1 (96 x 128)" in frames.description
        np.testing.assert_array_equal(frames[0], smaller(2))
    with pytest.raises(InputError, match="raw data of a sensor behind a color filter; develop it"):
        open_frames(tmp_path / "a.dng", series=1)


def test_a_thumbnail_for_every_frame(tmp_path: Path) -> None:
    stack = RNG.integers(0, 60_000, (10, 48, 64)).astype(np.uint16)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for plane in stack:
            writer.write(plane, subfiletype=0, contiguous=False, **GRAY)
            writer.write(plane[::4, ::4], subfiletype=1, contiguous=False, **GRAY)
    with open_frames(tmp_path / "a.tif") as frames, open_frames(tmp_path / "a.tif", level=1) as coarse:
        assert len(frames) == len(coarse) == 10
        np.testing.assert_array_equal(frames[7], stack[7])
        np.testing.assert_array_equal(coarse[7], stack[7, ::4, ::4])


def test_a_slide_and_its_label(tmp_path: Path) -> None:
    text = "Aperio Image Library v10\r\n128x96 [0,0 128x96] (64x64) RGB|AppMag = 20|MPP = 0.5"
    other = RNG.integers(0, 255, (20, 40, 3)).astype(np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.svs") as writer:
        writer.write(BIG, tile=(32, 32), description=text, **RGB)
        writer.write(smaller(4), description=text, **RGB)
        writer.write(smaller(2), tile=(32, 32), description=text, **RGB)
        writer.write(
            other[:, :20], description="Aperio Image Library v10\r\nlabel 20x20", subfiletype=1, **RGB
        )
        writer.write(other, description="Aperio Image Library v10\r\nmacro 40x20", subfiletype=9, **RGB)
    with open_frames(tmp_path / "a.svs") as frames:
        assert "series 0 (Baseline) of 4, left out: 1 (Thumbnail), 2 (Label), 3 (Macro)" in frames.description
        assert "level 0 of 2" in frames.description
        np.testing.assert_array_equal(frames[0], BIG)
    with open_frames(tmp_path / "a.svs", series="macro") as frames:
        np.testing.assert_array_equal(frames[0], other)


def test_positions_of_ome_are_no_times(tmp_path: Path) -> None:
    places = RNG.integers(0, 60_000, (3, 30, 40)).astype(np.uint16)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        for number, place in enumerate(places):
            writer.write(place, metadata={"axes": "YX", "Name": f"position {number}"})
    for number in range(3):
        with open_frames(tmp_path / "a.ome.tif", series=f"Position {number}") as frames:
            assert len(frames) == 1
            np.testing.assert_array_equal(frames[0], places[number])
    with open_frames(tmp_path / "a.ome.tif") as frames:
        assert "series 0 (position 0) of 3, left out: 1 (position 1), 2 (position 2)" in frames.description


@pytest.mark.parametrize("name", ["stack.tif", "stack.ome.tif"])
def test_a_name_that_several_series_have_does_not_choose(tmp_path: Path, name: str) -> None:
    with tifffile.TiffWriter(tmp_path / name) as writer:
        for count in (2, 5):
            writer.write(RNG.integers(0, 9, (count, 30, 40)).astype(np.uint16), metadata={"Name": "a"})
    with pytest.raises(InputError, match=r"2 series called 'a'|no series 'a'"):
        open_frames(tmp_path / name, series="a")
    with open_frames(tmp_path / name, series=1) as frames:
        assert len(frames) == 5


@pytest.mark.parametrize(
    "options", [{"photometric": "rgb", "planarconfig": "separate"}, {}], ids=["color", "channels"]
)
def test_channels_of_ome_in_planes_of_their_own(tmp_path: Path, options: dict[str, Any]) -> None:
    stack = RNG.integers(0, 255, (4, 3, 30, 40)).astype(np.uint8)
    axes = "TSYX" if options else "TCYX"
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, ome=True, metadata={"axes": axes}, **options)
    with open_frames(tmp_path / "a.ome.tif") as frames:
        assert (len(frames), frames.channels, frames.is_rgb) == (4, 3, bool(options))
        np.testing.assert_array_equal(frames[2], stack[2].transpose(1, 2, 0))


def test_axes_of_one_position(tmp_path: Path) -> None:
    image = RNG.integers(0, 255, (30, 40)).astype(np.uint8)
    for number, shape in enumerate([(30, 40, 1), (1, 30, 40), (1, 1, 30, 40), (1, 30, 40, 1)]):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, image.reshape(shape))
        for axes in (None, "TZCYX"[-len(shape) :] if shape[-1] > 1 else "TYXC"[-len(shape) :]):
            with open_frames(path, axes=axes) as frames:
                assert len(frames) == 1
                np.testing.assert_array_equal(frames[0], image)


def test_a_folder_says_what_it_leaves_out_and_what_is_no_data(tmp_path: Path) -> None:
    for number in range(3):
        with tifffile.TiffWriter(tmp_path / f"{number}.tif") as writer:
            image = RNG.random((30, 40)).astype(np.float32)
            writer.write(image, **GRAY, extratags=[(42113, "s", 0, "-9999", True)])
            writer.write(image[::2, ::2], subfiletype=1, **GRAY)
    with open_frames(tmp_path) as frames:
        assert len(frames) == 3
        assert "level 0 of 2, the finest" in frames.description
        assert frames.fill_values == ((-9999.0, -9999.0),)


def _ome(path: Path, sizes: str, data: str) -> Path:
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="8" SizeY="8" '
        f"{sizes}>{data}</Pixels></Image></OME>"
    )
    tifffile.imwrite(
        path, np.zeros((4, 8, 8), np.uint8), description=text, metadata=None, photometric="minisblack"
    )
    return path


@pytest.mark.parametrize(
    ("sizes", "data"),
    [
        ('SizeZ="1" SizeC="1" SizeT="2000000000"', '<TiffData IFD="0" PlaneCount="4"/>'),
        ('SizeZ="1" SizeC="1" SizeT="4"', '<TiffData IFD="0" PlaneCount="2000000000"/>'),
        ('SizeZ="9999" SizeC="9999" SizeT="9999"', "<TiffData/>"),
    ],
)
def test_ome_metadata_of_more_planes_than_there_can_be(sizes: str, data: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.ome\.tif is damaged: its OME metadata tell of more than"):
        open_frames(_ome(tmp_path / "a.ome.tif", sizes, data))


@pytest.mark.parametrize("name", ["../b.ome.tif", "/b.ome.tif", "folder"])
def test_ome_metadata_that_name_files_elsewhere(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    data = f'<TiffData IFD="0" PlaneCount="4"><UUID FileName="{name}">urn:uuid:1</UUID></TiffData>'
    with pytest.raises(InputError, match=f"one of a set with {name}, which is no file in its folder"):
        open_frames(_ome(tmp_path / "a.ome.tif", 'SizeZ="1" SizeC="1" SizeT="4"', data))
