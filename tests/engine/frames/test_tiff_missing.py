"""Stopped acquisitions, missing companions, damaged headers: what is there is usable, what is not is said."""

import random
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.preprocessing import estimate_window

RNG = np.random.default_rng(0)
PLANES = RNG.integers(0, 60_000, (13, 32, 40)).astype(np.uint16)


def ome(
    path: Path, planes: Sequence[NDArray[Any]], sizes: dict[str, int], places: str, uuid: str = "a"
) -> None:
    """Write planes with OME metadata of our own."""
    channels = "".join(f'<Channel ID="C:{i}" SamplesPerPixel="1"/>' for i in range(sizes.get("C", 1)))
    size = " ".join(f'Size{letter}="{sizes.get(letter, 1)}"' for letter in "CZT")
    text = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        f'UUID="urn:uuid:{uuid}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" '
        f'Type="uint16" SizeX="40" SizeY="32" {size}>{channels}{places}</Pixels></Image></OME>'
    )
    with tifffile.TiffWriter(path, ome=False) as writer:
        for number, plane in enumerate(planes):
            writer.write(plane, description=text if not number else None, contiguous=False, metadata=None)


def place(ifd: int, t: int = 0, z: int = 0, c: int = 0, file: str = "") -> str:
    """Say in OME-XML where a plane lies."""
    return f'<TiffData FirstC="{c}" FirstZ="{z}" FirstT="{t}" IFD="{ifd}" PlaneCount="1">{file}</TiffData>'


def test_a_stopped_acquisition(tmp_path: Path) -> None:
    path = tmp_path / "stopped.ome.tif"
    ome(path, PLANES[:6], {"T": 10}, "".join(place(t, t) for t in range(6)))
    with open_frames(path) as frames:
        assert len(frames) == 6
        assert "4 of the 10 frames that its metadata promise are not in the file" in frames.description
        assert estimate_window(frames) is not None
        np.testing.assert_array_equal(np.stack(list(frames)), PLANES[:6])


