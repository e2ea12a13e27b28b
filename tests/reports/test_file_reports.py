"""What people reported of image files: missing frames, colors that are indices, files by another name.

Each is named by its number in the collection; the right answer is asserted, the wrong one of 2268ca4 is said.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from sam2_engine import ImagePredictor, InputError, load_model, open_frames
from sam2_plugins.cli.app import main

H, W = 96, 128
Y, X = np.mgrid[:H, :W]


def moving(frames: int) -> list[NDArray[np.uint8]]:
    return [
        np.where((X - 30 - 6 * t) ** 2 + (Y - 48) ** 2 < 200, 200, 40).astype(np.uint8) for t in range(frames)
    ]


def described(source: Any, **options: Any) -> tuple[int, tuple[int, int], str]:
    with open_frames(source, **options) as frames:
        assert frames.length is not None
        return len(list(frames)), frames.shape, frames.description


def test_07_an_acquisition_that_was_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Was: "Frame 6 cannot be read", whatever --stop said."""
    planes = "".join(f'<TiffData FirstC="0" FirstZ="0" FirstT="{t}" IFD="{t}"/>' for t in range(6))
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="128" SizeY="96" SizeC="1" '
        f'SizeZ="1" SizeT="10"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
    )
    path = tmp_path / "stopped.ome.tif"
    with tifffile.TiffWriter(path, ome=False) as writer:
        for t, frame in enumerate(moving(6)):
            description = None if t else xml
            writer.write(frame, description=description, contiguous=False, metadata=None)
    (tmp_path / "p.json").write_text('[{"frame": 0, "object_id": 1, "points": [[30, 48]]}]')
    files = [str(tmp_path / name) for name in ("stopped.ome.tif", "p.json", "o.tif")]
    assert main(["track", files[0], "--prompts", files[1], "-o", files[2], "--model", "nano@64"]) == 0
    said = capsys.readouterr()
    assert "4 of the 10 frames that its metadata promise are not in the file" in said.out + said.err
    assert "6 of 6 frames" in said.out
    assert tifffile.imread(files[2]).shape == (6, H, W)


@pytest.mark.parametrize("suffix", ["png", "tif", "gif", "bmp"])
def test_15_a_palette_is_color(tmp_path: Path, suffix: str) -> None:
    """Was: a TIFF's indices for levels; their correlation with the image's gray was -0.99."""
    image = Image.fromarray(data.astronaut()).resize((160, 160))
    image = image.convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    image.save(tmp_path / f"a.{suffix}")
    with open_frames(tmp_path / f"a.{suffix}", single=True) as frames:
        np.testing.assert_array_equal(frames[0], np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("suffix", ["jpg", "tif", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_an_image_is_as_its_viewers_turn_it(tmp_path: Path, suffix: str, orientation: int) -> None:
    """Was: a TIFF lay on its side, and the click missed it."""
    pixels = np.full((60, 100, 3), 50, np.uint8)
    pixels[10:30, 70:90] = 220
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[274] = orientation
    if suffix == "tif":
        tag = (274, "H", 1, orientation, True)
        tifffile.imwrite(path, pixels, photometric="rgb", metadata=None, extratags=[tag])
    else:
        Image.fromarray(pixels).save(path, exif=exif, quality=95)
    upright = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, -1),
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(pixels),
    }[orientation]
    with open_frames(path, single=True) as frames:
        np.testing.assert_allclose(frames[0].astype(int), upright, atol=20)
        assert ("turned upright" in frames.description) == (orientation > 1)


@pytest.mark.parametrize("first", ["thumbnail", "image"])
def test_17_a_thumbnail_is_not_the_image(tmp_path: Path, first: str) -> None:
    """Was: the 24 x 32 copy that came first."""
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3)).astype(np.uint8)
    pages = [(image[::20, ::20], 1), (image, 0)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for pixels, kind in pages if first == "thumbnail" else pages[::-1]:
            writer.write(pixels, photometric="rgb", metadata=None, subfiletype=kind)
    _, shape, said = described(tmp_path / "a.tif", single=True)
    assert shape == (480, 640)
    assert "level 0 of 2" in said
    assert described(tmp_path / "a.tif", single=True, level=1)[1] == (24, 32)


@pytest.mark.parametrize(
    ("suffix", "options"), [("gif", {}), ("png", {}), ("webp", {"lossless": True}), ("avif", {"quality": 90})]
)
def test_18_animated_images_are_frames(tmp_path: Path, suffix: str, options: dict[str, Any]) -> None:
    """Was: the first of APNG, WebP and AVIF, without a word."""
    images = [Image.fromarray(frame) for frame in moving(6)]
    path = tmp_path / f"a.{suffix}"
    images[0].save(path, save_all=True, append_images=images[1:], duration=100, **options)
    with open_frames(path) as frames:
        assert len(frames) == 6
        for frame, expected in zip(frames, moving(6)):
            gray = frame if frame.ndim == 2 else frame[..., :3].mean(-1)
            assert np.abs(gray.astype(float) - expected).mean() < 4


PICTURE = np.where((X > 40) & (X < 80) & (Y > 30) & (Y < 60), 200, 50).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jfif", "JPEG"),
        ("a.jpe", "JPEG"),
        ("a", "PNG"),
        ("a.PNG", "JPEG"),
        ("a.tif", "PNG"),
        ("a.mp4", "PNG"),
        ("a.ppm", "PPM"),
        ("a.jp2", "JPEG2000"),
        ("a.dcm", "TIFF"),
        ("a.npy", "PNG"),
    ],
)
def test_19_a_file_is_what_its_content_says(tmp_path: Path, name: str, kind: str) -> None:
    """Was: "neither an image, a stack nor a video" for half of these."""
    Image.fromarray(PICTURE).save(tmp_path / name, format=kind)
    with open_frames(tmp_path / name) as frames:
        assert len(frames) == 1
        gray = frames[0] if frames[0].ndim == 2 else frames[0].mean(-1)
        assert np.abs(gray.astype(float) - PICTURE).mean() < 4


