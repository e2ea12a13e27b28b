"""A Labels layer of any other tool, as labels of a stack's frames."""

from typing import Any

import numpy as np
from napari.layers import Labels

from napari_plugin.layers.image_stack import ImageStack
from sam2_engine import InputError

__all__ = ["labels_for"]


def labels_for(layer: Labels, stack: ImageStack) -> Any:
    """Return the labels of a layer that lie on a stack's frames; nothing is loaded.

    Parameters
    ----------
    layer
        Of the image's shape, with or without its channels, of the shape of its frames, or of one frame.
    stack
        The frames.

    Returns
    -------
    labels
        (frames, H, W), or (H, W) for a single frame.

    Raises
    ------
    InputError
        If the layer has another shape.
    """
    labels = layer.data[0] if layer.multiscale else layer.data
    shape, frame_shape = tuple(labels.shape), stack.plan.frame_shape
    if shape in (frame_shape, (stack.plan.length, *frame_shape)):
        return labels
    planes = [size for letter, size in zip(stack.dims, stack.shape) if letter != "C"]
    if shape not in (stack.shape, tuple(planes)):
        raise InputError(
            f"Layer '{layer.name}' is {_product(shape)}, but the image is {_product(stack.shape)}; choose "
            "labels of this very image, or of one of its frames."
        )
    if "C" in stack.dims and shape == stack.shape:
        labels = labels[tuple(0 if letter == "C" else slice(None) for letter in stack.dims)]
    labels = labels[stack.index_of(slice(None))]
    left = [letter for letter in stack.dims if letter in ("Y", "X", stack.plan.axis)]
    order = [left.index(letter) for letter in (stack.plan.axis, "Y", "X") if letter in left]
    return labels if order == sorted(order) else np.transpose(labels, order)


def _product(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
