"""A Labels layer of any other tool, as labels of a stack's frames."""

from typing import Any

import numpy as np
from napari.layers import Labels

from napari_plugin.layers.image_stack import ImageStack
from sam2_engine import InputError

__all__ = ["axes_of_labels", "labels_for", "pixels_of"]


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
    labels, axes = pixels_of(layer), axes_of_labels(layer, stack)
    place = {**stack.fixed, "C": 0}
    labels = labels[tuple(place.get(letter, slice(None)) for letter in axes)]
    left = [letter for letter in axes if letter not in place]
    order = [left.index(letter) for letter in (stack.plan.axis, "Y", "X") if letter in left]
    return labels if order == sorted(order) else np.transpose(labels, order)


def axes_of_labels(layer: Labels, stack: ImageStack) -> str:
    """Return one letter per axis of a layer that is to be read as ``labels_for`` does.

    Raises
    ------
    InputError
        If the layer has another shape than those.
    """
    shape, frame_shape = tuple(pixels_of(layer).shape), stack.plan.frame_shape
    planes = {letter: size for letter, size in zip(stack.dims, stack.shape) if letter != "C"}
    known = {
        stack.shape: stack.dims,
        tuple(planes.values()): "".join(planes),
        (stack.plan.length, *frame_shape): f"{stack.plan.axis}YX",
        frame_shape: "YX",
    }
    if shape not in known:
        raise InputError(
            f"Layer '{layer.name}' is {_product(shape)}, but the image is {_product(stack.shape)}; choose "
            "labels of this very image, or of one of its frames."
        )
    return known[shape]


def pixels_of(layer: Labels) -> Any:
    """Return the pixels of a layer, of a pyramid those of its finest level."""
    return layer.data[0] if layer.multiscale else layer.data


def _product(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