def test_19_no_frame_in_the_middle_is_lost(tmp_path: Path) -> None:
    """Was: two of three frames, the middle one left out without a word."""
    for number, name in enumerate(("0.jpg", "1.jfif", "2.JPG")):
        Image.fromarray(np.roll(PICTURE, 9 * number, 1)).save(tmp_path / name, format="JPEG")
    with open_frames(tmp_path) as frames:
        shifts = [int(np.argmax((f if f.ndim == 2 else f.mean(-1))[45] > 120)) - 41 for f in frames]
    assert shifts == [0, 9, 18]


def rgb(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("mode", ["P", "CMYK", "YCbCr", "LAB", "RGBA"])
def test_21_color_modes_of_images_in_memory(mode: str) -> None:
    """Was: palettes and inks taken for levels; the mask of one click overlapped by 0.87 and 0.75."""
    image = Image.fromarray(data.coffee()).resize((200, 133))
    if mode == "LAB":
        from PIL import ImageCms

        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        other = ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
        expected, tolerance = rgb(image), 4.0
    else:
        other = image.convert(mode)
        expected, tolerance = rgb(other), 0.0
    predictor = ImagePredictor(load_model("nano", device="cpu", image_size=256))
    masks = []
    for picture in (other, expected):
        predictor.set_image(picture)
        masks.append(predictor.predict([(100, 55)], [1], multimask_output=False)[0][0])
    with open_frames([other, other]) as frames:
        assert np.abs(frames[1].astype(int) - expected).mean() <= tolerance
    assert (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum() > 0.97


CONTAINERS: dict[str, Callable[[NDArray[np.uint8]], Any]] = {
    "numpy": np.ascontiguousarray,
    "torch": torch.from_numpy,
    "torch bfloat16": lambda array: torch.from_numpy(array).to(torch.bfloat16),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_22_channels_first(container: str) -> None:
    """Was: an image of three rows; a stack of three frames; a TypeError for bfloat16."""
    image = np.ascontiguousarray(data.astronaut()[:96, :128].transpose(2, 0, 1))
    given = CONTAINERS[container](image)
    predictor = ImagePredictor(load_model("nano", device="cpu", image_size=64))
    predictor.set_image(given)
    assert predictor.predict([(100, 50)], [1], multimask_output=False)[0].shape == (1, 96, 128)
    frames, shape, said = described(given)
    if container == "numpy":  # a stack of gray frames is as usual as an image with its colors first
        assert (frames, shape) == (3, (96, 128))
        assert "not named and is read as T" in said
        with pytest.raises(InputError, match="axes='TCYX'"):
            open_frames(np.stack([given] * 4))
    else:
        assert (frames, shape) == (1, (96, 128))
        assert described(torch.stack([given] * 4))[:2] == (4, (96, 128))
