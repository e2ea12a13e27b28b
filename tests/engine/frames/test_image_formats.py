"""Formats of images beyond PNG and JPEG, animated ones with their times, and files that are too large."""

import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.frames.image_files import read_image
from sam2_engine.frames.images.timing import timing_of

COLOR = np.random.default_rng(0).integers(0, 255, (24, 36, 3)).astype(np.uint8)
DEEP = COLOR.astype(np.uint16) * 257
GRAY = np.ascontiguousarray(DEEP[..., 0])


def netpbm(header: str, pixels: NDArray[np.generic]) -> bytes:
    return header.encode() + pixels.tobytes()


def plain(header: str, pixels: NDArray[np.generic]) -> bytes:
    return f"{header}{' '.join(map(str, pixels.ravel().tolist()))}\n".encode()


@pytest.mark.parametrize(
    ("name", "write", "expected"),
    [
        ("a.jxl", lambda: imagecodecs.jpegxl_encode(COLOR, lossless=True), COLOR),
        ("deep.jxl", lambda: imagecodecs.jpegxl_encode(GRAY, lossless=True), GRAY),
        ("a.jxr", lambda: imagecodecs.jpegxr_encode(COLOR, level=100), COLOR),
        ("a.jls", lambda: imagecodecs.jpegls_encode(COLOR), COLOR),
        ("deep.jls", lambda: imagecodecs.jpegls_encode(GRAY), GRAY),
        ("lossless.jpg", lambda: imagecodecs.ljpeg_encode(GRAY, bitspersample=16), GRAY),
        ("deep.jp2", lambda: imagecodecs.jpeg2k_encode(DEEP), DEEP),
        ("deep.png", lambda: imagecodecs.png_encode(np.ascontiguousarray(DEEP[..., :2])), GRAY),
        ("deep.ppm", lambda: netpbm("P6 36 24 65535\n", DEEP.astype(">u2")), DEEP),
        ("a.ppm", lambda: netpbm("P6\n# by hand\n36 24\n255\n", COLOR), COLOR),
        ("a.pam", lambda: netpbm("P7\nWIDTH 36\nHEIGHT 24\nDEPTH 3\nMAXVAL 255\nENDHDR\n", COLOR), COLOR),
        ("deep.pgm", lambda: netpbm("P5 36 24 65535\n", GRAY.astype(">u2")), GRAY),
        ("plain.pgm", lambda: plain("P2\n36 24 # by hand\n4095\n", GRAY >> 4), GRAY >> 4),
        ("plain.ppm", lambda: plain("P3 36 24 65535\n", DEEP), DEEP),
        ("color.pfm", lambda: netpbm("PF\n36 24\n-1.0\n", DEEP[::-1].astype("<f4")), DEEP.astype(np.float32)),
        ("gray.pfm", lambda: netpbm("Pf\n36 24\n1.0\n", GRAY[::-1].astype(">f4")), GRAY.astype(np.float32)),
    ],
)
def test_levels_are_kept(
    tmp_path: Path, name: str, write: Callable[[], bytes], expected: NDArray[np.generic]
) -> None:
    for path in (tmp_path / name, tmp_path / "without_suffix"):
        path.write_bytes(write())
        with open_frames(path) as frames:
            assert frames.dtype == expected.dtype
            np.testing.assert_array_equal(frames[0], expected)


@pytest.mark.parametrize("highest", [2, 100, 200])
@pytest.mark.parametrize(("magic", "write"), [("P2", plain), ("P5", netpbm)])
def test_labels_of_any_highest_level_are_not_stretched(
    tmp_path: Path, magic: str, write: Callable[[str, NDArray[np.generic]], bytes], highest: int
) -> None:
    ids = (np.arange(24 * 36) % (highest + 1)).astype(np.uint8).reshape(24, 36)
    (tmp_path / "a.pgm").write_bytes(write(f"{magic} 36 24 {highest}\n", ids))
    np.testing.assert_array_equal(read_image(tmp_path / "a.pgm", labels=True), ids)
    assert read_image(tmp_path / "a.pgm").max() == 255


