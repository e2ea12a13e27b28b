"""Decoder of image files by Pillow, and by imagecodecs what Pillow does not read or reads with fewer bits."""

import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray
from PIL import Image, ImageFile

from sam2_engine.errors import InputError
from sam2_engine.frames.file_kinds import REFUSED, kind_of
from sam2_engine.frames.images.codecs import (
    CODECS,
    decode_file,
    decode_jpeg2000,
    decode_levels,
    is_rare_jpeg,
)
from sam2_engine.frames.images.pixel_limit import most_pixels, up_to
from sam2_engine.frames.images.timing import Timing
from sam2_engine.frames.libraries import quiet
from sam2_engine.frames.pixels import (
    colors_of,
    has_alpha,
    highest_level,
    orientation_of,
    swaps_axes,
    unstretched,
    upright,
)
from sam2_engine.frames.source import explain
from sam2_engine.limits import MOST_COMPRESSED, MOST_DEFLATED, check_bytes

__all__ = ["ImageDecoder", "ImageTooLargeError"]


_ANIMATED = ("GIF", "PNG", "WEBP", "AVIF", "FLI")
_NO_LEVELS = ("1", "P", "PA", "F")
_OF_ANY_SIZE = ("MPO", "DCX", "IM", "SPIDER")
"""Formats whose images are frames if they are alike; those of Photoshop files, for example, are layers."""


_RATIOS = {"PNG": MOST_DEFLATED, "PCX": 63, "TGA": 256, "DDS": 64, "PPM": 1}
"""How many times smaller an image of a byte per sample becomes at most: by Deflate, by runs, as it is."""

_SAID = {
    "not the expected size": "not of the size that the file lists",
    "Invalid APNG": "its animation is damaged: only the default image is read",
}
"""What users should know of Pillow's warnings; the others are about values that nobody reads here."""


class ImageTooLargeError(InputError):
    """An image with more pixels than may be read, or than there is memory for."""


