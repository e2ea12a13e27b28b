"""What pixel values mean: orientation, color modes, channel order, each decided in one place."""

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from PIL import Image, ImageOps, ImageSequence

from sam2_engine.errors import InputError, OptionError
from sam2_engine.frames import open_frames
from sam2_engine.frames import pixels as pixels_module
from sam2_engine.frames.pixels import as_array, colors_of, image_array, orientation_of, swaps_axes, upright
from sam2_engine.image.predictor import as_image, open_image
from sam2_engine.labels import open_labels

COLOR = np.random.default_rng(0).integers(0, 255, (24, 36, 3)).astype(np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("pixels", [COLOR, COLOR[..., 0]])
def test_upright_as_pillow_turns(pixels: np.ndarray, orientation: int) -> None:
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert orientation_of(image) == orientation
    np.testing.assert_array_equal(upright(pixels, orientation), expected)
    assert swaps_axes(orientation) == (expected.shape[0] == 36)


def test_what_no_standard_defines_is_upright() -> None:
    for orientation in (0, 9, 77):
        np.testing.assert_array_equal(upright(COLOR, orientation), COLOR)


@pytest.mark.parametrize("mode", ["P", "PA", "CMYK", "YCbCr", "LAB", "HSV", "RGBA", "RGBX", "RGBa"])
def test_images_in_memory_are_colors(mode: str) -> None:
    image = Image.fromarray(COLOR)
    if mode == "P":
        image = image.convert("P", palette=Image.Palette.ADAPTIVE)
    elif mode == "PA":
        image = image.convert("P", palette=Image.Palette.ADAPTIVE).convert("PA")
    elif mode == "RGBa":
        image = image.convert("RGBA").convert("RGBa")
    else:
        image = image.convert(mode)
    expected = np.asarray((image.convert("RGBA") if mode == "RGBa" else image).convert("RGB"))
    np.testing.assert_array_equal(colors_of(image), expected)
    for source in (image, [image], [image, image]):
        with open_frames(source) as frames:
            assert frames.is_rgb
            np.testing.assert_array_equal(frames[len(frames) - 1], expected)


@pytest.mark.parametrize(
    ("mode", "dtype"), [("1", bool), ("L", "uint8"), ("LA", "uint8"), ("I", "int32"), ("F", "float32")]
)
def test_gray_images_in_memory(mode: str, dtype: Any) -> None:
    image = Image.fromarray(COLOR[..., 0]).convert(mode)
    with open_frames(image) as frames:
        assert (frames.dtype, frames.channels, frames.shape) == (np.dtype(dtype), 1, (24, 36))


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("in_memory", [False, True])
def test_levels_of_few_bits_are_those_of_the_file(tmp_path: Path, bits: int, in_memory: bool) -> None:
    """A PNG whose first row is 0, 1, 2, 3, ..."""
    levels = np.arange(8, dtype=np.uint8) % (1 << bits)
    rows = np.packbits(np.unpackbits(levels[:, None], axis=1)[:, 8 - bits :].ravel())
    header = struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" + rows.tobytes())), (b"IEND", b""))
    content = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    path = tmp_path / "few.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    for labels in (False, True):
        image = Image.open(io.BytesIO(path.read_bytes()) if in_memory else path)
        expected = open_frames(path, labels=labels)[0]
        np.testing.assert_array_equal(expected[0], levels if labels else levels * (255 // ((1 << bits) - 1)))
        frames = open_frames(image, labels=labels)
        np.testing.assert_array_equal(frames[0], expected)
        np.testing.assert_array_equal(frames[0], expected)
        if not in_memory:  # loaded by now
            np.testing.assert_array_equal(as_array(image, labels=labels), expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "I;16", "F", "RGB", "RGBA", "RGBa", "CMYK"])
@pytest.mark.parametrize("background", [None, "white"])
def test_a_large_image_is_converted_in_strips(
    mode: str, background: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(Image.new(mode, (50, 70)).tobytes())
    image = Image.frombytes(
        mode, (50, 70), np.random.default_rng(0).integers(0, 255, size, np.uint8).tobytes()
    )
    if mode in ("P", "PA"):
        image.putpalette(bytes(range(256)) * 3)
    if mode == "P":
        image.info["transparency"] = bytes(range(256))
    whole = colors_of(image, background=background)
    monkeypatch.setattr(pixels_module, "_STRIP", 160)
    in_strips = colors_of(image, background=background)
    assert in_strips.dtype == whole.dtype
    np.testing.assert_array_equal(in_strips, whole)


@pytest.mark.parametrize("mode", ["P", "RGB", "RGBA"])
def test_a_large_image_takes_no_more_than_its_colors(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels_module, "_STRIP", 1 << 16)
    image = Image.new(mode, (2000, 2000))
    tracemalloc.start()
    try:
        pixels = colors_of(image)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.2 * pixels.nbytes


def test_a_palette_of_labels_gives_its_indices() -> None:
    image = Image.fromarray(COLOR).convert("P")
    with open_frames([image], labels=True) as frames:
        np.testing.assert_array_equal(frames[0], np.asarray(image))


def test_bfloat16_and_channels_first() -> None:
    tensor = torch.arange(3 * 24 * 36, dtype=torch.bfloat16).reshape(3, 24, 36)
    assert as_array(tensor).dtype == np.float32
    assert image_array(tensor).shape == (24, 36, 3)
    first = np.ascontiguousarray(COLOR.transpose(2, 0, 1))
    np.testing.assert_array_equal(image_array(first), COLOR)
    with open_frames([first, first]) as frames:
        np.testing.assert_array_equal(frames[1], COLOR)
        assert "is read as channels" in frames.description
    with pytest.raises(ValueError, match=r"put the channels last"):
        image_array(np.zeros((7, 40, 60)))


class ArrayInterface:
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return COLOR[..., 0]


class NoArray:
    shape, dtype = 5, "nonsense"


GRAYS = torch.tensor(COLOR[..., 0])


@pytest.mark.parametrize(
    "item",
    [
        memoryview(np.ascontiguousarray(COLOR[..., 0])),
        GRAYS.to_sparse(),
        scipy.sparse.coo_array(COLOR[..., 0]),
        scipy.sparse.csr_matrix(COLOR[..., 0]),
        torch.nn.Parameter(GRAYS.float()),
        ArrayInterface(),
    ],
    ids=lambda item: type(item).__name__,
)
def test_whatever_holds_an_image_is_one(item: Any) -> None:
    with open_frames(item) as frames, open_frames([item]) as listed, open_frames(iter([item])) as live:
        for pixels in (frames[0], listed[0], live[0], as_image(item)):
            np.testing.assert_array_equal(pixels, COLOR[..., 0])
    np.testing.assert_array_equal(open_labels(item)._read(0), COLOR[..., 0])


def test_a_tensor_of_8_bit_floats() -> None:
    tensor = torch.tensor([[0.5, 2.0], [1.0, -4.0]]).to(torch.float8_e4m3fn)
    np.testing.assert_array_equal(open_frames(tensor)[0], np.array([[0.5, 2.0], [1.0, -4.0]], np.float32))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: torch.empty(24, 36, device="meta"), "meta has no values; make it on another one"),
        (
            lambda: torch.nested.nested_tensor([torch.rand(3, 4), torch.rand(2, 4)]),
            "nested tensor has no one shape; give its tensors as a list",
        ),
        (lambda: torch.rand(4, 5, dtype=torch.complex64).conj(), "complex64|real"),
        (NoArray, "."),
        (lambda: memoryview(b"abc"), r"\(3,\)|the axes \(Y, X\)"),
        (lambda: np.ndarray, "an array"),
        (lambda: {1, 2}, "an array"),
        (lambda: bytearray(b"111"), "an array"),
    ],
)
def test_odd_objects_are_refused_in_a_sentence(make: Callable[[], Any], words: str) -> None:
    for read in (open_frames, lambda item: open_frames([item]), lambda item: open_frames(iter([item]))):
        with pytest.raises(InputError):
            read(make())[0].sum()
    for read in (open_frames, open_image, open_labels):
        with pytest.raises(InputError, match=words):
            read(make())


