"""Frames of image files (PNG, JPEG, BMP, TIFF, ...), and folders of them in natural order."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from sam2_engine.errors import InputError
from sam2_engine.frames.axes import sequence_axis
from sam2_engine.frames.source import FrameSource, explain
from sam2_engine.frames.tiff_frames import open_tiff

__all__ = ["IMAGE_SUFFIXES", "ImageFileFrames", "images_in", "natural_key", "read_image"]

TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
IMAGE_SUFFIXES = TIFF_SUFFIXES | {".png", ".jpg", ".jpeg", ".bmp", ".webp"}
_MODES = {
    "P": "RGB",
    "PA": "RGB",
    "RGBA": "RGB",
    "RGBX": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "LAB": "RGB",
    "LA": "L",
}
_ORIENTATION = 0x0112  # EXIF 2.3, section 4.6.4; from 5 on, width and height are swapped
_FIRST_SWAPPED = 5


# Whatever the file is called; Pillow would run another program for PostScript.
_FORMATS = ("PNG", "JPEG", "MPO", "BMP", "DIB", "WEBP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """Sort key by which ``img2`` comes before ``img10``."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]


def _open(path: Path) -> Image.Image:
    Image.init()
    return Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN])


def images_in(folder: Path) -> list[Path]:
    """Return the image files of a folder, hidden ones left out, in natural order."""
    files = (file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(
        (file for file in files if not file.name.startswith(".") and file.is_file()), key=natural_key
    )


def read_image(path: Path, *, labels: bool = False) -> NDArray[Any]:
    """Read one image file: ``(H, W)``, or ``(H, W, 3)`` RGB, upright by its EXIF orientation, without alpha.

    With ``labels`` an image with a palette gives its indices, ``(H, W)``, instead of its colors.

    Raises
    ------
    InputError
        If it is not a readable image, or a TIFF with more than one image.
    """
    if path.suffix.lower() in TIFF_SUFFIXES:
        with open_tiff(path, single=True) as frames:
            if len(frames) != 1:
                raise InputError(
                    f"{path.name} holds {len(frames)} images; open it by itself, not as one of a folder."
                )
            return frames[0]
    try:
        with _open(path) as image:
            if image.format == "PNG" and image.mode in ("RGB", "RGBA") and _bit_depth(path) == 16:
                pixels: NDArray[Any] = imagecodecs.png_decode(path.read_bytes())[..., :3]
                return pixels
            upright = ImageOps.exif_transpose(image) if _may_be_rotated(image) else image
            if labels and upright.mode == "P":
                return np.asarray(upright)
            return np.asarray(upright.convert(_MODES.get(upright.mode, upright.mode)))
    except Exception as error:
        raise InputError(
            f"{path.name} is not a readable image ({explain(error)}); export it again."
        ) from error


def _may_be_rotated(image: Image.Image) -> bool:
    """Whether to look for an EXIF orientation; in a PNG that means decoding all of it, and none has one."""
    return image.format != "PNG"


def _bit_depth(path: Path) -> int:
    """Return the bits per sample of a PNG, which the Pillow library does not report for color."""
    with path.open("rb") as file:
        return file.read(25)[24]


def _header(path: Path) -> tuple[int, int]:
    """Return ``(H, W)`` of an upright image without decoding its pixels."""
    if path.suffix.lower() in TIFF_SUFFIXES:
        with open_tiff(path, single=True) as frames:
            return frames.shape
    try:
        with _open(path) as image:
            rotated = _may_be_rotated(image) and image.getexif().get(_ORIENTATION, 1) >= _FIRST_SWAPPED
            return image.size if rotated else image.size[::-1]
    except Exception as error:
        raise InputError(
            f"{path.name} is not a readable image ({explain(error)}); export it again."
        ) from error


class ImageFileFrames(FrameSource):
    """Image files of one size as frames, each read on demand."""

    def __init__(
        self,
        name: str,
        files: Sequence[Path],
        *,
        axes: str | None = None,
        channel: int | None = None,
        fixed: Mapping[str, int] | None = None,
        labels: bool = False,
    ) -> None:
        axis = sequence_axis(name, axes, fixed)
        first = read_image(files[0], labels=labels)
        for file in files[1:]:
            if (shape := _header(file)) != first.shape[:2]:
                actual, expected = (f"{height} x {width}" for height, width in (shape, first.shape[:2]))
                raise self._unlike(file, actual, files[0], expected)
        channels = 1 if first.ndim == 2 else first.shape[2]
        super().__init__(
            name,
            shape=first.shape[:2],
            channels=channels,
            dtype=first.dtype,
            length=len(files),
            axes=("" if len(files) == 1 else axis) + ("YX" if first.ndim == 2 else "YXS"),
            axis=axis,
            is_rgb=channels == 3,
            channel=channel,
        )
        self._files = list(files)
        self._layout = first.shape, first.dtype
        self._labels = labels

    @staticmethod
    def _unlike(file: Path, actual: str, first: Path, expected: str) -> InputError:
        return InputError(
            f"{file.name} is {actual}, but {first.name} is {expected}; all images of a folder must be alike."
        )

    def _read(self, frame: int) -> NDArray[Any]:
        pixels = read_image(self._files[frame], labels=self._labels)
        if (pixels.shape, pixels.dtype) != self._layout:
            actual, expected = f"{pixels.shape} {pixels.dtype}", f"{self._layout[0]} {self._layout[1]}"
            raise self._unlike(self._files[frame], actual, self._files[0], expected)
        return pixels
