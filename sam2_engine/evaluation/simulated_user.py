"""Simulated user of the evaluation protocols: its clicks, and its box (paper, section E)."""

import numpy as np
from numpy.typing import NDArray

from sam2_engine.masks import PackedMask, mask_center

__all__ = ["error_click", "tight_box"]

Mask = NDArray[np.bool_]
Click = tuple[tuple[int, int], int]


def error_click(mask: Mask, ground_truth: Mask) -> Click | None:
    """Click at the center of the error: the point of a wrong region farthest from that region's border.

    Parameters
    ----------
    mask, ground_truth
        (H, W) bool.

    Returns
    -------
    tuple or None
        ``(x, y)`` and 1 where the object was missed, 0 where too much was taken; None without any error.
    """
    missed, missed_depth = mask_center(ground_truth & ~mask)
    extra, extra_depth = mask_center(mask & ~ground_truth)
    if missed_depth == extra_depth == 0:
        return None
    return (missed, 1) if missed_depth >= extra_depth else (extra, 0)


def tight_box(mask: Mask) -> tuple[int, int, int, int]:
    """Return the first and last column and row, ``x0, y0, x1, y1`` inclusive, of a mask that is not empty."""
    rows, columns = PackedMask.from_array(mask).box
    return columns.start, rows.start, columns.stop - 1, rows.stop - 1
