"""Frames of image files (PNG, JPEG, BMP, TIFF, ...), one each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from typing_extensions import override

from sam2_engine.errors import InputError
from sam2_engine.frames.axes import sequence_axis
from sam2_engine.frames.file_kinds import TIFF, kind_of
from sam2_engine.frames.images.decoding import ImageDecoder
from sam2_engine.frames.source import FillRange, FrameSource, explain
from sam2_engine.frames.spacing import Spacing
from sam2_engine.frames.tiff_frames import open_tiff

__all__ = ["IMAGE_SUFFIXES", "ImageFileFrames", "kind_of_file", "read_image"]

IMAGE_SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".webp"})
"""Suffixes of files that are listed as images without a look at what they hold."""

MOST_HEADERS = 500
"""Files of a sequence that are looked into when it is opened: a disk in the network takes 1 ms for each."""


def read_image(path: Path, *, labels: bool = False) -> NDArray[Any]:
    """Read one image file: ``(H, W)``, or ``(H, W, 3)`` RGB, upright, without alpha (see ``pixels``).

    What it is, its content tells. With ``labels`` an image with a palette gives its indices, ``(H, W)``,
    instead of its colors.

    Raises
    ------
    InputError
        If it is not a readable image, or a file with more than one image.
    """
    if kind_of_file(path) == TIFF:
        with open_tiff(path, single=True, labels=labels) as frames:
            _check_single(path, len(frames))
            return frames[0]
    with ImageDecoder(path, labels=labels) as decoder:
        if not decoder.is_photograph:
            _check_single(path, decoder.num_images)
        return decoder.read()


def kind_of_file(path: Path) -> str | None:
    """Return what a file is, judged by its first bytes.

    Raises
    ------
    InputError
        If it cannot be opened.
    """
    try:
        return kind_of(path)
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({explain(error)}); check the path.") from error


def _check_single(path: Path, count: int) -> None:
    if count != 1:
        raise InputError(f"{path.name} holds {count} images; open it by itself, not as one of a folder.")


def _header(
    path: Path, *, labels: bool = False
) -> tuple[tuple[int, int] | None, str, tuple[FillRange, ...], Mapping[str, Spacing]]:
    """Return what can be told without decoding: ``(H, W)`` upright, a note, fill values, the spacing."""
    if kind_of_file(path) == TIFF:
        with open_tiff(path, single=True, labels=labels) as frames:
            _check_single(path, len(frames))
            return frames.shape, frames.note, frames.fill_values, frames.spacing
    with ImageDecoder(path) as decoder:
        if not decoder.is_photograph:
            _check_single(path, decoder.num_images)
        more = decoder.is_photograph and decoder.num_images > 1
        count = f"of {decoder.num_images} images in a file the first" if more else ""
        return decoder.shape, "; ".join(part for part in (decoder.note, count) if part), (), {}


def _some_of(files: Sequence[Path]) -> list[Path]:
    """Return all files of a short sequence, and evenly spaced ones of a long one, with its first and last."""
    count = len(files)
    if count <= MOST_HEADERS:
        return list(files)
    return [files[i * (count - 1) // (MOST_HEADERS - 1)] for i in range(MOST_HEADERS)]


class ImageFileFrames(FrameSource):
    """Image files of one size as frames, each read on demand.

    That all are alike is checked at once for up to ``MOST_HEADERS`` of them, and for the others when they are
    read.
    """

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
        spacing: Mapping[str, Spacing] | None = None
        for file in _some_of(files):
            shape, said, fill, sizes = _header(file, labels=labels)
            spacing = sizes if spacing is None else spacing
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
            spacing=None if spacing is None else {axis: spacing[axis] for axis in "YX" if axis in spacing},
        )
        self._files = list(files)
        self._layout = first.shape, first.dtype
        self._labels = labels

    @staticmethod
    def _unlike(file: Path, actual: str, first: Path, expected: str) -> InputError:
        return InputError(
            f"{file.name} is {actual}, but {first.name} is {expected}; all images of a folder must be alike."
        )

    @override
    def file_of(self, frame: int) -> Path:
        return self._files[frame]

    def _read(self, frame: int) -> NDArray[Any]:
        pixels = read_image(self._files[frame], labels=self._labels)
        if (pixels.shape, pixels.dtype) != self._layout:
            actual, expected = f"{pixels.shape} {pixels.dtype}", f"{self._layout[0]} {self._layout[1]}"
            raise self._unlike(self._files[frame], actual, self._files[0], expected)
        return pixels
