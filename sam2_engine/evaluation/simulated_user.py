"""The annotator of the evaluation protocols: where it clicks, and the box it draws (paper, section E)."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from sam2_engine.mask_utils import PackedMask

__all__ = ["centre", "error_click", "tight_box"]

Mask = NDArray[np.bool_]
Click = tuple[tuple[int, int], int]


def centre(mask: Mask) -> tuple[int, int]:
    """Return the ``(x, y)`` in an (H, W) mask that lies farthest from its border; outside is border too."""
    (x, y), _ = _deepest(mask)
    return x, y


def error_click(mask: Mask, truth: Mask) -> Click | None:
    """Click at the centre of the error: the point of a wrong region farthest from that region's border.

    Parameters
    ----------
    mask, truth
        (H, W) bool.

    Returns
    -------
    tuple or None
        ``(x, y)`` and 1 where the object was missed, 0 where too much was taken; None without any error.
    """
    missed, missed_depth = _deepest(truth & ~mask)
    extra, extra_depth = _deepest(mask & ~truth)
    if missed_depth == extra_depth == 0:
        return None
    return (missed, 1) if missed_depth >= extra_depth else (extra, 0)


def tight_box(mask: Mask) -> tuple[int, int, int, int]:
    """Return the first and last column and row, ``x0, y0, x1, y1`` inclusive, of a mask that is not empty."""
    rows, columns = PackedMask.of(mask, (mask.shape[0], mask.shape[1])).window
    return columns.start, rows.start, columns.stop - 1, rows.stop - 1


def _deepest(region: Mask) -> tuple[tuple[int, int], float]:
    """Return the point of a region farthest from its border, and that distance, 0 for an empty region."""
    rows, columns = PackedMask.of(region, (region.shape[0], region.shape[1])).window
    if rows.stop == rows.start:
        return (0, 0), 0.0
    depth = distance_transform_edt(np.pad(region[rows, columns], 1))[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return (int(x) + columns.start, int(y) + rows.start), float(depth[y, x])
