"""The layers that belong to an image: found again, renamed, hidden and removed with it."""

from typing import Any

from napari import Viewer
from napari.layers import Labels, Layer

from napari_plugin.layers.image_stack import ImageStack, session_of
from napari_plugin.layers.mask_layer import MaskLayer

__all__ = ["Companions"]

_IMAGE = "sam2_image"
"""Under this name a layer's metadata holds the unique id of the image that it belongs to."""
_AS_READ = " (as read)"


class Companions:
    """One set of layers for one image in a viewer, whoever made them.

    Parameters
    ----------
    viewer, stack
        Where, and of what.
    """

    def __init__(self, viewer: Viewer, stack: ImageStack) -> None:
        self._viewer, self._image = viewer, stack.layer
        self._name = str(stack.layer.name)
        self._chosen = self._shown = True
        self._before: dict[Layer, bool] = {}
        self._image.events.name.connect(self._on_renamed)
        self._image.events.visible.connect(self._update)
        self._set_copies_aside()

    def close(self) -> None:
        """Let the layers be."""
        self._image.events.name.disconnect(self._on_renamed)
        self._image.events.visible.disconnect(self._update)

    def add(self, layer: Layer) -> None:
        """Let a layer belong to the image, and be in the viewer."""
        layer.metadata[_IMAGE] = self._image.unique_id
        if layer not in self._viewer.layers:
            self._viewer.layers.append(layer)

    def release(self, layer: Layer) -> None:
        """Let a layer belong to nobody: it stays whatever becomes of the image."""
        layer.metadata.pop(_IMAGE, None)

    def all(self) -> list[Layer]:
        """Return those in the viewer."""
        mine = self._image.unique_id
        return [layer for layer in self._viewer.layers if layer.metadata.get(_IMAGE) == mine]

    def take_masks(self, stack: ImageStack) -> Labels | None:
        """Return masks of before that serve a stack, and remove what else is left of before."""
        masks = next((layer for layer in self.all() if MaskLayer.serves(layer, stack)), None)
        self.remove(keep=masks)
        return masks

    def remove(self, keep: Layer | None = None) -> None:
        """Take them out of the viewer, but for one."""
        for layer in self.all():
            if layer is not keep:
                self._viewer.layers.remove(layer)

    def show(self, chosen: bool) -> None:
        """Show them, or hide them because another image was chosen; as the user had them before."""
        self._chosen = chosen
        self._update()

    def _update(self, event: Any = None) -> None:
        shown = self._chosen and self._image.visible
        if shown == self._shown:
            return
        self._shown = shown
        if shown:
            for layer, visible in self._before.items():
                layer.visible = visible
            self._before = {}
        else:
            for layer in self.all():
                self._before[layer] = layer.visible
                layer.visible = False

    def _set_copies_aside(self) -> None:
        """Hide masks and tracks that were read with the image from its session; they stay as they were."""
        folder = session_of(self._image)
        for layer in self._viewer.layers if folder is not None else ():
            if layer is not self._image and session_of(layer) == folder and not layer.name.endswith(_AS_READ):
                layer.name += _AS_READ
                layer.visible = False

    def _on_renamed(self, event: Any) -> None:
        before, self._name = self._name, str(self._image.name)
        for layer in self.all():
            if layer.name.endswith(before):
                layer.name = layer.name.removesuffix(before) + self._name
