"""Labels layers as label images that ImageJ and others open."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray

from napari_plugin.layers.image_stack import guess_axes
from napari_plugin.layers.physical_size import physical_scale
from sam2_engine import InputError
from sam2_plugins.export.label_tiff import LabelStackWriter
from sam2_plugins.export.targets import new_file
from sam2_plugins.label_image import label_dtype

__all__ = ["write_labels"]

_SUFFIXES = (".tif", ".tiff")
_OME_SUFFIXES = (".ome.tif", ".ome.tiff")


def write_labels(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a Labels layer plane by plane as a TIFF of 16 bits, or 32 where ids need it, with its scale.

    Parameters
    ----------
    path
        Ends in ``.tif`` or ``.tiff``; ``.ome.tif`` makes an OME-TIFF. A file that is there is replaced:
        napari has asked.
    data, meta
        The layer as napari gives it: (Y, X) or (T or Z, Y, X); of channels, which masks do not have, the
        first is taken.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    InputError
        If the layer has further axes or labels below 0, or cannot be written there.
    """
    layer = Layer.create(data, dict(meta), "labels")
    axes = guess_axes(layer)
    pixels = layer.data[0] if layer.multiscale else layer.data
    free = [axis for axis, size in zip(axes, pixels.shape) if axis not in "CYX" and size > 1]
    if len(free) > 1:
        raise InputError(
            f"Layer '{layer.name}' has the axes {', '.join(axes)}, but a label TIFF has frames or planes, "
            "not both; save a layer of one time point or one plane."
        )
    if "C" in axes:
        pixels = pixels[(slice(None),) * axes.index("C") + (0,)]
    planes = _Planes(pixels, layer.name)
    along = "".join("Z" if axis == "Z" else "T" for axis in free)
    with (
        new_file(Path(path), suffixes=_SUFFIXES, overwrite=True) as aside,
        LabelStackWriter.into(
            aside,
            planes.shape,
            planes.dtype(),
            f"{along}YX",
            scale=physical_scale(layer, axes),
            ome=path.lower().endswith(_OME_SUFFIXES),
        ) as stack,
    ):
        for number in range(len(planes)):
            stack.write(number, planes[number])
    return [path]


class _Planes:
    """The (H, W) planes of an array, lazy or not, one after the other."""

    def __init__(self, pixels: Any, name: str) -> None:
        self._pixels, self._name = pixels, name
        self._leading = pixels.shape[:-2]
        self._count = int(np.prod(self._leading))
        self.shape = (self._count, *pixels.shape[-2:])

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> NDArray[Any]:
        return np.asarray(self._pixels[np.unravel_index(number, self._leading) if self._leading else ...])

    def dtype(self) -> "np.dtype[Any]":
        """Return the type that holds all labels; they are read for it where they may need 32 bits."""
        if self._pixels.dtype.kind in "bu" and self._pixels.dtype.itemsize <= 2:
            return np.dtype(np.uint16)
        largest = 0
        for number in range(len(self)):
            plane = self[number]
            if plane.min() < 0:
                raise InputError(f"Layer '{self._name}' has labels below 0; ids are 1 and up.")
            largest = max(largest, int(plane.max()))
        return label_dtype(largest)
