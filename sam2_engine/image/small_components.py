"""Small components of a mask: parts far smaller than what was clicked, which nobody asked for."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import label, sum_labels
from torch import Tensor

__all__ = ["remove_small_components"]

MIN_SHARE = 1 / 4
"""A component smaller than this part of the clicked one goes; a larger one may be a part of an object, half
hidden."""
_EIGHT_NEIGHBORS = np.ones((3, 3), bool)


def remove_small_components(logits: Tensor, clicks: NDArray[np.floating]) -> Tensor:
    """Remove small components from an object's mask; one with a click on it stays, however small.

    Parameters
    ----------
    logits
        (h, w) low-resolution logits.
    clicks
        (P, 2) ``(x, y)`` inside the object, in cells of the mask; none if it was prompted by a box.

    Returns
    -------
    Tensor
        The same one if no component is small.
    """
    values = logits.float().cpu().numpy()
    components, count = label(values > 0, _EIGHT_NEIGHBORS)
    if count < 2:
        return logits
    sizes = sum_labels(np.ones_like(components), components, np.arange(count + 1))
    sizes[0] = 0
    clicked = components[_cells(clicks, values.shape)]
    clicked = clicked[clicked > 0]
    small = sizes < MIN_SHARE * (sizes[clicked] if len(clicked) else sizes).max()
    small[clicked] = small[0] = False
    if not small.any():
        return logits
    removed = torch.from_numpy(small[components]).to(logits.device)
    return torch.where(removed, -logits.abs(), logits)


def _cells(
    clicks: NDArray[np.floating], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return row and column of each click that lies in what the model saw."""
    columns, rows = np.floor(clicks.reshape(-1, 2)).astype(np.int64).T
    inside = (columns >= 0) & (columns < shape[1]) & (rows >= 0) & (rows < shape[0])
    return rows[inside], columns[inside]
