"""Metrics of a mask: region J (IoU) and boundary F, as the DAVIS benchmark defines them.

Source: Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation
(CVPR 2016), section 4.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from sam2_engine.masks import PackedMask

__all__ = ["BOUNDARY_TOLERANCE", "boundary_f", "mask_iou"]

BOUNDARY_TOLERANCE = 0.008
"""How far boundaries may lie apart and still match, as a part of the image's diagonal."""

Mask = NDArray[np.bool_]


def mask_iou(mask: Mask, ground_truth: Mask) -> float:
    """Return the region similarity J of two (H, W) masks: their IoU, 1 if both are empty."""
    union = np.count_nonzero(mask | ground_truth)
    return np.count_nonzero(mask & ground_truth) / union if union else 1.0


def boundary_f(mask: Mask, ground_truth: Mask, tolerance: float = BOUNDARY_TOLERANCE) -> float:
    """Return the contour accuracy F of two masks: the harmonic mean of precision and recall of boundaries.

    Parameters
    ----------
    mask, ground_truth
        (H, W) bool.
    tolerance
        Pixels of a boundary match within a disk of this part of the image's diagonal, rounded up.

    Returns
    -------
    float
        0..1; 1 if neither mask has a boundary, 0 if only one has.
    """
    radius = math.ceil(tolerance * math.hypot(*mask.shape))
    window = _around(mask | ground_truth)
    predicted, expected = _boundary(mask[window]), _boundary(ground_truth[window])
    if not predicted.any() or not expected.any():
        return float(predicted.any() == expected.any())
    precision = _share_near(predicted, expected, radius)
    recall = _share_near(expected, predicted, radius)
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0


def _around(mask: Mask) -> tuple[slice, slice]:
    """Return the rows and columns of a mask and one more on each side, where its boundary may lie."""
    rows, columns = PackedMask.from_array(mask).box
    return (
        slice(max(rows.start - 1, 0), rows.stop + 1),
        slice(max(columns.start - 1, 0), columns.stop + 1),
    )


def _boundary(mask: Mask) -> Mask:
    """Return the pixels that differ from the one to the right, below, or right below them."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    right, below, diagonal = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    boundary: Mask = (mask != right) | (mask != below) | (mask != diagonal)
    return boundary


def _share_near(boundary: Mask, other: Mask, radius: int) -> float:
    """Return the share of a boundary's pixels within ``radius`` of another boundary."""
    near = distance_transform_edt(~other) <= radius
    return np.count_nonzero(boundary & near) / np.count_nonzero(boundary)
