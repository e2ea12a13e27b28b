"""Images that are read and masks that are written, by the runner's command line."""

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

__all__ = ["FrameFolder", "check_output", "read_image", "write_mask", "write_masks"]

_SUFFIXES = (".png", ".jpg", ".jpeg")
_OF_8_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
"""Pillow's modes; others would be cut off at 255."""


class FrameFolder:
    """Images of a folder in the order of their numbers, read when they are needed.

    Raises
    ------
    ValueError
        If there are none, or two of them would have masks of the same name.
    """

    def __init__(self, folder: Path) -> None:
        images = (path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
        self.paths = sorted((path for path in images if not path.name.startswith(".")), key=_by_number)
        if not self.paths:
            raise ValueError(f"{folder} holds no images ({', '.join(_SUFFIXES)}).")
        names: dict[str, Path] = {}
        for path in self.paths:
            if (other := names.setdefault(path.stem.lower(), path)) is not path:
                raise ValueError(f"{other} and {path} are named alike: keep one of them in the folder.")

    @property
    def mask_names(self) -> list[str]:
        """What the masks of the frames are called."""
        return [f"{path.stem}.png" for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> NDArray[Any]:
        return read_image(self.paths[index])


def _by_number(path: Path) -> tuple[list[tuple[int, int | str]], str]:
    """Sort key by which ``img2`` comes before ``img10``."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part], path.name


def read_image(path: Path) -> NDArray[Any]:
    """Return an image, (H, W) or (H, W, 3) of 8 bits, turned upright as its file says.

    Raises
    ------
    ValueError, OSError
        If the file holds no single image of 8 bits.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in _OF_8_BITS or getattr(image, "n_frames", 1) > 1:
                raise ValueError(
                    f"{path} is not one image of 8 bits (mode {image.mode}, {getattr(image, 'n_frames', 1)} "
                    "frames): scale its gray levels to 0..255 yourself, and save each frame as a PNG."
                )
            turned = ImageOps.exif_transpose(image)
            return np.asarray(turned if turned.mode == "L" else turned.convert("RGB"))
    except (SyntaxError, Image.DecompressionBombError) as error:  # of a damaged PNG; of a huge image
        raise ValueError(f"{path} cannot be read: {error}.") from None


def check_output(output: Path, source: Path, *, overwrite: bool, names: Collection[str] = ()) -> None:
    """Refuse, before any work is done, an output that could not be written or that would replace something.

    Parameters
    ----------
    output, source
        A PNG and an image, or a folder of PNGs and one of frames.
    overwrite
        Whether masks that are there may be replaced.
    names
        Of the files in the folder.

    Raises
    ------
    ValueError
        If what is there may not be replaced, is the input, or is no file (of frames: no folder).
    """
    if not output.absolute().parent.is_dir():
        raise ValueError(f"The folder {output.parent} of the output does not exist; make it first.")
    if output.exists() and output.samefile(source):
        raise ValueError(f"{output} is also the input; choose another name for the output.")
    if source.is_dir():
        _check_folder(output, names)
        taken = output.is_dir() and any(output.iterdir())
    elif output.suffix.lower() != ".png":
        raise ValueError(f"{output} must end in .png: masks are written exactly.")
    elif output.exists() and not output.is_file():
        raise ValueError(f"{output} exists and is not a file; choose another name for the output.")
    else:
        taken = output.exists()
    if taken and not overwrite:
        raise ValueError(f"{output} exists; choose another name, or replace it with --overwrite.")


def _check_folder(output: Path, names: Collection[str]) -> None:
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} exists and is not a folder; choose another name for the output.")
    others = sorted({one.name for one in output.iterdir()} - set(names)) if output.is_dir() else []
    if others:
        raise ValueError(f"The folder {output} holds something else ({others[0]}); choose another name.")


def write_mask(mask: NDArray[Any], path: Path) -> None:
    """Write a mask as a PNG of 0 and 255, whole or not at all."""
    with _together(path.parent) as aside:
        _save(mask, aside / path.name)


def write_masks(masks: Iterable[tuple[str, NDArray[Any]]], folder: Path) -> int:
    """Write masks as PNGs of a folder, all or none; return how many they are."""
    count = 0
    with _together(folder) as aside:
        for name, mask in masks:
            _save(mask, aside / name)
            count += 1
    return count


def _save(mask: NDArray[Any], path: Path) -> None:
    Image.fromarray(np.uint8(255) * mask).save(path, format="PNG")


@contextmanager
def _together(folder: Path) -> Iterator[Path]:
    """Give a folder aside; what is in it when the block ends is moved into ``folder``."""
    with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.absolute().parent) as aside:
        yield Path(aside)
        folder.mkdir(exist_ok=True)
        for written in Path(aside).iterdir():
            written.replace(folder / written.name)