def test_plain_levels_that_are_cut_off(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(b"P2 4 4 15\n1 2 3\n")
    with pytest.raises(InputError, match=r"^a.pgm is not a readable image"):
        read_image(tmp_path / "a.pgm")


@pytest.mark.parametrize(
    "content",
    [
        imagecodecs.ljpeg_encode(GRAY, bitspersample=16),
        imagecodecs.jpegls_encode(COLOR),
        b"\xff\xd8\xff\xff\xc3",
    ],
)
def test_rare_jpegs_that_are_cut_off(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(InputError, match=r"^a.jpg is not a readable image"):
        open_frames(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html>404</html>", "is a web page, not an image; download the image itself"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "a pointer of Git LFS"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "pip install pillow-heif|not a readable image"),
    ],
)
def test_what_is_no_image_is_called_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(InputError, match=words):
        open_frames(tmp_path / "a.jpg")


def animation(path: Path, kind: str) -> list[NDArray[np.uint8]]:
    stack = [np.full((24, 36, 3), 20 * t, np.uint8) for t in range(6)]
    images = [Image.fromarray(frame) for frame in stack]
    durations = [100, 200, 100, 300, 100, 100]
    options = {"lossless": True} if kind == "WEBP" else {}
    images[0].save(path, kind, save_all=True, append_images=images[1:], duration=durations, **options)
    return stack


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_times_of_animated_images(tmp_path: Path, kind: str) -> None:
    animation(tmp_path / "a", kind)
    with open_frames(tmp_path / "a") as frames:
        assert frames.timestamps == pytest.approx([0, 0.1, 0.3, 0.4, 0.7, 0.8])
        assert frames.fps == pytest.approx(6 / 0.9)


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
def test_what_a_cut_off_animation_lacks_is_said(tmp_path: Path, kind: str) -> None:
    stack = animation(tmp_path / "a", kind)
    content = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(content[: len(content) * 3 // 4])
    with open_frames(tmp_path / "a") as frames:
        assert 1 < len(frames) < 6
        assert "the file is cut off" in frames.description
        for number, frame in enumerate(frames):
            np.testing.assert_array_equal(frame, stack[number])


def test_threads_read_an_animation_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = animation(tmp_path / "a", "GIF")
    monkeypatch.setattr("sam2_engine.frames.images.animated._RECENT_BYTES", stack[0].nbytes)
    with open_frames(tmp_path / "a") as frames, ThreadPoolExecutor(4) as pool:
        numbers = np.random.default_rng(0).integers(0, 6, 60).tolist()
        for number, frame in zip(numbers, pool.map(frames.__getitem__, numbers)):
            np.testing.assert_array_equal(frame, stack[number])


def test_an_animation_among_images_is_refused_at_once(tmp_path: Path) -> None:
    Image.fromarray(COLOR).save(tmp_path / "0.png")
    animation(tmp_path / "1.gif", "GIF")
    with pytest.raises(InputError, match=r"1.gif holds 6 images; open it by itself"):
        open_frames(tmp_path)


def test_a_damaged_container_has_no_times(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"GIF89a\1")
    assert timing_of(tmp_path / "a", "GIF") is None
    assert timing_of(tmp_path / "a", "TGA") is None


def test_text_that_is_no_utf8(tmp_path: Path) -> None:
    images = [Image.fromarray(COLOR), Image.fromarray(COLOR[::-1])]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], comment=b"\xe9t\xe9 \xff")
    with open_frames(tmp_path / "a.gif") as frames:
        assert len(frames) == 2


def test_a_gif_with_transparency_is_composed(tmp_path: Path) -> None:
    first = Image.fromarray(COLOR).quantize(16)
    second = Image.new("P", (36, 24), 16)
    second.putpalette([*(first.getpalette() or [])[:48], 1, 2, 3])
    second.paste(3, (0, 0, 10, 10))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second], transparency=16, disposal=1)
    with open_frames(tmp_path / "a.gif") as frames:
        np.testing.assert_array_equal(frames[1][12:], frames[0][12:])
        assert (frames[1][:10, :10] == frames[1][0, 0]).all()


