"""Pixels to the model's input and logits back to pixels, without PyTorch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["resize_logits", "to_input"]

Floats = NDArray[np.float32]


def to_input(image: NDArray[Any], size: int, mean: list[float], std: list[float]) -> Floats:
    """Return an 8-bit image, (H, W) gray or (H, W, 3) colors, as the model's input (1, 3, size, size).

    Pillow's bilinear resizing of float values is the antialiased one that the model was trained with.
    """
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise ValueError(
            f"An image is (H, W) or (H, W, 3) of 8 bits, not {pixels.shape} of {pixels.dtype}: scale other "
            "gray levels to 0..255 first, by the same two levels for all frames of a video."
        )
    channels = pixels[..., None] if pixels.ndim == 2 else pixels[..., :3]
    resized = [
        np.asarray(Image.fromarray(channel).resize((size, size), Image.Resampling.BILINEAR))
        for channel in np.moveaxis(channels.astype(np.float32) / 255, 2, 0)
    ]
    colors = np.stack([resized[0]] * 3 if len(resized) < 3 else resized)
    normalized: Floats = (colors - _per_channel(mean)) / _per_channel(std)
    return normalized[None]


def _per_channel(values: list[float]) -> Floats:
    return np.array(values, np.float32)[:, None, None]


def resize_logits(logits: Floats, shape: tuple[int, int]) -> Floats:
    """Resize (..., h, w) mask logits to (..., H, W), bilinearly between the cells' centers."""
    top, bottom, part = _between(logits.shape[-2], shape[0])
    rows = logits[..., top, :] + part[:, None] * (logits[..., bottom, :] - logits[..., top, :])
    left, right, part = _between(logits.shape[-1], shape[1])
    resized: Floats = rows[..., left] + part * (rows[..., right] - rows[..., left])
    return resized


def _between(cells: int, pixels: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Return of each pixel the two cells beside its center, and how near it is to the second, 0..1."""
    places = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    first = np.floor(places).astype(np.intp)
    return first, np.minimum(first + 1, cells - 1), (places - first).astype(np.float32)
