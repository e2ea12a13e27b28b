"""Preprocessing: pixels of any type to the model's input, the same for images and video, and masks back.

Gray levels are not quantized, so that a 16-bit image has all of its levels.
"""

from collections.abc import Sequence
from functools import lru_cache
from operator import index
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, pad

from sam2_engine.errors import InputError
from sam2_engine.frames.source import is_fill
from sam2_engine.intensity_window import (
    HOUNSFIELD_WINDOWS,
    Contrast,
    IntensityWindow,
    estimate_window,
    lowest_level,
)

__all__ = [
    "HOUNSFIELD_WINDOWS",
    "MEAN",
    "STD",
    "Contrast",
    "IntensityWindow",
    "Region",
    "check_region",
    "denormalize",
    "estimate_window",
    "fitted",
    "logits_around",
    "logits_to_size",
    "lowest_level",
    "normalize",
    "to_model_input",
    "to_rgb",
]

MEAN = torch.tensor((0.485, 0.456, 0.406), dtype=torch.float32).view(3, 1, 1)
STD = torch.tensor((0.229, 0.224, 0.225), dtype=torch.float32).view(3, 1, 1)

Region = tuple[int, int, int, int]
"""Part of a plane in pixels: ``x0, y0, x1, y1``, the last two exclusive."""


def to_rgb(image: NDArray[Any], window: IntensityWindow | None) -> NDArray[np.float32]:
    """Map an image to colors in 0..1.

    Parameters
    ----------
    image
        ``(H, W)`` or ``(H, W, C)``. One channel becomes gray; two become red and green with their mean
        as blue, so that equal channels stay gray; of more than three the first three are red, green
        and blue. Non-finite pixels and the window's fill values are read as its low end.
    window
        From ``estimate_window``; ``None`` for 8-bit and binary images.

    Returns
    -------
    ndarray
        ``(H, W, 3)`` float32, not quantized; read-only if it is gray.

    Raises
    ------
    InputError
        If the image has no pixels, or another number of channels than the window.
    """
    scaled = _scale(image, window)
    return np.broadcast_to(scaled, (*scaled.shape[:2], 3)) if scaled.shape[2] == 1 else scaled


def _scale(image: NDArray[Any], window: IntensityWindow | None) -> NDArray[np.float32]:
    """Return ``(H, W, 1)`` gray or ``(H, W, 3)`` color in 0..1."""
    channels = _channels(image)
    if window is None:
        if image.dtype not in (np.uint8, np.bool_):
            raise ValueError(f"{image.dtype} pixels need an intensity window")
        scaled = channels.astype(np.float32)
        if image.dtype == np.uint8:
            scaled /= 255
    else:
        # Differences of large gray levels need more digits than float32 has.
        precision = np.float32 if image.dtype.itemsize <= 2 else np.float64
        low, high = (_per_channel(ends, image, precision) for ends in (window.low, window.high))
        levels = channels.astype(precision)
        if image.dtype.kind == "f":
            levels = np.where(np.isfinite(levels), levels, low)
        if window.fill:
            levels = np.where(is_fill(channels, window.fill), low, levels)
        scaled = np.clip((levels - low) / (high - low), 0, 1).astype(np.float32)
    if scaled.shape[2] == 2:
        scaled = np.concatenate([scaled, scaled.mean(axis=2, keepdims=True)], axis=2)
    return scaled


def _channels(image: NDArray[Any]) -> NDArray[Any]:
    """Return an image as (H, W, C), of at most three channels."""
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise InputError(f"An image is (H, W) or (H, W, C) with at least one pixel, not {image.shape}.")
    return image[..., None] if image.ndim == 2 else image[..., :3]


def _per_channel(
    ends: tuple[float, ...], image: NDArray[Any], precision: type[np.floating[Any]]
) -> NDArray[Any]:
    channels = 1 if image.ndim == 2 else image.shape[2]
    if len(ends) not in (1, channels):
        raise InputError(f"The intensity window has {len(ends)} channels, but the image has {channels}.")
    return np.asarray(ends[:3], dtype=precision)


def to_model_input(
    image: NDArray[Any],
    window: IntensityWindow | None,
    image_size: int | tuple[int, int],
    region: Region | None = None,
    device: torch.device | str | None = None,
    pads: bool = False,
) -> Tensor:
    """Turn an image into the model's input, as the official image predictor does.

    The image is resized to a square (its aspect ratio changes, unless it is padded) by antialiased
    bilinear interpolation of float values, and normalized by the mean and deviation of ImageNet.

    Parameters
    ----------
    image, window
        As in ``to_rgb``.
    image_size
        Side of the model's input in pixels; or height and width of a part of it.
    region
        The part of the image to use; ``None`` for all of it.
    device
        Device of the result; a CUDA device resizes and normalizes itself, and is not waited for.
    pads
        Resize the longer side to ``image_size`` and pad with black on the right or below.

    Returns
    -------
    Tensor
        ``(1, 3, image_size, image_size)`` float32, or ``(1, 3, height, width)``.

    Raises
    ------
    InputError
        As in ``to_rgb``; or if the region does not lie in the image.
    """
    if region is not None:
        x0, y0, x1, y1 = check_region(region, (image.shape[0], image.shape[1]))
        image = image[y0:y1, x0:x1]
    if device is not None and torch.device(device).type == "cuda":
        colors = _colors_on_gpu(image, window, device)
    else:
        colors = torch.from_numpy(np.ascontiguousarray(_scale(image, window).transpose(2, 0, 1)))[None]
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    part = fitted(colors.shape[-2:], size) if pads else size
    resized = interpolate(colors, size=part, mode="bilinear", antialias=True, align_corners=False)
    if pads:
        resized = pad(resized, (0, size[1] - part[1], 0, size[0] - part[0]))
    return normalize(resized).to(device)


