"""Single images and folders of them: natural order, upright, all alike."""

import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from sam2_engine.errors import InputError
from sam2_engine.frames import image_files, open_frames
from sam2_engine.frames.images.pixel_limit import up_to
from sam2_engine.frames.source import UnreadableFrameError

COLOR = np.random.default_rng(0).integers(0, 255, (24, 36, 3)).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".TIFF", ".PNG", ".webp"])
def test_one_image_is_one_frame(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    Image.fromarray(COLOR).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    with open_frames(path) as frames:
        assert (len(frames), frames.axes, frames.shape, frames.is_rgb) == (1, "YXS", (24, 36), True)
        np.testing.assert_array_equal(frames[0], COLOR)
    with open_frames(str(path), channel=2) as frames:
        np.testing.assert_array_equal(frames[0], COLOR[..., 2])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("1", (np.bool_, 2)),
        ("L", (np.uint8, 2)),
        ("LA", (np.uint8, 2)),
        ("P", (np.uint8, 3)),
        ("RGBA", (np.uint8, 3)),
        ("I;16", (np.uint16, 2)),
    ],
)
def test_kinds_of_png(tmp_path: Path, mode: str, expected: tuple[type, int]) -> None:
    gray = Image.fromarray(COLOR[..., 0])
    image = Image.fromarray(COLOR[..., 0].astype(np.uint16) * 200) if mode == "I;16" else gray.convert(mode)
    image.save(tmp_path / "kind.png")
    with open_frames(tmp_path / "kind.png") as frames:
        assert (frames.dtype, frames[0].ndim) == expected
        if mode == "I;16":
            np.testing.assert_array_equal(frames[0], COLOR[..., 0].astype(np.uint16) * 200)


def test_labels_in_a_palette(tmp_path: Path) -> None:
    labels = np.random.default_rng(3).integers(0, 5, (24, 36)).astype(np.uint8)
    image = Image.fromarray(labels)
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128])
    assert image.mode == "P"
    for name in ("a1.png", "a2.png"):
        image.save(tmp_path / name)
    for source in (tmp_path / "a1.png", tmp_path, [tmp_path / "a1.png"]):
        with open_frames(source, labels=True) as frames:
            assert frames.channels == 1
            np.testing.assert_array_equal(frames[len(frames) - 1], labels)
        with open_frames(source) as frames:
            assert frames.channels == 3


@pytest.mark.parametrize("alpha", [False, True])
def test_color_of_16_bits_keeps_its_levels(tmp_path: Path, alpha: bool) -> None:
    deep = np.random.default_rng(1).integers(0, 65535, (24, 36, 3 + alpha)).astype(np.uint16)
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(deep))
    with open_frames(tmp_path / "deep.png") as frames:
        assert frames.dtype == np.uint16
        np.testing.assert_array_equal(frames[0], deep[..., :3])


def gradient(orientation: int, path: Path) -> NDArray[np.uint8]:
    """Write a JPEG whose pixels are stored as ``orientation`` says, and return it upright."""
    upright = np.zeros((48, 80), np.uint8)
    upright[:16, :16] = 250
    upright[32:, :16] = 120
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(path, quality=95, exif=exif)
    return upright


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_upright(tmp_path: Path, orientation: int) -> None:
    upright = gradient(orientation, tmp_path / "a1.jpg")
    gradient(orientation, tmp_path / "a2.jpg")
    with open_frames(tmp_path) as frames:
        assert (len(frames), frames.shape) == (2, (48, 80))
        assert np.abs(frames[1].astype(int) - upright).max() < 16


def test_a_folder_of_tiffs_and_a_list_of_files(tmp_path: Path) -> None:
    planes = np.random.default_rng(2).integers(0, 60_000, (3, 24, 36)).astype(np.uint16)
    for number, plane in enumerate(planes):
        tifffile.imwrite(tmp_path / f"t{number}.tif", plane, compression="lzw")
    with open_frames(tmp_path) as frames:
        np.testing.assert_array_equal(frames[2], planes[2])
    with open_frames([tmp_path / "t2.tif", str(tmp_path / "t0.tif")]) as frames:
        np.testing.assert_array_equal(frames[0], planes[2])
        np.testing.assert_array_equal(frames[1], planes[0])


