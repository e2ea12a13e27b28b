"""Labels layers as label images that ImageJ and others open."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image

from napari_plugin.layers.image_stack import ImageStack, guess_axes
from sam2_engine import FrameSource, InputError
from sam2_plugins.export.label_tiff import LabelStackWriter
from sam2_plugins.export.targets import new_file
from sam2_plugins.label_image import label_dtype

__all__ = ["write_labels"]

_SUFFIXES = (".tif", ".tiff")
_PLACE = ("name", "scale", "units", "axis_labels", "multiscale")
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
    known = {name: meta[name] for name in _PLACE if name in meta}
    layer = Image(data, rgb=False, contrast_limits=(0, 1), **known)  # with limits, nothing is read yet
    stack = ImageStack.of(layer, channel=0 if "C" in guess_axes(layer) else None)
    if stack.fixed:
        raise InputError(
            f"Layer '{layer.name}' has the axes {stack.dims}, and a TIFF of labels only one besides Y and X; "
            "right-click it ▸ Split Stack and save the new layers, or use the dock's Export tab."
        )
    frames = stack.open()
    along = "" if len(frames) == 1 else "Z" if frames.axis == "Z" else "T"
    with (
        new_file(Path(path), suffixes=_SUFFIXES, overwrite=True) as aside,
        LabelStackWriter.into(
            aside,
            (len(frames), *frames.shape),
            _dtype(frames, layer.name),
            f"{along}YX",
            scale=stack.physical_scale,
            ome=path.lower().endswith(_OME_SUFFIXES),
        ) as tiff,
    ):
        for number, labels in enumerate(frames):
            tiff.write(number, labels)
    return [path]


def _dtype(frames: FrameSource, name: str) -> "np.dtype[Any]":
    """Return the type that holds all labels; they are read for it where they may need 32 bits."""
    if frames.dtype.kind in "bu" and frames.dtype.itemsize <= 2:
        return np.dtype(np.uint16)
    largest = 0
    for labels in frames:
        if labels.min() < 0:
            raise InputError(f"Layer '{name}' has labels below 0; ids are 1 and up, 0 is background.")
        largest = max(largest, int(labels.max()))
    return label_dtype(largest)
