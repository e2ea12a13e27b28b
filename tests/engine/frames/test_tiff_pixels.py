"""What the samples of a TIFF mean: photometric interpretation, palette, alpha, bits, orientation."""

import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource, open_frames

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (20, 30)).astype(np.uint8)
COLOR = RNG.integers(0, 256, (20, 30, 3)).astype(np.uint8)


def read(path: Path, **options: Any) -> tuple[NDArray[Any], FrameSource]:
    with open_frames(path, single=True, **options) as frames:
        assert len(frames) == 1
        return frames[0], frames


def write(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    tifffile.imwrite(path, pixels, metadata=None, **options)
    return path


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_palette_is_colors_and_as_labels_indices(tmp_path: Path, bits: int, compressed: bool) -> None:
    colors = 1 << bits
    indices = (np.arange(600).reshape(20, 30) % colors).astype(np.uint8)
    palette = RNG.integers(0, 256, (colors, 3)).astype(np.uint8)
    path = tmp_path / "a.tif"
    levels = np.unpackbits(indices[..., None], axis=-1)[..., -bits:]
    rows = np.packbits(levels.reshape(20, -1), axis=-1).tobytes()
    tags = {256: 30, 257: 20, 258: bits, 259: 5 if compressed else 1, 262: 3, 277: 1, 278: 20}
    colormap = tuple((palette.T.astype(int) * 257).ravel().tolist())
    raw_tiff(
        path,
        {number: ("H", value) for number, value in tags.items()} | {320: ("H", colormap)},
        imagecodecs.lzw_encode(rows) if compressed else rows,
    )
    pixels, frames = read(path)
    np.testing.assert_array_equal(pixels, palette[indices])
    np.testing.assert_array_equal(pixels, Image.open(path).convert("RGB"))
    assert frames.is_rgb
    assert "the colors of its palette" in frames.description
    labels, _ = read(path, labels=True)
    np.testing.assert_array_equal(labels, indices)


def test_a_palette_of_16_bits(tmp_path: Path) -> None:
    indices = RNG.integers(0, 65536, (20, 30)).astype(np.uint16)
    colormap = RNG.integers(0, 65536, (3, 65536)).astype(np.uint16)
    path = write(tmp_path / "a.tif", indices, photometric="palette", colormap=colormap)
    np.testing.assert_array_equal(read(path)[0], (colormap.T >> 8)[indices])


def test_every_page_has_its_own_palette(tmp_path: Path) -> None:
    pages = [Image.fromarray(GRAY).convert("P") for _ in range(9)]
    for number, page in enumerate(pages):
        page.putpalette(bytes([number * 20] * 768))
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with open_frames(tmp_path / "a.tif") as frames:
        assert [int(frames[i].max()) for i in range(9)] == [i * 20 for i in range(9)]


@pytest.mark.parametrize("marked", [False, True], ids=["green", "HiLo"])
def test_a_lookup_table_of_the_display_is_no_palette(tmp_path: Path, marked: bool) -> None:
    stack = RNG.integers(0, 256, (5, 20, 30)).astype(np.uint8)
    green = np.zeros((3, 256), np.uint16)
    green[slice(None) if marked else 1] = np.arange(256) * 257
    if marked:
        green[:, 0], green[:, 255] = (0, 0, 65535), (65535, 0, 0)
    tifffile.imwrite(
        tmp_path / "lut.tif", stack, imagej=True, metadata={"axes": "TYX", "LUTs": [green.astype(np.uint8)]}
    )
    tifffile.imwrite(
        tmp_path / "map.tif",
        stack,
        photometric="palette",
        colormap=green,
        description="ImageJ=1.54f\nimages=5\nframes=5\n",
        metadata=None,
    )
    for name in ("lut.tif", "map.tif"):
        with open_frames(tmp_path / name) as frames:
            assert (len(frames), frames.channels) == (5, 1)
            np.testing.assert_array_equal(frames[3], stack[3])
    assert "lookup table of the display" in frames.description


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["gray", "color", "planar", "palette", "stack", "fax"])
def test_orientation(tmp_path: Path, orientation: int, kind: str) -> None:
    path = tmp_path / "a.tif"
    tags = [(274, "H", 1, orientation, True)]
    image = Image.fromarray(COLOR if kind in ("color", "planar") else GRAY)
    if kind == "fax":
        image = image.convert("1")
        image.save(path, compression="group4", tiffinfo={274: orientation})
    elif kind == "palette":
        image = image.convert("P")
        image.save(path, tiffinfo={274: orientation})
    elif kind == "planar":
        write(path, COLOR.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", extratags=tags)
    elif kind == "stack":
        write(path, np.stack([GRAY] * 3), photometric="minisblack", extratags=tags)
    else:
        write(path, np.asarray(image), photometric="rgb" if kind == "color" else None, extratags=tags)
    exif = Image.Exif()
    exif[274] = orientation
    image.info["exif"] = exif.tobytes()
    upright = ImageOps.exif_transpose(image.convert("RGB") if kind == "palette" else image)
    with open_frames(path) as frames:
        assert frames.shape == upright.size[::-1]
        assert ("turned upright" in frames.description) == (orientation != 1)
        np.testing.assert_array_equal(frames[len(frames) - 1], np.asarray(upright))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_an_image_whose_lowest_value_is_white(tmp_path: Path, dtype: str) -> None:
    stored = (np.arange(600) % 256).reshape(20, 30).astype(dtype)
    path = write(tmp_path / "a.tif", stored, photometric="miniswhite")
    pixels, frames = read(path)
    assert "inverted" in frames.description
    assert pixels.dtype == dtype
    top = {"uint8": 255, "uint16": 65535, "int16": -1, "float32": 0}[dtype]
    expected = (top - stored.astype(int)).astype(dtype)
    np.testing.assert_array_equal(pixels, expected)
    if dtype == "uint8":
        np.testing.assert_array_equal(pixels, Image.open(path))


@pytest.mark.parametrize("compression", ["raw", "group3", "group4", "packbits"])
def test_bilevel(tmp_path: Path, compression: str) -> None:
    image = Image.fromarray(GRAY).convert("1")
    image.save(tmp_path / "a.tif", compression=compression)
    for labels in (False, True):
        pixels, frames = read(tmp_path / "a.tif", labels=labels)
        assert frames.dtype == np.bool_
        np.testing.assert_array_equal(pixels, np.asarray(image))


def test_masks_of_imagej_as_labels_are_what_they_hold(tmp_path: Path) -> None:
    mask = (GRAY > 128).astype(np.uint8) * 255
    path = tmp_path / "mask.tif"
    tifffile.imwrite(
        path, mask, photometric="miniswhite", description="ImageJ=1.54f\nimages=1\n", metadata=None
    )
    np.testing.assert_array_equal(read(path)[0], 255 - mask)
    np.testing.assert_array_equal(read(path, labels=True)[0], mask)


@pytest.mark.parametrize("bits", [2, 4, 6])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_few_bits_reach_from_black_to_white(tmp_path: Path, bits: int, photometric: str) -> None:
    stored = (np.arange(600).reshape(20, 30) % (1 << bits)).astype(np.uint8)
    path = write(tmp_path / "a.tif", stored, photometric=photometric, bitspersample=bits)
    seen = stored if photometric == "minisblack" else (1 << bits) - 1 - stored
    pixels, _ = read(path)
    np.testing.assert_array_equal(pixels, np.round(seen.astype(int) * 255 / ((1 << bits) - 1)))
    if photometric == "minisblack":
        np.testing.assert_array_equal(read(path, labels=True)[0], stored)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_bits_between(tmp_path: Path, bits: int) -> None:
    stored = (np.arange(600).reshape(20, 30) * 7 % (1 << bits)).astype(np.uint16)
    path = write(tmp_path / "a.tif", stored, photometric="minisblack", bitspersample=bits)
    np.testing.assert_array_equal(read(path)[0], stored)
    path = write(tmp_path / "b.tif", stored, photometric="miniswhite", bitspersample=bits)
    np.testing.assert_array_equal(read(path)[0], (1 << bits) - 1 - stored)


@pytest.mark.parametrize("layout", ["contig", "separate"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_cmyk(
    tmp_path: Path, layout: str, tile: tuple[int, int] | None, compression: str | None, byteorder: str
) -> None:
    inks = RNG.integers(0, 256, (20, 30, 4)).astype(np.uint8)
    stored = inks if layout == "contig" else inks.transpose(2, 0, 1)
    options: dict[str, Any] = {"photometric": "separated", "planarconfig": layout, "byteorder": byteorder}
    path = write(tmp_path / "a.tif", stored, tile=tile, compression=compression, **options)
    expected = np.asarray(Image.frombytes("CMYK", (30, 20), inks.tobytes()).convert("RGB")).astype(int)
    pixels, frames = read(path)
    assert frames.is_rgb
    assert frames.dtype == np.uint8
    assert np.abs(pixels - expected).max() <= 1
    wide = write(tmp_path / "b.tif", stored.astype(np.uint16) * 257, tile=tile, **options)
    assert np.abs(read(wide)[0] / 257 - expected).max() <= 1


def test_cmyk_whose_dots_are_inverted(tmp_path: Path) -> None:
    inks = RNG.integers(0, 256, (20, 30, 4)).astype(np.uint8)
    path = write(
        tmp_path / "a.tif", 255 - inks, photometric="separated", extratags=[(336, "H", 2, (255, 0), True)]
    )
    expected = np.asarray(Image.frombytes("CMYK", (30, 20), inks.tobytes()).convert("RGB")).astype(int)
    assert np.abs(read(path)[0] - expected).max() <= 1


@pytest.mark.parametrize("layout", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("alpha", ["none", "unassalpha", "assocalpha"])
def test_color_and_alpha(tmp_path: Path, layout: str, dtype: str, alpha: str) -> None:
    white = 1.0 if dtype == "float32" else np.iinfo(dtype).max
    color = (COLOR / 255 * white).astype(dtype)
    opacity = (RNG.integers(64, 256, (20, 30, 1)) / 255 * white).astype(dtype)
    stored = color
    if alpha != "none":
        shown = color if alpha == "unassalpha" else (color * (opacity / white)).astype(dtype)
        stored = np.concatenate([shown, opacity], axis=-1)
    path = write(
        tmp_path / "a.tif",
        stored if layout == "contig" else stored.transpose(2, 0, 1),
        photometric="rgb",
        planarconfig=layout,
        extrasamples=None if alpha == "none" else [alpha],
    )
    pixels, frames = read(path)
    assert (frames.channels, frames.is_rgb, frames.dtype) == (3, True, dtype)
    error = np.abs(pixels.astype(float) - color) / white
    assert error.max() <= (0.02 if alpha == "assocalpha" else 0)
    assert ("alpha left out" in frames.description) == (alpha != "none")


def test_gray_and_alpha(tmp_path: Path) -> None:
    stored = np.stack([GRAY, np.full_like(GRAY, 200)], axis=-1)
    path = write(
        tmp_path / "a.tif",
        stored,
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    pixels, frames = read(path)
    assert frames.channels == 1
    np.testing.assert_array_equal(pixels, GRAY)


@pytest.mark.parametrize("layout", ["contig", "separate"])
@pytest.mark.parametrize("count", [2, 5])
def test_extra_samples_that_nobody_specified_are_channels(tmp_path: Path, layout: str, count: int) -> None:
    stored = RNG.integers(0, 60_000, (20, 30, count)).astype(np.uint16)
    path = write(
        tmp_path / "a.tif",
        stored if layout == "contig" else stored.transpose(2, 0, 1),
        photometric="minisblack",
        planarconfig=layout,
    )
    pixels, frames = read(path)
    assert frames.channels == count
    np.testing.assert_array_equal(pixels, stored)


def test_signed_color(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", COLOR.view(np.int8), photometric="rgb")
    np.testing.assert_array_equal(read(path)[0], COLOR)
    path = write(tmp_path / "b.tif", GRAY.view(np.int8), photometric="minisblack")
    pixels, frames = read(path)
    np.testing.assert_array_equal(pixels, GRAY)
    assert "signed bytes read as unsigned" in frames.description


def lab_of(rgb: tuple[int, int, int]) -> tuple[float, float, float]:
    """CIE L*a*b* (D50) of a few colors, as color management systems give them."""
    return {
        (255, 0, 0): (54.29, 80.8, 69.9),
        (0, 255, 0): (87.82, -79.3, 80.99),
        (128, 128, 128): (53.6, 0.0, 0.0),
        (255, 255, 255): (100.0, 0.0, 0.0),
    }[rgb]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("icc", [False, True])
def test_lab(tmp_path: Path, bits: int, icc: bool) -> None:
    colors = [(255, 0, 0), (0, 255, 0), (128, 128, 128), (255, 255, 255)]
    unit = 1 << (bits - 8)
    rows = []
    for lightness, a, b in map(lab_of, colors):
        if icc:
            rows.append([lightness / 100 * 255 * unit, (a + 128) * unit, (b + 128) * unit])
        else:
            top = (1 << bits) - 1
            rows.append([lightness / 100 * top, (a * unit) % (1 << bits), (b * unit) % (1 << bits)])
    stored = np.tile(np.round(np.array(rows)).astype(f"u{bits // 8}"), (4, 1, 1))
    path = write(tmp_path / "a.tif", stored, photometric="icclab" if icc else "cielab")
    pixels, frames = read(path)
    assert frames.is_rgb
    assert np.abs(pixels[0].astype(int) - np.array(colors)).max() <= 10


def raw_tiff(path: Path, tags: dict[int, tuple[str, Any]], data: bytes) -> Path:
    """Write a little-endian TIFF of one strip, with tags ``{number: (format, values)}``."""
    sizes = {"B": 1, "H": 2, "I": 4, "2I": 8}
    kinds = {"B": 1, "H": 3, "I": 4, "2I": 5}
    tags = {**tags, 273: ("I", 8), 279: ("I", len(data))}
    directory = 8 + len(data) + len(data) % 2
    extra_at = directory + 2 + 12 * len(tags) + 4
    entries, extra = b"", b""
    for number, (kind, values) in sorted(tags.items()):
        numbers = values if isinstance(values, tuple) else (values,)
        count = len(numbers) // (2 if kind == "2I" else 1)
        packed = struct.pack(f"<{len(numbers)}{kind[-1]}", *numbers)
        if len(packed) > 4:
            packed, extra = struct.pack("<I", extra_at + len(extra)), extra + packed
        assert sizes[kind]
        entries += struct.pack("<HHI", number, kinds[kind], count) + packed.ljust(4, b"\0")
    head = b"II*\0" + struct.pack("<I", directory) + data + b"\0" * (len(data) % 2)
    path.write_bytes(head + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0" + extra)
    return path


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
def test_ycbcr_without_jpeg(tmp_path: Path, subsampling: tuple[int, int]) -> None:
    """Blocks of luma samples, then one pair of chroma samples (TIFF 6.0, section 21)."""
    across, down = subsampling
    rgb = np.zeros((16, 16, 3), np.uint8)
    rgb[:8] = (200, 60, 30)
    rgb[8:] = (20, 90, 210)
    ycbcr = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    data = b""
    for y in range(0, 16, down):
        for x in range(0, 16, across):
            block = ycbcr[y : y + down, x : x + across]
            data += block[..., 0].tobytes() + block[0, 0, 1:].tobytes()
    path = raw_tiff(
        tmp_path / "a.tif",
        {
            256: ("H", 16),
            257: ("H", 16),
            258: ("H", (8, 8, 8)),
            259: ("H", 1),
            262: ("H", 6),
            277: ("H", 3),
            278: ("H", 16),
            530: ("H", subsampling),
            532: ("2I", (0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1)),
        },
        data,
    )
    pixels, frames = read(path)
    assert frames.is_rgb
    assert np.abs(pixels.astype(int) - rgb).max() <= 3


@pytest.mark.parametrize(
    ("photometric", "words"),
    [(32803, "color filter; develop it"), (32844, "LogL"), (32845, "LogLuv"), (10, "ITU-T T.42")],
)
def test_what_nobody_can_show_is_refused(tmp_path: Path, photometric: int, words: str) -> None:
    path = write(tmp_path / "a.tif", GRAY, photometric="minisblack")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tag = file.pages.first.tags[262]
    data[tag.valueoffset : tag.valueoffset + 2] = struct.pack("<H", photometric)
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"^a\.tif holds .*{words}"):
        open_frames(path)


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", GRAY.astype(np.complex64), photometric="minisblack")
    with pytest.raises(InputError, match="complex64 values; convert them to real numbers"):
        open_frames(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "compression", ["jpeg", "webp", "jpeg2000", "jpegxl", "lerc", "zstd", "lzma", "png", "jpegxr"]
)
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_compressions(tmp_path: Path, compression: str, tile: tuple[int, int] | None) -> None:
    smooth = np.add.outer(np.arange(48) * 3, np.arange(48) * 2)[..., None] + np.array([0, 10, 5])
    smooth = np.clip(smooth, 0, 255).astype(np.uint8)
    path = write(tmp_path / "a.tif", smooth, photometric="rgb", compression=compression, tile=tile)
    pixels, frames = read(path)
    assert frames.is_rgb
    assert np.abs(pixels.astype(int) - smooth).mean() < 3
    gray = smooth[..., 0]
    if compression not in ("webp",):
        path = write(tmp_path / "b.tif", gray, photometric="minisblack", compression=compression, tile=tile)
        assert np.abs(read(path)[0].astype(int) - gray).mean() < 3


@pytest.mark.parametrize(
    ("dtype", "predictor"), [("uint16", 2), ("float32", 3), ("float16", 3), ("float64", 3), ("uint8", 2)]
)
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("layout", ["contig", "separate"])
def test_predictors(tmp_path: Path, dtype: str, predictor: int, byteorder: str, layout: str) -> None:
    color = COLOR.astype(dtype)
    path = write(
        tmp_path / "a.tif",
        color if layout == "contig" else color.transpose(2, 0, 1),
        photometric="rgb",
        planarconfig=layout,
        compression="zlib",
        predictor=predictor,
        byteorder=byteorder,
    )
    np.testing.assert_array_equal(read(path)[0], color)


def test_pages_of_several_kinds_of_pixels_are_read_alike(tmp_path: Path) -> None:
    images = [Image.fromarray(GRAY), Image.fromarray(COLOR), Image.fromarray(GRAY).convert("1")]
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:])
    with open_frames(tmp_path / "a.tif") as frames:
        assert (len(frames), frames.channels, frames.dtype) == (3, 3, np.uint8)
        assert "pages of 3 kinds of pixels" in frames.description
        for number, image in enumerate(images):
            np.testing.assert_array_equal(frames[number], np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    ("text", "dtype", "expected"),
    [
        ("-9999", "float32", ((-9999.0, -9999.0),)),
        ("0", "uint16", ((0.0, 0.0),)),
        ("nan", "float32", ()),
        ("-9999", "uint16", ()),
        ("nonsense", "float32", ()),
    ],
)
def test_the_value_that_gdal_declares_to_be_no_data(
    tmp_path: Path, text: str, dtype: str, expected: tuple[tuple[float, float], ...]
) -> None:
    path = write(tmp_path / "a.tif", GRAY.astype(dtype), extratags=[(42113, "s", 0, text, True)])
    with open_frames(path) as frames:
        assert frames.fill_values == expected