def test_images_of_other_sizes_and_types_are_named(tmp_path: Path) -> None:
    Image.fromarray(COLOR).save(tmp_path / "a1.png")
    Image.fromarray(COLOR[:20]).save(tmp_path / "a2.png")
    with pytest.raises(InputError, match=r"a2.png is 20 x 36, but a1.png is 24 x 36"):
        open_frames(tmp_path)
    Image.fromarray(COLOR[..., 0]).save(tmp_path / "a2.png")
    with (
        open_frames(tmp_path) as frames,
        pytest.raises(InputError, match=r"a2.png is .*uint8, but a1.png is"),
    ):
        frames[1]


def test_a_stack_in_a_folder_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a1.tif", np.zeros((7, 24, 36), np.uint16))
    with pytest.raises(InputError, match=r"a1.tif holds 7 images"):
        open_frames(tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_images_that_cannot_be_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"broken{suffix}"
    Image.fromarray(COLOR).save(path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"these are words, not pixels", whole[:30]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"^broken{suffix} is not a readable image"):
            open_frames(path)


def test_a_broken_image_within_a_folder_is_named(tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(COLOR).save(tmp_path / f"a{number}.png")
    whole = (tmp_path / "a1.png").read_bytes()
    (tmp_path / "a1.png").write_bytes(whole[: len(whole) // 2])
    with open_frames(tmp_path) as frames:
        np.testing.assert_array_equal(frames[2], COLOR)
        with pytest.raises(InputError, match=r"^a1.png is not a readable image"):
            frames[1]


def test_paths_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.png cannot be opened \(No such file or directory\)"):
        open_frames(tmp_path / "nowhere.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image here")
    with pytest.raises(InputError, match="empty holds no images"):
        open_frames(tmp_path / "empty")
    for name in ("empty.png", "empty.tif", "empty.mp4", "empty.dat"):
        (tmp_path / name).touch()
        with pytest.raises(InputError, match=f"{name} is an empty file"):
            open_frames(tmp_path / name)
    (tmp_path / "pickle.npy").write_bytes(b"\x80\x04]q\x00.")
    with pytest.raises(InputError, match=r"pickle.npy is not a readable NumPy file"):
        open_frames(tmp_path / "pickle.npy")


@pytest.mark.parametrize(
    ("package", "name", "extra"),
    [("av", "clip.mp4", "video"), ("nibabel", "volume.nii", "medical"), ("pydicom", "slice.dcm", "medical")],
)
def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, name: str, extra: str
) -> None:
    (tmp_path / name).write_bytes(bytes(128) + (b"DICM" if package == "pydicom" else b"what else"))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf'^{name} .*pip install "sam2-plugins\[{extra}\]"'):
        open_frames(tmp_path / name)


def test_pillow_refuses_beyond_the_limit_and_never_warns(tmp_path):
    """By itself it reads up to twice its limit, with a warning that nobody here could explain."""
    path = tmp_path / "a.png"
    Image.new("L", (200, 100)).save(path)
    with up_to(20_000), Image.open(path):
        pass
    with up_to(19_999), pytest.raises(Image.DecompressionBombError):
        Image.open(path)


@pytest.mark.parametrize("others", [0, 5])
def test_of_a_long_sequence_few_files_are_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    for number in range(80):
        Image.fromarray(COLOR).save(tmp_path / f"{number:03d}.png")
    for number in range(others):
        (tmp_path / f"{number}.txt").write_text("a note")
    Image.fromarray(COLOR[:5]).save(tmp_path / "041.png")
    opened: list[str] = []
    open_file = Path.open

    def counted(self: Path, *arguments: Any, **options: Any) -> Any:
        opened.append(self.name)
        return open_file(self, *arguments, **options)

    monkeypatch.setattr(image_files, "MOST_HEADERS", 10)
    monkeypatch.setattr(Path, "open", counted)
    with open_frames(tmp_path) as frames:
        looked_into = {name for name in opened if name.endswith(".png")}
        assert looked_into == {f"{i * 79 // 9:03d}.png" for i in range(10)}
        assert len(frames) == 80
        np.testing.assert_array_equal(frames[79], COLOR)
        with pytest.raises(UnreadableFrameError, match=r"041\.png is \(5, 36, 3\) uint8, but 000\.png is"):
            frames[41]
    monkeypatch.setattr(image_files, "MOST_HEADERS", 80)
    with pytest.raises(InputError, match=r"041\.png is 5 x 36, but 000\.png is 24 x 36"):
        open_frames(tmp_path)