def test_an_image_in_memory_is_not_turned_and_says_so(tmp_path: Path) -> None:
    image = Image.fromarray(COLOR)
    image.getexif()[0x0112] = 6
    with open_frames(image) as frames:
        np.testing.assert_array_equal(frames[0], COLOR)
        assert "not turned upright" in frames.description


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("a.jfif", "JPEG"), ("a.jpe", "JPEG"), ("a", "PNG"), ("a.dat", "PNG"), ("a.ppm", "PPM")),
        *(("a.jp2", "JPEG2000"), ("a.jpg", "PNG"), ("a.png", "TIFF"), ("a.tif", "PNG"), ("a.png", "WEBP")),
        *(("a.qoi", "QOI"), ("a.avif", "AVIF"), ("a.gif", "GIF"), ("a.tga", "TGA"), ("a.nii.gz", "BMP")),
    ],
)
def test_what_a_file_is_its_content_tells(tmp_path: Path, name: str, kind: str) -> None:
    Image.fromarray(COLOR).save(tmp_path / name, format=kind)
    with open_frames(tmp_path / name) as frames, Image.open(tmp_path / name) as image:
        assert (len(frames), frames.shape) == (1, (24, 36))
        np.testing.assert_array_equal(frames[0], np.asarray(image.convert("RGB")))