def test_frames_beyond_the_canvas_are_cut(tmp_path: Path) -> None:
    animation(tmp_path / "a.gif", "GIF")
    content = bytearray((tmp_path / "a.gif").read_bytes())
    content[6:10] = struct.pack("<2H", 30, 20)  # the logical screen; the frames stay 36 x 24
    (tmp_path / "a.gif").write_bytes(content)
    with open_frames(tmp_path / "a.gif") as frames:
        assert {frame.shape for frame in frames} == {(*frames.shape, 3)}
        assert "beyond the image's declared size" in frames.description


def photographs(path: Path, *sizes: tuple[int, int]) -> None:
    images = [Image.new("RGB", size, (10 * number, 0, 0)) for number, size in enumerate(sizes)]
    images[0].save(path, "MPO", save_all=True, append_images=images[1:])


def test_a_photograph_with_more_images(tmp_path: Path) -> None:
    photographs(tmp_path / "preview.jpg", (40, 30), (20, 15))
    with open_frames(tmp_path / "preview.jpg") as frames:
        assert (len(frames), frames.shape) == (1, (30, 40))
        assert "the file holds 2 images, of which the first is read" in frames.description
    photographs(tmp_path / "stereo.mpo", (40, 30), (40, 30))
    with open_frames(tmp_path / "stereo.mpo") as frames:
        assert len(frames) == 2
    for options in ({"single": True}, {}):
        with open_frames(tmp_path / "stereo.mpo" if options else tmp_path, **options) as frames:
            assert len(frames) == (1 if options else 2)
            assert "of 2 images in a file the first" in frames.description


def test_what_a_folder_leaves_out_is_said(tmp_path: Path) -> None:
    Image.fromarray(COLOR).save(tmp_path / "0.png")
    (tmp_path / "plot.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    (tmp_path / "notes.txt").write_text("notes")
    np.save(tmp_path / "stack.npy", COLOR)
    with open_frames(tmp_path) as frames:
        assert frames.description.endswith("; left out, as no plain images: plot.eps, stack.npy")


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content",
    [
        png_that_claims(2_000_000, 2_000_000),
        b"P6 1000000 1000000 255\n",
        b"Pf 1000000 1000000 1\n",
        b"qoif" + struct.pack(">2I2B", 3_000_000, 3_000_000, 3, 0),
    ],
)
def test_headers_that_ask_for_terabytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bomb.png").write_bytes(content)
    with pytest.raises(InputError, match=r"^bomb.png says that it is \d+ x \d+ pixels, too many"):
        open_frames(tmp_path / "bomb.png")


@pytest.mark.filterwarnings("error")
def test_large_images_are_not_taken_for_bombs(tmp_path: Path) -> None:
    Image.new("1", (15_000, 13_000)).save(tmp_path / "large.png")  # more than Pillow would open
    with open_frames(tmp_path / "large.png") as frames:
        assert frames.shape == (13_000, 15_000)


def test_an_icon_of_another_size_than_its_file_lists_says_so(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    Image.new("L", (24, 18), 7).save(tmp_path / "a.ico", sizes=[(24, 18)])
    content = bytearray((tmp_path / "a.ico").read_bytes())
    content[6:8] = 38, 32  # width and height of the first entry
    (tmp_path / "a.ico").write_bytes(content)
    with open_frames(tmp_path / "a.ico") as frames:
        assert frames[0].shape[:2] == (18, 24)
        assert "not of the size that the file lists" in frames.description
    assert not recwarn


def test_a_png_whose_animation_is_damaged_says_so(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    first, *rest = (Image.new("L", (8, 8), level) for level in (1, 2, 3))
    first.save(tmp_path / "a.png", save_all=True, append_images=rest)
    content = bytearray((tmp_path / "a.png").read_bytes())
    at = content.index(b"acTL")
    content[at + 4 : at + 8] = bytes(4)  # the number of frames
    content[at + 12 : at + 16] = zlib.crc32(content[at : at + 12]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(content)
    with open_frames(tmp_path / "a.png") as frames:
        assert len(frames) == 1
        assert "its animation is damaged" in frames.description
    assert not recwarn
