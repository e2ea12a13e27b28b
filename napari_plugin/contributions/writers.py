"""Writer of Labels layers as label images that ImageJ and others open."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_plugin.layers.image_stack import AXES, ImageStack, guess_axes
from sam2_engine import FrameSource, InputError
from sam2_plugins.export.label_tiff import OME_SUFFIXES, TIFF_SUFFIXES, LabelStackWriter
from sam2_plugins.runtime.atomic_files import new_file
from sam2_plugins.session.label_image import label_dtype

__all__ = ["write_labels"]

_PLACEMENT = ("name", "scale", "units", "axis_labels", "multiscale")


def write_labels(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a Labels layer plane by plane as a TIFF of 16 bits, or 32 where ids need it, with its scale.

    Parameters
    ----------
    path
        Ends in ``.tif`` or ``.tiff``; ``.ome.tif`` makes an OME-TIFF. A file that is there is replaced:
        napari has asked.
    data, meta
        The layer as napari gives it: (Y, X), (T or Z, Y, X), or (T, Z, Y, X); of channels, which masks do not
        have, the first is taken. Layers of the dock have the axes that its user gave.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    InputError
        If the layer has further axes or labels below 0, or cannot be written there.
    """
    known = {name: meta[name] for name in _PLACEMENT if name in meta}
    layer = Image(data, rgb=False, contrast_limits=(0, 1), **known)  # with limits, nothing is read yet
    axes = meta.get("metadata", {}).get(AXES, "")
    axes = axes if len(axes) == layer.ndim else guess_axes(layer)
    stack = ImageStack.of(layer, axes, channel=0 if "C" in axes else None)
    planes, along = _planes(stack)
    with (
        new_file(Path(path), suffixes=TIFF_SUFFIXES, overwrite=True) as aside,
        LabelStackWriter.into(
            aside,
            (len(planes[0]), *(len(planes) for _ in along[1:]), *planes[0].shape),
            _dtype(planes, layer.name),
            f"{along}YX",
            scale=stack.physical_scale,
            ome=path.lower().endswith(OME_SUFFIXES),
        ) as tiff,
    ):
        for number, labels in _pages(planes):
            tiff.write(number, labels)
    return [path]


def _planes(stack: ImageStack) -> tuple[list[FrameSource], str]:
    """Return the frames, of volumes over time one source per plane, and the letters of the pages."""
    if not stack.fixed:
        frames = stack.open()
        return [frames], "" if len(frames) == 1 else "Z" if frames.axis == "Z" else "T"
    if set(stack.tracking_axes) != {"T", "Z"}:
        raise InputError(
            f"Layer '{stack.layer.name}' has the axes {stack.dims}, and a TIFF of labels only T, Z, Y and X; "
            "right-click it ▸ Split Stack and save the new layers."
        )
    return [stack.at({"Z": plane}).open() for plane in range(stack.plan.sizes["Z"])], "TZ"


def _pages(planes: Sequence[FrameSource]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield all label images, each with its number in the file."""
    for z, frames in enumerate(planes):
        for t, labels in enumerate(frames):
            yield t * len(planes) + z, labels


def _dtype(planes: Sequence[FrameSource], name: str) -> "np.dtype[Any]":
    """Return the type that holds all labels; they are read for it where they may need 32 bits."""
    dtype = planes[0].dtype
    if dtype.kind in "bu" and dtype.itemsize <= 2:
        return np.dtype(np.uint16)
    largest = 0
    for _, labels in _pages(planes):
        if labels.min() < 0:
            raise InputError(f"Layer '{name}' has labels below 0; ids are 1 and up, 0 is background.")
        largest = max(largest, int(labels.max()))
    return label_dtype(largest)
