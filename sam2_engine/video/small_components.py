"""Small components of a mask: parts far smaller than what was clicked, which nobody asked for."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label, sum_labels

from sam2_engine.video.frame_result import FrameResult

__all__ = ["remove_small_components"]

MIN_SHARE = 1 / 4
"""A component smaller than this part of the clicked one goes; a larger one may be a part of an object, half
hidden."""
_EIGHT_NEIGHBORS = np.ones((3, 3), bool)


def remove_small_components(result: FrameResult, index: int, clicks: NDArray[np.floating]) -> FrameResult:
    """Remove small components from one object's mask; one with a click on it stays, however small.

    Parameters
    ----------
    result
        The objects on a frame.
    index
        Which of them.
    clicks
        (P, 2) ``(x, y)`` in pixels of the frame, inside the object; none if it was prompted by a box.

    Returns
    -------
    FrameResult
        The same one if no component is small.
    """
    logits = result.low_res_logits[index]
    components, count = label(logits > 0, _EIGHT_NEIGHBORS)
    if count < 2:
        return result
    sizes = sum_labels(np.ones_like(components), components, np.arange(count + 1))
    sizes[0] = 0
    clicked = components[_low_res_positions(result, index, clicks)]
    clicked = clicked[clicked > 0]
    small = sizes < MIN_SHARE * (sizes[clicked] if len(clicked) else sizes).max()
    small[clicked] = small[0] = False
    if not small.any():
        return result
    cleaned = result.low_res_logits.copy()
    cleaned[index] = np.where(small[components], -np.abs(logits), logits)
    return replace(result, low_res_logits=cleaned)


def _low_res_positions(
    result: FrameResult, index: int, clicks: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return row and column in the low-resolution mask of each click that lies in what the model saw."""
    region = result.regions[index] if result.regions else None
    x0, y0, x1, y1 = region or (0, 0, result.shape[1], result.shape[0])
    height, width = result.low_res_logits.shape[-2:]
    positions = (clicks.reshape(-1, 2) - (x0, y0)) * (width / (x1 - x0), height / (y1 - y0))
    columns, rows = np.floor(positions).astype(np.int64).T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    return rows[inside], columns[inside]