def test_an_acquisition_that_stopped_within_a_volume(tmp_path: Path) -> None:
    path = tmp_path / "stopped.ome.tif"
    ome(path, PLANES, {"T": 10, "Z": 3}, "".join(place(i, i // 3, i % 3) for i in range(13)))
    with pytest.raises(InputError, match=r"T=5 and Z=3"):
        open_frames(path)
    for z, count in enumerate((5, 4, 4)):
        with open_frames(path, fixed={"Z": z}) as frames:
            assert len(frames) == count
            np.testing.assert_array_equal(frames[count - 1], PLANES[3 * (count - 1) + z])
            assert f"{10 - count} of the 10 frames" in frames.description
    with open_frames(path, fixed={"T": 4}) as frames:
        assert len(frames) == 1
        assert "2 of the 3 frames that its metadata promise are not in the file" in frames.description


def test_an_acquisition_that_stopped_after_its_first_time(tmp_path: Path) -> None:
    ome(tmp_path / "a.ome.tif", PLANES[:3], {"T": 10, "Z": 3}, "".join(place(i, 0, i) for i in range(3)))
    with open_frames(tmp_path / "a.ome.tif") as frames:
        assert (frames.axis, len(frames)) == ("Z", 3)
        assert "only 1 of the 10 positions on T is in the file" in frames.description


def test_a_hole_in_the_middle_is_refused_at_that_frame(tmp_path: Path) -> None:
    path = tmp_path / "holes.ome.tif"
    times = [0, 1, 2, 5, 6, 9]
    ome(path, PLANES[:6], {"T": 10}, "".join(place(i, t) for i, t in enumerate(times)))
    with open_frames(path) as frames:
        assert len(frames) == 10
        assert "4 of the 10 frames that its metadata promise are not in the file" in frames.description
        assert "reading frames 3, 4, 7 and 1 more is refused" in frames.description
        assert estimate_window(frames) is not None
        np.testing.assert_array_equal(frames[9], PLANES[5])
        with pytest.raises(
            InputError, match=r"Frame 3 of holes.ome.tif cannot be read \(it is not in the file\)"
        ):
            frames[3]


def test_a_channel_that_was_never_recorded(tmp_path: Path) -> None:
    for missing in (0, 1):
        path = tmp_path / f"{missing}.ome.tif"
        ome(path, PLANES[:6], {"T": 6, "C": 2}, "".join(place(t, t, c=1 - missing) for t in range(6)))
    with open_frames(tmp_path / "1.ome.tif") as frames:
        assert (len(frames), frames.channels) == (6, 1)
        assert "only 1 of the 2 positions on C is in the file" in frames.description
    with pytest.raises(InputError, match=r"no frame with all of its channels.*--channel"):
        open_frames(tmp_path / "0.ome.tif")
    with open_frames(tmp_path / "0.ome.tif", channel=1) as frames:
        np.testing.assert_array_equal(frames[5], PLANES[5])


def test_a_missing_or_damaged_companion_is_named(tmp_path: Path) -> None:
    files = [f'<UUID FileName="t{t}.ome.tif">urn:uuid:{t}</UUID>' for t in range(4)]
    places = "".join(place(0, t, file=file) for t, file in enumerate(files))
    for t in range(4):
        ome(tmp_path / f"t{t}.ome.tif", PLANES[t : t + 1], {"T": 4}, places, uuid=str(t))
    with open_frames(tmp_path / "t0.ome.tif") as frames:
        np.testing.assert_array_equal(np.stack(list(frames)), PLANES[:4])
    (tmp_path / "t2.ome.tif").unlink()
    with open_frames(tmp_path / "t0.ome.tif") as frames:
        assert len(frames) == 4
        assert "t2.ome.tif is missing" in frames.description
        np.testing.assert_array_equal(frames[3], PLANES[3])
        with pytest.raises(InputError, match=r"Frame 2 of t0.ome.tif .*\(t2.ome.tif is missing\)"):
            frames[2]
    (tmp_path / "t3.ome.tif").write_bytes(b"nothing")
    with open_frames(tmp_path / "t1.ome.tif") as frames:
        assert len(frames) == 2
        assert "t2.ome.tif is missing" in frames.description
        assert "t3.ome.tif is damaged" in frames.description


def test_one_file_of_a_set_that_another_describes(tmp_path: Path) -> None:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<BinaryOnly MetadataFile="all.companion.ome" UUID="urn:uuid:8"/></OME>'
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", PLANES[0], description=text, metadata=None)
    with open_frames(tmp_path / "a.ome.tif") as frames:
        assert "one file of a set that all.companion.ome describes" in frames.description


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_pages_of_imagej_that_end_early(tmp_path: Path, compression: str | None) -> None:
    text = "ImageJ=1.53\nimages=8\nslices=2\nframes=4\nhyperstack=true\n"
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for number, plane in enumerate(PLANES[:5]):
            writer.write(
                plane,
                description=text if not number else None,
                contiguous=False,
                metadata=None,
                compression=compression,
            )
    for z, count in enumerate((3, 2)):
        with open_frames(tmp_path / "a.tif", fixed={"Z": z}) as frames:
            assert len(frames) == count
            np.testing.assert_array_equal(frames[1], PLANES[2 + z])


def test_a_hyperstack_of_imagej_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    stack = PLANES[:12].reshape(3, 2, 2, 32, 40)
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TZCYX"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    with open_frames(path, fixed={"Z": 1}) as frames:
        assert (len(frames), frames.channels) == (2, 2)
        np.testing.assert_array_equal(frames[1], stack[1, 1].transpose(1, 2, 0))


def test_a_header_that_asks_for_more_than_there_can_be(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PLANES[0].astype(np.uint8), metadata=None, compression="lzw")
    patched(path, {256: 1_900_000, 257: 1_900_000})
    with pytest.raises(InputError, match=r"^a\.tif (is damaged: its header asks|needs \d+ GiB)"):
        open_frames(path)


@pytest.mark.parametrize("code", [256, 257])
def test_an_image_without_pixels(tmp_path: Path, code: int) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PLANES[0], metadata=None)
    patched(path, {code: 0})
    with pytest.raises(
        InputError, match=r"^a\.tif (has no pixels|is a damaged|is not a readable|holds no image)"
    ):
        open_frames(path)


@pytest.mark.parametrize(
    "content", [b"II*\0", b"II*\0\x08\0\0\0", b"MM\0*" + b"\xff" * 60, b"II+\0" + b"\0" * 60]
)
def test_garbage_behind_a_header(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(InputError, match=r"^a\.tif "):
        open_frames(tmp_path / "a.tif")


def test_a_chain_of_pages_that_bites_its_tail(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for plane in PLANES[:3]:
            writer.write(plane, contiguous=False, metadata=None)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        page, first = file.pages[2], file.pages[0]
        (count,) = struct.unpack("<H", data[page.offset : page.offset + 2])
        end = page.offset + 2 + 12 * count
        data[end : end + 4] = struct.pack("<I", first.offset)
    path.write_bytes(data)
    with open_frames(path) as frames:
        assert len(frames) == 3
        assert "leads back to an earlier one" in frames.description
        np.testing.assert_array_equal(frames[2], PLANES[2])


def patched(path: Path, values: dict[int, int]) -> None:
    """Change the values of tags of 16 or 32 bits in the first page."""
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        for code, value in values.items():
            tag = file.pages.first.tags[code]
            size = {3: 2, 4: 4}[int(tag.dtype)]
            data[tag.valueoffset : tag.valueoffset + size] = value.to_bytes(size, "little")
    path.write_bytes(data)


def test_pixels_that_were_never_written_have_no_data(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    nodata = [(42113, "s", 0, "7", True)]
    tifffile.imwrite(path, PLANES[0], metadata=None, extratags=nodata)
    patched(path, {273: 0, 279: 0})
    with open_frames(path) as frames:
        assert (frames[0] == 7).all()
        assert frames.fill_values == ((7.0, 7.0),)
    tifffile.imwrite(path, PLANES[0], metadata=None)
    patched(path, {273: 0})
    with pytest.raises(InputError, match=r"^a\.tif is cut off"):
        open_frames(path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({262: 77}, "photometric interpretation 77 is not known"),
        ({262: 3}, "its palette is missing"),
        ({262: 2}, "1 sample instead of the 3 of its colors"),
    ],
)
def test_what_is_guessed_is_said(tmp_path: Path, values: dict[int, int], words: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PLANES[0], metadata=None)
    patched(path, values)
    with open_frames(path) as frames:
        assert words in frames.description
        np.testing.assert_array_equal(frames[0], PLANES[0])


def samples(folder: Path) -> list[Path]:
    """Write a file of each usual kind."""
    stack = PLANES[:4]
    image = Image.fromarray((stack[0] >> 8).astype(np.uint8))
    for name in ("group4", "tiff_lzw", "jpeg", "packbits"):
        (image.convert("1") if name == "group4" else image).save(folder / f"{name}.tif", compression=name)
    image.convert("P").save(folder / "palette.tif")
    tifffile.imwrite(folder / "stack.tif", stack[:2])
    tifffile.imwrite(folder / "imagej.tif", stack, imagej=True)
    tifffile.imwrite(
        folder / "big.tif", stack, bigtiff=True, compression="zlib", tile=(16, 16), photometric="minisblack"
    )
    tifffile.imwrite(folder / "a.ome.tif", stack, ome=True, metadata={"axes": "TYX"}, compression="lzw")
    tifffile.imwrite(folder / "cmyk.tif", np.moveaxis(stack, 0, -1), photometric="separated", byteorder=">")
    return sorted(folder.iterdir())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Pillow, which reads what tifffile does not
@pytest.mark.parametrize("seed", range(10))
def test_damaged_bytes_end_in_a_sentence(tmp_path: Path, seed: int) -> None:
    """Any bytes changed, or the end cut off: frames or an ``InputError``, nothing else."""
    rng = random.Random(seed)
    (tmp_path / "samples").mkdir()
    files = samples(tmp_path / "samples")
    damaged = tmp_path / "damaged.tif"
    for _ in range(150):
        data = bytearray(rng.choice(files).read_bytes())
        directory = int.from_bytes(data[4:8], "little")
        for _ in range(rng.randrange(1, 8)):
            near = rng.choice([0, directory if directory < len(data) else 0])
            place = min(near + rng.randrange(300), len(data) - 1)
            data[rng.choice([place, rng.randrange(len(data))])] = rng.choice([0, 1, 255, rng.randrange(256)])
        damaged.write_bytes(data[: rng.choice([len(data), rng.randrange(8, len(data))])])
        try:
            with open_frames(damaged) as frames:
                assert frames.description
                for number in range(min(len(frames), 3)):
                    assert frames[number].shape[:2] == frames.shape
        except InputError:
            continue


def test_more_frames_than_a_cut_off_hyperstack_of_imagej_can_have_had(tmp_path: Path) -> None:
    text = "ImageJ=1.53\nimages=2000000000\nframes=2000000000\n"
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8), description=text, metadata=None)
    with pytest.raises(InputError, match=r"a\.tif is damaged: .* 2000000000 x 8 x 8"):
        open_frames(tmp_path / "a.tif")
