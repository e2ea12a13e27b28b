"""Clicks, boxes and earlier masks: checked, and as the model takes them."""

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["check_mask_logits", "encode_prompt"]

_FEW_PIXELS = 16
"""On an image of no more pixels a side, what lies within the first pixel is not taken for fractions."""


def encode_prompt(
    shape: tuple[int, int],
    image_size: int,
    points: ArrayLike | None,
    labels: ArrayLike | None,
    box: ArrayLike | None,
    *,
    corrects: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return clicks and a box, in pixels of an (H, W) image, as the model takes them.

    Parameters
    ----------
    shape, image_size
        (H, W) of the image, and the side of the model's input.
    points, labels, box
        As of ``ImageSegmenter.predict``; a box that reaches over the image's edge is cut off there.
    corrects
        Whether there is a mask already, which clicks outside alone may correct.

    Raises
    ------
    ValueError
        If nothing is given, or something that cannot be meant; the message is a sentence.
    """
    if points is None and labels is not None:
        raise ValueError("There are labels and no points; give both, or leave the labels out.")
    places, kinds = [], []
    if box is not None:
        places.append(_corners(box, shape))
        kinds.append(np.array([2, 3]))
    if points is not None:
        clicks = _clicks(points, shape)
        places.append(clicks)
        kinds.append(_labels(labels, clicks))
        if box is None and not corrects and not kinds[-1].any():
            raise ValueError(
                "All clicks are outside of the object, and it has no mask here that they could correct; "
                "click inside it too, or give a box."
            )
    if not places:
        raise ValueError("Give points, a box, or both.")
    scale = np.array([image_size / shape[1], image_size / shape[0]], np.float32)
    return np.concatenate(places) * scale, np.concatenate(kinds).astype(np.int64)


def check_mask_logits(mask_logits: ArrayLike, side: int) -> NDArray[np.float32]:
    """Return the logits of an earlier mask, if they are some.

    Raises
    ------
    ValueError
        If they are of another size, a mask of pixels, or no numbers.
    """
    logits = np.asarray(mask_logits)
    if logits.dtype == bool or logits.shape != (side, side):
        raise ValueError(
            f"An earlier mask is given as its logits of {side} x {side}, as a prediction has them, not as "
            f"{logits.shape} of {logits.dtype}."
        )
    return _numbers(logits, "The logits of an earlier mask", or_infinite=True)


def _clicks(points: ArrayLike, shape: tuple[int, int]) -> NDArray[np.float32]:
    clicks = _numbers(points, "The points")
    clicks = clicks[None] if clicks.shape == (2,) else clicks
    if clicks.ndim != 2 or clicks.shape[1] != 2 or not len(clicks):
        raise ValueError(f"Points are a list of (x, y) pairs, not an array of shape {clicks.shape}.")
    height, width = shape
    for x, y in clicks.tolist():
        if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
            raise ValueError(
                f"The point ({x:g}, {y:g}) lies outside the image, which is {width} wide and {height} high."
            )
    in_fractions = (clicks >= 0).all() and (clicks <= 1).all() and (clicks % 1 != 0).any()
    if in_fractions and min(shape) > _FEW_PIXELS:
        x, y = clicks[0].tolist()
        warnings.warn(
            f"The point ({x:g}, {y:g}) lies in the first pixels of the image: points are in pixels, not in "
            "fractions of the image.",
            stacklevel=4,
        )
    return clicks


def _labels(labels: ArrayLike | None, clicks: NDArray[np.float32]) -> NDArray[np.int64]:
    if labels is None:
        return np.ones(len(clicks), np.int64)
    values = _numbers(labels, "The labels").reshape(-1)
    if len(values) != len(clicks):
        raise ValueError(f"There are {len(clicks)} points and {len(values)} labels: give as many.")
    if not np.isin(values, (0, 1)).all():
        raise ValueError(f"A point's label is 1 (inside the object) or 0 (outside), not {values.tolist()}.")
    said: dict[tuple[float, float], float] = {}
    for (x, y), label in zip(clicks.tolist(), values.tolist()):
        if said.setdefault((x, y), label) != label:
            raise ValueError(f"The point ({x:g}, {y:g}) is given both as inside and as outside; give one.")
    return values.astype(np.int64)


def _corners(box: ArrayLike, shape: tuple[int, int]) -> NDArray[np.float32]:
    values = _numbers(box, "The box").reshape(-1)
    if values.size != 4:
        raise ValueError(f"A box is (x0, y0, x1, y1), not {values.size} numbers.")
    x0, y0, x1, y1 = values.tolist()
    said, (height, width) = f"The box ({x0:g}, {y0:g}, {x1:g}, {y1:g})", shape
    if x1 < x0 or y1 < y0:
        raise ValueError(f"{said} ends before it begins; give (x0, y0, x1, y1).")
    has_area = x1 > x0 and y1 > y0
    if has_area and values.min() >= 0 and values.max() <= 1 and min(shape) > _FEW_PIXELS:
        raise ValueError(
            f"{said} seems to be in fractions of the image, which is {width} wide and {height} high; give it "
            "in pixels."
        )
    if x0 >= width - 0.5 or y0 >= height - 0.5 or x1 <= -0.5 or y1 <= -0.5:
        raise ValueError(f"{said} lies outside the image, which is {width} wide and {height} high.")
    first, last = (max(x0, -0.5), max(y0, -0.5)), (min(x1, width - 0.5), min(y1, height - 0.5))
    return np.array([first, last], np.float32)


def _numbers(given: ArrayLike, what: str, *, or_infinite: bool = False) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # what is too large becomes infinite
            values = np.asarray(given, np.float32)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{what} are not numbers, or not in equal rows.") from None
    if not (~np.isnan(values) if or_infinite else np.isfinite(values)).all():
        raise ValueError(f"{what} have values that are no numbers (NaN or infinite).")
    return values