def fitted(shape: Sequence[int], size: tuple[int, int]) -> tuple[int, int]:
    """Return the largest (H, W) of the same aspect ratio as ``shape`` in ``size``, to whole pixels.

    Examples
    --------
    >>> fitted((700, 1000), (1024, 1024))
    (717, 1024)
    """
    scale = min(size[0] / shape[0], size[1] / shape[1])
    height, width = (max(int(side * scale + 0.5), 1) for side in shape)
    return height, width


def _colors_on_gpu(image: NDArray[Any], window: IntensityWindow | None, device: torch.device | str) -> Tensor:
    """Return (1, 1 or 3, H, W) colors in 0..1; 8 bits are sent as they are, in a quarter of the bytes."""
    channels = _channels(image)
    as_it_is = window is None and image.dtype == np.uint8 and channels.shape[2] != 2
    pixels = channels if as_it_is else _scale(image, window)
    # From memory that stays where it is, the GPU reads by itself.
    pinned = torch.from_numpy(np.empty(0, pixels.dtype)).new_empty(
        pixels.shape, pin_memory=torch.cuda.is_available()
    )
    pinned.numpy()[...] = pixels
    colors = pinned.to(device, non_blocking=True).permute(2, 0, 1)[None]
    return colors / 255 if as_it_is else colors


def normalize(colors: Tensor) -> Tensor:
    """Turn colors 0..1, (..., 3, H, W) or gray (..., 1, H, W), into model input, by ImageNet's statistics."""
    mean, deviation = _statistics(colors.device)
    return (colors - mean) / deviation


def denormalize(pixels: Tensor) -> Tensor:
    """Turn model input (..., 3, H, W) into colors 0..1."""
    mean, deviation = _statistics(pixels.device)
    return pixels * deviation + mean


# Normal tensors even if first sent in inference mode: training reads them too.
@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation of ImageNet on a device."""
    return MEAN.to(device), STD.to(device)


def check_region(region: Region, shape: tuple[int, int]) -> Region:
    """Return ``region`` if it lies in an image of ``shape`` (H, W).

    Raises
    ------
    InputError
        If it does not, or is empty.
    """
    height, width = shape
    try:
        x0, y0, x1, y1 = map(index, region)
    except (TypeError, ValueError):
        raise InputError(f"A region is four whole numbers (x0, y0, x1, y1), not {region!r}.") from None
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise InputError(
            f"The region {x0}, {y0}, {x1}, {y1} (x0, y0, x1, y1) is empty or lies outside the image, "
            f"which is {width} wide and {height} high."
        )
    return x0, y0, x1, y1


def logits_to_size(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize mask logits ``(N, M, h, w)`` to ``size`` (H, W), bilinearly as the official predictors do."""
    return interpolate(logits, size=size, mode="bilinear", align_corners=False)


def logits_around(
    logits: NDArray[np.float32], size: tuple[int, int], box: tuple[slice, slice]
) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Resize (h, w) mask logits as ``logits_to_size`` does, but only where the cells of a box take part.

    Parameters
    ----------
    logits
        Low-resolution logits of one mask.
    size
        (H, W) of the whole.
    box
        Rows and columns of cells, at least one of each.

    Returns
    -------
    ndarray
        Some rows and columns of the whole.
    tuple of int
        The first row and the first column of them.
    """
    rows, columns = (
        _pixels_of(cells, _bilinear(source, target)) for cells, source, target in zip(box, logits.shape, size)
    )
    resized = rows[0] @ logits[rows[2], columns[2]] @ columns[0].T
    return resized.astype(np.float32, copy=False), (rows[1], columns[1])


def _pixels_of(cells: slice, weights: NDArray[np.float32]) -> tuple[NDArray[np.float32], int, slice]:
    """Return the weights of the pixels of an axis that some cells take part in, the first, and its cells."""
    pixels = np.flatnonzero(weights[:, cells].any(1))
    # Where the whole has fewer pixels than cells, some take part in none: any pixel will do.
    first, last = (int(pixels[0]), int(pixels[-1])) if len(pixels) else (0, 0)
    part = weights[first : last + 1]
    inner = np.flatnonzero(part.any(0))
    sources = slice(int(inner[0]), int(inner[-1]) + 1)
    return part[:, sources], first, sources


@lru_cache(maxsize=8)
def _bilinear(source: int, target: int) -> NDArray[np.float32]:
    """Weights of ``source`` cells in each of ``target`` pixels along an axis, (target, source)."""
    cells = torch.eye(source, dtype=torch.float32)[None, None]
    return logits_to_size(cells, (target, source))[0, 0].numpy()