def test_a_folder_loses_no_image(tmp_path: Path) -> None:
    for number, name in enumerate(("0.jpg", "1.jfif", "2", "10.ppm", "3.JPE")):
        with (tmp_path / name).open("wb") as file:
            kind = {"10.ppm": "PPM", "2": "PNG"}.get(name, "JPEG")
            Image.fromarray(np.full((24, 36), number * 40, np.uint8)).save(file, format=kind)
    for name in ("notes.txt", "Thumbs.db", "meta.json", "Makefile"):
        (tmp_path / name).write_text("P1 is the first of {these}")
    with open_frames(tmp_path) as frames:
        assert [int(frame[5, 5]) for frame in frames] == [0, 40, 80, 160, 120]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.png", b"these are words", "a.png is not a readable image"),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n", "is PostScript, which is drawn by running a program"),
        ("a.jpg", b"%PDF-1.7\n", "is a PDF"),
        ("a.svg", b"<?xml version='1.0'?><svg/>", "is a drawing"),
        ("a.npz", b"PK\3\4", "is an archive of NumPy arrays.* as .npy"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        open_frames(tmp_path / name)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_animated_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    stack = [Image.fromarray(np.roll(COLOR // 2, 5 * t, axis=1)) for t in range(6)]
    options = {"lossless": True} if kind == "WEBP" else {}
    stack[0].save(
        tmp_path / "a", format=kind, save_all=True, append_images=stack[1:], duration=100, **options
    )
    with Image.open(tmp_path / "a") as image:
        expected = [np.asarray(one.convert("RGB")) for one in ImageSequence.Iterator(image)]
    monkeypatch.setattr("sam2_engine.frames.images.animated._RECENT_BYTES", 2 * COLOR.nbytes)
    with open_frames(tmp_path / "a") as frames:
        assert (len(frames), frames.is_rgb, frames.axis) == (6, True, "T")
        for number in (0, 5, 2, 3, 3, 1, 0, 4):
            np.testing.assert_array_equal(frames[number], expected[number])
        frames.close()
        np.testing.assert_array_equal(frames[1], expected[1])


def test_arrays_whose_channels_are_first() -> None:
    first = np.ascontiguousarray(COLOR.transpose(2, 0, 1))
    for tensor, length in ((torch.from_numpy(first), 1), (torch.from_numpy(np.stack([first] * 4)), 4)):
        with open_frames(tensor) as frames:
            assert (len(frames), frames.is_rgb) == (length, True)
            assert "before height and width is read as color" in frames.description
            np.testing.assert_array_equal(frames[length - 1], COLOR)
    with open_frames(first, single=True) as frames:
        np.testing.assert_array_equal(frames[0], COLOR)
    with open_frames(first) as frames:
        assert frames.description.endswith("is read as T (if it is color, name it: CYX)")
    with pytest.raises(InputError, match=r"The array has 4 axes .* for example with axes='TCYX'") as caught:
        open_frames(np.stack([first] * 4))
    assert isinstance(caught.value, OptionError)
    assert "--axes TCYX" in caught.value.for_command_line()


def test_advice_in_the_words_of_python_and_of_the_command_line() -> None:
    with pytest.raises(OptionError, match=r"for example fixed=\{'Z': 0\}") as caught:
        open_frames(np.zeros((4, 5, 24, 36), np.uint16), axes="TZYX")
    assert "for example --fixed Z=0." in caught.value.for_command_line()


@pytest.mark.parametrize(("item", "words"), [(7, "an image is"), (np.zeros((1, 4, 4, 3)), r"\(1, 4, 4, 3\)")])
def test_what_is_no_image_in_a_list_is_named(item: Any, words: str) -> None:
    with pytest.raises(InputError, match=rf"Image 1 of the list cannot be used: .*{words}"):
        open_frames([COLOR, item])


@pytest.mark.filterwarnings("ignore:.* are NaN")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_what_a_mask_of_numpy_hides_is_no_data(dtype: Any) -> None:
    """Libraries for geodata and climate give such arrays; their fill value is far beyond the data."""
    known = COLOR[..., 0].astype(dtype)
    hidden = np.zeros(known.shape, bool)
    hidden[:6] = True
    masked = np.ma.masked_array(np.where(hidden, dtype(255), known), hidden)
    for source, axes in ((masked, "YX"), ([masked], None), (masked[np.newaxis], "TYX")):
        with open_frames(source, axes=axes) as frames:
            np.testing.assert_array_equal(frames[0][6:], known[6:])
            dark = frames[0][:6]
            assert np.isnan(dark).all() if dtype == np.float32 else (dark == known[6:].min()).all()
            assert "masked pixels are read as the darkest level" in frames.description
