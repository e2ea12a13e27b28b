"""Windows of the stride-16 grid: the parts of a frame on which objects are worked on."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from sam2_engine.modeling.position_encoding import rotation

__all__ = ["GridPositions", "GridWindow", "crop_windows"]


class GridWindow(NamedTuple):
    """Some rows and columns of the stride-16 grid."""

    top: int
    left: int
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    def slices(self, factor: int = 1) -> tuple[slice, slice]:
        """Return its part of a grid that is ``factor`` times as fine."""
        top, left = factor * self.top, factor * self.left
        return slice(top, top + factor * self.height), slice(left, left + factor * self.width)

    def cells(self, columns: int, device: torch.device) -> Tensor:
        """(height * width,) indices of its cells, row by row, on a grid of so many columns."""
        return _cells(self, columns, device)


@lru_cache(maxsize=4096)
@torch.inference_mode(False)
def _cells(window: GridWindow, columns: int, device: torch.device) -> Tensor:
    rows, places = (torch.arange(part.start, part.stop, device=device) for part in window.slices())
    return (rows[:, None] * columns + places).flatten()


def crop_windows(features: Tensor, windows: Sequence[GridWindow], factor: int = 1) -> Tensor:
    """Cut N windows of one size from (1 or N, C, factor * G, factor * G): (N, C, factor * h, factor * w)."""
    shared = len(features) == 1
    parts = [window.slices(factor) for window in windows]
    return torch.stack(
        [features[0 if shared else i, :, rows, columns] for i, (rows, columns) in enumerate(parts)]
    )


class GridPositions:
    """Where tokens lie on a grid, as rotary encoding takes it.

    Parameters
    ----------
    grid
        Rows and columns.
    cells
        (N, L) indices of the cells of N objects' tokens; None for all of the grid's, row by row.
    """

    def __init__(self, grid: tuple[int, int], cells: Tensor | None = None) -> None:
        self.grid = grid
        self.cells = cells
        self._rotations: dict[torch.dtype, tuple[Tensor, Tensor]] = {}

    def rotation(self, channels: int, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return cosines and sines, (1 or N, L, channels); see ``position_encoding.rotation``."""
        if dtype not in self._rotations:
            cosine, sine = rotation(channels, *self.grid, device, dtype)
            self._rotations[dtype] = (
                (cosine[None], sine[None]) if self.cells is None else (cosine[self.cells], sine[self.cells])
            )
        return self._rotations[dtype]
