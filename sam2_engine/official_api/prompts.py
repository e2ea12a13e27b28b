"""Clicks and boxes as the official predictors take them: unchanged, or refused where nobody means them so."""

import math

import torch
from torch import Tensor

from sam2_engine.errors import InputError

__all__ = ["check_boxes", "check_points"]

_MARGIN = 1.0
"""Pixels outside of an image at which a click is still meant."""


def check_points(points: Tensor, labels: Tensor, size: tuple[int, int], in_pixels: bool) -> None:
    """Refuse clicks that nobody means.

    Parameters
    ----------
    points, labels
        (N, P, 2) and (N, P): 1 inside, 0 outside, -1 padding, 2 and 3 the corners of a box.
    size
        (H, W) of the image.
    in_pixels
        Or in fractions of width and height.

    Raises
    ------
    InputError
        If the numbers do not fit together, are not finite, or lie outside of the image.
    """
    if points.ndim != 3 or points.shape[2] != 2 or labels.shape != points.shape[:2]:
        raise InputError(
            "Clicks are (P, 2) with (P,) labels, or (N, P, 2) with (N, P) labels for N objects, not "
            f"{tuple(points.shape)} with {tuple(labels.shape)}."
        )
    if not torch.isfinite(points).all():
        raise InputError(f"Clicks must be finite numbers, not {points.tolist()}.")
    if not ((labels >= -1) & (labels <= 3)).all():
        raise InputError(
            "A click's label is 1 (inside the object) or 0 (outside), -1 for padding, 2 and 3 for the "
            f"corners of a box, not {labels.tolist()}."
        )
    height, width = size
    limit = points.new_tensor([width, height])
    pixels = points if in_pixels else points * limit
    outside = ((pixels < -_MARGIN) | (pixels > limit + _MARGIN)).any(-1) & ((labels == 0) | (labels == 1))
    if outside.any():
        x, y = points[outside][0].tolist()
        raise InputError(
            f"The click ({x:g}, {y:g}) lies outside the image, which is {width} wide and {height} high"
            + ("." if in_pixels else ": without normalize_coords, clicks are fractions from 0 to 1.")
        )


def check_boxes(boxes: Tensor, size: tuple[int, int], in_pixels: bool) -> None:
    """Refuse boxes that nobody means.

    Parameters
    ----------
    boxes
        (N, 4) ``x0, y0, x1, y1``; parts may lie outside of the image.
    size, in_pixels
        As for ``check_points``.

    Raises
    ------
    InputError
        If there are not four finite numbers each, or a box lies outside of the image or has its corners
        exchanged.
    """
    height, width = size
    for box in boxes.tolist():
        text = f"The box ({', '.join(f'{value:g}' for value in box)})"
        if not all(map(math.isfinite, box)):
            raise InputError(f"{text} is not made of finite numbers.")
        x0, y0, x1, y1 = (
            box if in_pixels else (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
        )
        if x1 < x0 or y1 < y0:
            raise InputError(f"{text} ends before it begins: a box is x0, y0, x1, y1.")
        if x0 > width or y0 > height or x1 < 0 or y1 < 0:
            raise InputError(f"{text} lies outside the image, which is {width} wide and {height} high.")
        if in_pixels and max(box) <= 1 and any(value % 1 for value in box):
            raise InputError(
                f"{text} is less than a pixel: give pixels, or fractions with normalize_coords=False."
            )
