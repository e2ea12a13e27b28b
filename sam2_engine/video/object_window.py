"""The window of a frame's grid that one object is looked for in, and when that is not enough."""

from torch import Tensor

from sam2_engine.modeling.grid_window import GridWindow
from sam2_engine.modeling.sam2 import LOGIT_CLAMP

__all__ = ["is_whole_turn", "is_within", "paste", "window_around"]

_MARGIN = 6
"""Cells around an object's last mask: 96 input pixels of movement, and what there is to tell it from: with 4,
objects that look alike and approach each other are taken for one."""
_WHOLE_EVERY = 8
"""Frames of which one is looked at whole: a part of an object may come back far from the others."""
_STEP = 4
"""Sides of windows are multiples of it, so that many objects have windows of one size: one batch."""
_SLACK = 8
"""Cells by which a window may be too large before it shrinks."""
_LARGEST_SHARE = 1 / 2
"""A window of a larger part of the frame would gain little."""
_SCALE = 4
"""Cells of a low-resolution mask per cell of the grid."""


def window_around(logits: Tensor, earlier: GridWindow | None = None) -> GridWindow | None:
    """Return the square window around a mask; None where there is no mask, or one too large to gain.

    Parameters
    ----------
    logits
        (4 G, 4 G) low-resolution logits.
    earlier
        The object's window on the frame before: it keeps that size while it is not far too large, since
        objects are computed as one batch where all their windows are of one size.

    Examples
    --------
    >>> import torch
    >>> logits = torch.full((256, 256), -8.0)
    >>> logits[100:120, 8:40] = 8.0
    >>> window_around(logits)
    GridWindow(top=17, left=0, height=20, width=20)
    """
    grid = logits.shape[0] // _SCALE
    inside = logits > 0
    rows, columns = inside.any(1).nonzero(), inside.any(0).nonzero()
    if not len(rows):
        return None
    spans = [(int(cells[0]) // _SCALE, int(cells[-1]) // _SCALE + 1) for cells in (rows, columns)]
    side = max(last - first for first, last in spans) + 2 * _MARGIN
    side = -(-side // _STEP) * _STEP
    if earlier is not None and side < earlier.height <= side + _SLACK:
        side = earlier.height
    if side**2 > _LARGEST_SHARE * grid**2:
        return None
    top, left = (min(max(0, (first + last - side) // 2), grid - side) for first, last in spans)
    return GridWindow(top, left, side, side)


def is_whole_turn(frame: int) -> bool:
    """Whether it is a frame's turn to be looked at whole; by its number, so that it is so each time."""
    return frame % _WHOLE_EVERY == 0


def is_within(logits: Tensor, window: GridWindow, grid: int) -> bool:
    """Whether an object's mask lies in its window, off every edge that is no edge of the frame.

    Parameters
    ----------
    logits
        (4 h, 4 w) low-resolution logits of the window; of an absent object nowhere positive.
    window
        The window.
    grid
        Side of the frame's grid.
    """
    inside = logits > 0
    inner_edges = (
        (window.top > 0, inside[:_SCALE]),
        (window.left > 0, inside[:, :_SCALE]),
        (window.top + window.height < grid, inside[-_SCALE:]),
        (window.left + window.width < grid, inside[:, -_SCALE:]),
    )
    return bool(inside.any()) and not any(inner and bool(cells.any()) for inner, cells in inner_edges)


def paste(logits: Tensor, window: GridWindow, grid: int) -> Tensor:
    """Place (4 h, 4 w) logits of a window on (4 G, 4 G), surely outside of the object everywhere else."""
    full = logits.new_full((_SCALE * grid, _SCALE * grid), -LOGIT_CLAMP)
    full[window.slices(_SCALE)] = logits
    return full
