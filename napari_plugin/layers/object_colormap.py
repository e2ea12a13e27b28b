"""A colormap of objects in a Labels layer, however large their ids are."""

from functools import cached_property
from typing import Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

__all__ = ["ObjectColormap"]

_LARGEST_OF_NAPARI = 2**16


class ObjectColormap(DirectLabelColormap):
    """A color for each id.

    napari (0.9.2) finds a label's color in a table as long as the largest label, and refuses labels above
    65,536 unless numba is installed. Here the table has one row per label. And it maps all 65,536 values of
    16 bits one by one whenever a color changes, which stops the window for as long as a frame of a video
    takes; here they are mapped at once. To be taken away when napari sees to it itself.
    """

    def _map_precast(self, values: NDArray[Any], apply_selection: bool) -> NDArray[np.float32]:
        colors = self._values_mapping_to_minimum_values_set(apply_selection)[1]
        table = np.zeros((max(colors) + 1, 4), np.float32)
        for number, color in colors.items():
            table[number] = color
        return table[np.asarray(values, np.intp)]

    @cached_property
    def _array_map(self) -> Any:
        textures = self._values_mapping_to_minimum_values_set()[0]
        largest = max((label for label in textures if label is not None), default=0)
        if largest <= _LARGEST_OF_NAPARI:
            return super()._array_map
        dtype = np.min_scalar_type(self._num_unique_colors + 2)  # as napari chooses it for its texture
        return _SparseTable(textures, largest, dtype if dtype.itemsize <= 2 else np.dtype(np.float32))


class _SparseTable:
    """What napari's table does: numbers by label, that of unknown ones at every other place."""

    def __init__(self, numbers: dict[int | None, int], largest: int, dtype: "np.dtype[Any]") -> None:
        self.shape = (largest + 2,)
        known = sorted((label, number) for label, number in numbers.items() if label is not None)
        self._labels = np.array([label for label, _ in known], np.int64)
        self._numbers = np.array([number for _, number in known], dtype)
        self._unknown = dtype.type(numbers[None])

    def __getitem__(self, labels: NDArray[Any]) -> NDArray[Any]:
        places = np.minimum(np.searchsorted(self._labels, labels), len(self._labels) - 1)
        return np.where(self._labels[places] == labels, self._numbers[places], self._unknown)
