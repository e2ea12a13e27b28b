"""Overlays of masks on frames, as PNG images and GIF animations."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.segmentation import find_boundaries

from sam2_engine.disk import replacing
from sam2_engine.preprocessing import IntensityWindow, to_rgb
from sam2_plugins.session.annotations import object_color

__all__ = ["overlay", "write_animation", "write_png"]

_OPACITY = 0.45
_PALETTE_COLORS = 255


def overlay(image: NDArray[Any], labels: NDArray[Any], window: IntensityWindow | None) -> NDArray[np.uint8]:
    """Paint the objects of a label image on an image: filled lightly, with a full outline.

    Parameters
    ----------
    image
        (H, W) or (H, W, C), any type.
    labels
        (H, W) object ids, 0 is background; colors are those of the objects.
    window
        The intensity window that the model sees the image through.

    Returns
    -------
    ndarray
        (H, W, 3) uint8 RGB.

    Examples
    --------
    >>> labels = np.zeros((40, 60), np.uint16)
    >>> labels[10:20, 5:15] = 1
    >>> figure = overlay(np.zeros((40, 60), np.uint8), labels, None)
    >>> figure.shape, tuple(figure[10, 5].tolist()) == object_color(1)
    ((40, 60, 3), True)
    """
    ids, index = np.unique(labels, return_inverse=True)
    colors = np.array([object_color(int(i)) for i in ids], np.float32)[index.reshape(labels.shape)]
    pixels = to_rgb(image, window) * 255
    inside = (labels > 0)[..., None]
    pixels = np.where(inside, pixels + _OPACITY * (colors - pixels), pixels)
    outline = find_boundaries(labels, mode="inner")[..., None]
    return np.where(outline, colors, pixels).round().clip(0, 255).astype(np.uint8)


def write_png(path: str | Path, image: NDArray[np.uint8]) -> None:
    """Write an (H, W, 3) image as PNG.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind then.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_png(Path(folder) / "figure.png", np.zeros((40, 60, 3), np.uint8))
    ...     with Image.open(Path(folder) / "figure.png") as image:
    ...         image.size
    (60, 40)
    """
    path = Path(path)
    with replacing(path) as aside:
        Image.fromarray(image).save(aside, format="PNG")


def write_animation(
    path: str | Path,
    images: Iterable[NDArray[np.uint8]],
    frames_per_second: float = 8.0,
    longest_side: int = 512,
) -> None:
    """Write (H, W, 3) images as a GIF that repeats forever, made smaller if they are large.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind then.
    ValueError
        If there is no image.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     images = (np.full((40, 60, 3), gray, np.uint8) for gray in (0, 255))
    ...     write_animation(Path(folder) / "cells.gif", images)
    ...     with Image.open(Path(folder) / "cells.gif") as animation:
    ...         animation.n_frames
    2
    """
    path = Path(path)
    frames = _thumbnails(images, longest_side)
    first = next(frames, None)
    if first is None:
        raise ValueError("an animation needs at least one image")
    with replacing(path) as aside:
        first.save(
            aside,
            format="GIF",
            save_all=True,
            append_images=frames,
            duration=round(1000 / frames_per_second),
            loop=0,
        )


def _thumbnails(images: Iterable[NDArray[np.uint8]], longest_side: int) -> Iterator[Image.Image]:
    for pixels in images:
        image = Image.fromarray(pixels)
        image.thumbnail((longest_side, longest_side))
        yield image.quantize(_PALETTE_COLORS)