class ImageDecoder:
    """One image file, opened by what it holds whatever its name is; its images are decoded on demand.

    Parameters
    ----------
    path
        The file.
    labels
        Whether a palette gives its indices, and levels of few bits are not stretched.
    background
        Color on which transparent pixels are laid; by default alpha is left out.
    max_pixels
        More of them are refused before any is decoded; by default as many as memory could hold.

    Attributes
    ----------
    path, labels
        As given.
    kind
        Name of the format.
    num_images
        Number of images that are frames of one sequence, as far as the file tells without decoding them.
    note
        What users should know about how its pixels are read.

    Raises
    ------
    InputError
        If it is not a readable image.
    """

    def __init__(
        self,
        path: Path,
        *,
        labels: bool = False,
        background: str | None = None,
        max_pixels: int | None = None,
    ) -> None:
        self.path = path
        self.labels, self._background = labels, background
        self._max_pixels = max_pixels or most_pixels()
        self._image: Any = None
        self._file: BinaryIO | None = None
        self._highest: int | None = None
        self.num_images, self.note = 1, ""
        with _Explained(path):
            self.kind = kind_of(path) or _by_name(path)
            if self.kind in REFUSED:
                raise InputError(f"{path.name} {REFUSED[self.kind]}.")
            if self.kind == "JPEG" and is_rare_jpeg(path):
                self.kind = "rare JPEG"
            if self.kind not in CODECS:
                with up_to(self._max_pixels), quiet() as said:
                    self._open(self._max_pixels)
                    self.note = "; ".join(part for part in (self.note, *_in_words(said)) if part)

    def _open(self, max_pixels: int) -> None:
        Image.init()
        if self.kind == "HEIF":
            _register_heif(self.path.name)
        if self.kind not in Image.OPEN:
            raise ValueError(f"the installed Pillow library does not read {self.kind}")
        self._file = self.path.open("rb")
        weakref.finalize(self, self._file.close)
        try:
            image = Image.OPEN[self.kind][0](self._file, str(self.path))
        except Exception:
            self.close()
            raise
        self._image = image
        self._highest = highest_level(image)
        width, height = image.size
        if width * height > max_pixels:
            self.close()
            raise ImageTooLargeError(
                f"{self.path.name} says that it is {width} x {height} pixels, too many to be read here; "
                "if that is right, save it as a tiled TIFF or OME-Zarr."
            )
        size = width * height * len(image.getbands())
        ratio = _RATIOS.get(self.kind, MOST_COMPRESSED) * _pixels_per_byte(image)
        check_bytes(self.path.name, (height, width), size, self.path.stat().st_size, ratio)
        count = int(getattr(image, "n_frames", 1))
        if image.format in _ANIMATED or (image.format in _OF_ANY_SIZE and not self._sizes_differ(count)):
            self.num_images = count
        self.note = "; ".join(self._notes(image, count))

    def _sizes_differ(self, count: int) -> bool:
        """Whether the images of a file are not frames: of a photograph the others are often previews."""
        sizes = set()
        for number in range(count):
            self._image.seek(number)
            sizes.add((self._image.size, self._image.mode))
        self._image.seek(0)
        return len(sizes) > 1

    def _notes(self, image: Image.Image, count: int) -> Iterator[str]:
        if has_alpha(image) and self._background is None:
            yield "alpha is left out"
        if (orientation := orientation_of(image)) != 1:
            yield f"turned upright (orientation {orientation})"
        if len(sizes := image.info.get("sizes", ())) > 1:
            yield f"the largest of {len(sizes)} sizes"
        if image.info.get("default_image") and self.num_images > 1:
            yield "the first frame is the default image, which players leave out"
        if count > self.num_images:
            how = (
                "layers, which are merged" if image.format == "PSD" else "images, of which the first is read"
            )
            yield f"the file holds {count} {how}"

    @property
    def shape(self) -> tuple[int, int] | None:
        """(H, W) of the first image, upright, if its header tells."""
        if self._image is None:
            return None
        width, height = self._image.size
        return (width, height) if swaps_axes(orientation_of(self._image)) else (height, width)

    @property
    def is_photograph(self) -> bool:
        """Whether only the first image is what viewers show, as of JPEG files with more than one."""
        return self.kind == "JPEG"

    @property
    def timing(self) -> Timing | None:
        """Timing of images that are all shown equally long, where the library knows for how long."""
        duration = None if self._image is None else self._image.info.get("duration")
        return Timing((float(duration),) * self.num_images) if duration else None

    def read(self, number: int = 0) -> NDArray[Any]:
        """Return one image, upright: ``(H, W)``, or ``(H, W, 3)`` RGB.

        Raises
        ------
        InputError
            If it cannot be decoded.
        """
        with _Explained(self.path), up_to(self._max_pixels):
            if self._image is None:
                return _without_alpha(decode_file(self.kind, self.path.read_bytes(), labels=self.labels))
            if number or self.num_images > 1:
                self._image.seek(number)
            return upright(self._pixels(), orientation_of(self._image))

    def _pixels(self) -> NDArray[Any]:
        """Return the current image as stored; by imagecodecs where Pillow fails or keeps fewer levels."""
        try:
            self._image.load()
        except OSError:
            if self.kind != "JPEG2000":
                raise
            return _without_alpha(decode_jpeg2000(self.path.read_bytes(), labels=self.labels))
        stored = None
        if self.num_images == 1 and self._image.mode not in _NO_LEVELS:
            stored = decode_levels(self.kind, self.path.read_bytes(), labels=self.labels)
        if stored is not None:
            return _without_alpha(stored)
        pixels = colors_of(self._image, labels=self.labels, background=self._background)
        return unstretched(pixels, self._highest) if self.labels and self._highest else pixels

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        self._image = self._file = None

    def __enter__(self) -> "ImageDecoder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Explained:
    """Turns whatever a library raises into one sentence about a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is None or isinstance(error, InputError) or not isinstance(error, Exception):
            return
        name = self._path.name
        if kind is MemoryError:
            raise ImageTooLargeError(f"{name} needs more memory than there is; make it smaller.") from error
        raise InputError(f"{name} is not a readable image ({explain(error)}); export it again.") from error


def _register_heif(name: str) -> None:
    try:
        import pillow_heif
    except ImportError:
        raise InputError(
            f"{name} is HEIF (HEIC), which needs an extra package: pip install pillow-heif."
        ) from None
    pillow_heif.register_heif_opener()


def _pixels_per_byte(image: Any) -> int:
    """Return how many pixels of a file may share a byte: Pillow has a byte for each."""
    if image.mode not in ("1", "L", "P"):
        return 1
    if image.format != "PNG" or not isinstance(image, ImageFile.ImageFile):
        return 8
    _, _, bits = str(image.tile[0][3]).partition(";")  # "P;4"
    return 8 if image.mode == "1" else 8 // int(bits or 8)


def _in_words(said: list[warnings.WarningMessage]) -> list[str]:
    """Return what users should know of a library's warnings."""
    messages = [str(one.message) for one in said]
    return [words for part, words in _SAID.items() if any(part in message for message in messages)]


def _by_name(path: Path) -> str:
    """Return the format that a file of unknown content should be by its name."""
    Image.init()
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise ValueError("it does not begin as any known format does")
    return kind


def _without_alpha(pixels: NDArray[Any]) -> NDArray[Any]:
    """Leave out alpha, which imagecodecs puts last, and the axis of a single channel."""
    if pixels.ndim == 3 and pixels.shape[2] <= 2:
        return pixels[..., 0]
    return pixels[..., :3] if pixels.ndim == 3 else pixels
