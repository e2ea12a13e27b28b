"""The placement of layers exactly on the image, whatever is done to the image's scale, position or units."""

from collections.abc import Callable, Iterable
from typing import Any

from napari.layers import Layer

from napari_plugin.layers.image_stack import ImageStack

__all__ = ["TransformSync"]

_CHANGES = ("scale", "translate", "rotate", "shear", "affine", "units")


class TransformSync:
    """Places layers exactly on the image, at once and whenever the image is placed anew.

    Parameters
    ----------
    stack
        The image.
    layers
        Returns what lies on it; what has fewer axes is let be.
    """

    def __init__(self, stack: ImageStack, layers: Callable[[], Iterable[Layer]]) -> None:
        self._stack, self._layers = stack, layers
        for name in _CHANGES:
            getattr(stack.layer.events, name).connect(self._sync)

    def close(self) -> None:
        """Let the layers lie where they are."""
        for name in _CHANGES:
            getattr(self._stack.layer.events, name).disconnect(self._sync)

    def _sync(self, event: Any = None) -> None:
        for layer in [one for one in self._layers() if one.ndim == self._stack.layer.ndim]:
            for name, value in self._stack.placement().items():
                setattr(layer, name, value)
