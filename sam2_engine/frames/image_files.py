"""Frames of image files (PNG, JPEG, BMP, TIFF, ...), and folders of them in natural order."""

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames.axes import sequence_axis
from sam2_engine.frames.file_kinds import IMAGES, TIFF, kind_of
from sam2_engine.frames.images.decoding import ImageDecoder
from sam2_engine.frames.source import FillRange, FrameSource, explain
from sam2_engine.frames.tiff_frames import open_tiff
from sam2_engine.wording import plural

__all__ = ["IMAGE_SUFFIXES", "ImageFileFrames", "images_in", "natural_key", "read_image", "survey"]

_MAX_LISTED = 5
IMAGE_SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".webp"})
"""Suffixes of files that are listed as images without a look at what they hold."""


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """Sort key by which ``img2`` comes before ``img10``."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]


def images_in(folder: Path) -> list[Path]:
    """Return the image files of a folder, hidden ones left out, in natural order.

    Files with the usual suffixes are taken for images; what others are, their first bytes tell.
    """
    return survey(folder)[0]


def survey(folder: Path) -> tuple[list[Path], str]:
    """Return the image files of a folder in natural order, and a note on files that might be expected too."""
    images, others = [], []
    for file in folder.iterdir():
        if file.name.startswith(".") or not file.is_file():
            continue
        kind = None if file.suffix.lower() in IMAGE_SUFFIXES else _kind(file)
        if kind in IMAGES or file.suffix.lower() in IMAGE_SUFFIXES:
            images.append(file)
        elif kind is not None:
            others.append(file)
    left_out = [file.name for file in sorted(others, key=natural_key)]
    more = f" and {len(left_out) - _MAX_LISTED} more" if len(left_out) > _MAX_LISTED else ""
    note = f"left out, as no plain images: {', '.join(left_out[:_MAX_LISTED])}{more}" if left_out else ""
    images.sort(key=natural_key)
    return images, "; ".join(part for part in (note, _missing_numbers(images)) if part)


def _missing_numbers(files: Sequence[Path]) -> str:
    """Say which files of a numbered sequence are missing: of img_001, img_002, img_004 it is number 3."""
    numbered = [re.fullmatch(r"(.*?)(\d+)(\D*)", file.name) for file in files]
    if len(files) < 3 or len({(match[1], match[3]) if match else None for match in numbered}) != 1:
        return ""
    numbers = sorted({int(match[2]) for match in numbered if match})
    steps = [later - earlier for earlier, later in itertools.pairwise(numbers)]
    step = min(steps, default=0)
    if not step or 2 * steps.count(step) < len(steps) or any(other % step for other in steps):
        return ""
    gaps = [(numbers[i] + step, numbers[i + 1]) for i, other in enumerate(steps) if other > step]
    missing = [
        str(number) for start, stop in gaps[:_MAX_LISTED] for number in range(start, stop, step)[:_MAX_LISTED]
    ]
    count = sum(other // step - 1 for other in steps)
    if not count:
        return ""
    more = f" and {count - _MAX_LISTED} more" if count > _MAX_LISTED else ""
    return f"missing: {plural(count, 'number')} {', '.join(missing[:_MAX_LISTED])}{more}"


def read_image(path: Path, *, labels: bool = False) -> NDArray[Any]:
    """Read one image file: ``(H, W)``, or ``(H, W, 3)`` RGB, upright, without alpha (see ``pixels``).

    What it is, its content tells. With ``labels`` an image with a palette gives its indices, ``(H, W)``,
    instead of its colors.

    Raises
    ------
    InputError
        If it is not a readable image, or a file with more than one image.
    """
    if _kind(path) == TIFF:
        with open_tiff(path, single=True, labels=labels) as frames:
            _check_single(path, len(frames))
            return frames[0]
    with ImageDecoder(path, labels=labels) as decoder:
        if not decoder.is_photograph:
            _check_single(path, decoder.num_images)
        return decoder.read()


def _kind(path: Path) -> str | None:
    try:
        return kind_of(path)
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({explain(error)}); check the path.") from error


def _check_single(path: Path, count: int) -> None:
    if count != 1:
        raise InputError(f"{path.name} holds {count} images; open it by itself, not as one of a folder.")


def _header(path: Path, *, labels: bool = False) -> tuple[tuple[int, int] | None, str, tuple[FillRange, ...]]:
    """Return what can be told without decoding pixels: ``(H, W)`` upright, a note, and fill values."""
    if _kind(path) == TIFF:
        with open_tiff(path, single=True, labels=labels) as frames:
            _check_single(path, len(frames))
            return frames.shape, frames.note, frames.fill_values
    with ImageDecoder(path) as decoder:
        if not decoder.is_photograph:
            _check_single(path, decoder.num_images)
        more = decoder.is_photograph and decoder.num_images > 1
        count = f"of {decoder.num_images} images in a file the first" if more else ""
        return decoder.shape, "; ".join(part for part in (decoder.note, count) if part), ()


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
        note: str = "",
    ) -> None:
        axis = sequence_axis(name, axes, fixed)
        first = read_image(files[0], labels=labels)
        notes = {note: None}
        fill_values: dict[FillRange, None] = {}
        for file in files:
            shape, said, fill = _header(file, labels=labels)
            notes[said] = None
            fill_values |= dict.fromkeys(fill)
            if shape is not None and shape != first.shape[:2]:
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
            note="; ".join(filter(None, notes)),
            fill_values=tuple(fill_values),
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
