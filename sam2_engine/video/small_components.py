"""Islands of a mask far smaller than what was clicked: sprinkles, which nobody asked for."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label, sum_labels

from sam2_engine.video.frame_result import FrameResult

__all__ = ["remove_small_components"]

LEAST_SHARE = 1 / 4
"""An island smaller than this part of the clicked one is a sprinkle; a larger one may be a part of an object,
half hidden."""
_TOUCHING = np.ones((3, 3), bool)


def remove_small_components(result: FrameResult, index: int, clicks: NDArray[np.floating]) -> FrameResult:
    """Take the sprinkles from one object's mask; an island with a click on it stays, however small.

    Parameters
    ----------
    result
        The objects on a frame.
    index
        Which of them.
    clicks
        (P, 2) ``(x, y)`` in pixels of the frame that belong to the object; none if it was found by a box.

    Returns
    -------
    FrameResult
        The same one if there are no sprinkles.
    """
    logits = result.low_res_logits[index]
    islands, count = label(logits > 0, _TOUCHING)
    if count < 2:
        return result
    sizes = sum_labels(np.ones_like(islands), islands, np.arange(count + 1))
    sizes[0] = 0
    clicked = islands[_cells(result, index, clicks)]
    clicked = clicked[clicked > 0]
    small = sizes < LEAST_SHARE * (sizes[clicked] if len(clicked) else sizes).max()
    small[clicked] = small[0] = False
    if not small.any():
        return result
    cleaned = result.low_res_logits.copy()
    cleaned[index] = np.where(small[islands], -np.abs(logits), logits)
    return replace(result, low_res_logits=cleaned)


def _cells(
    result: FrameResult, index: int, clicks: NDArray[np.floating]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return row and column in the low-resolution mask of each click that lies in what the model saw."""
    region = result.regions[index] if result.regions else None
    x0, y0, x1, y1 = region or (0, 0, result.shape[1], result.shape[0])
    height, width = result.low_res_logits.shape[-2:]
    places = (clicks.reshape(-1, 2) - (x0, y0)) * (width / (x1 - x0), height / (y1 - y0))
    columns, rows = np.floor(places).astype(np.int64).T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    return rows[inside], columns[inside]
