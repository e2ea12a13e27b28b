"""The names of an annotation's objects on the canvas, shown on demand."""

from typing import Any

from napari import Viewer
from qtpy.QtCore import QObject
from superqt.utils import qthrottled

from napari_plugin.layers import Companions, ImageStack
from napari_plugin.layers.name_layer import NameLayer
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["NameView"]

_PAUSE = 50
"""Milliseconds between two writings, however fast frames come: a name is read, not watched."""


class NameView(QObject):
    """Writes the names of what is on the shown frame, again whenever that or another frame is shown.

    Attributes
    ----------
    shown
        Whether names are shown; the user ends that also by removing the layer.
    """

    def __init__(
        self,
        viewer: Viewer,
        stack: ImageStack,
        session: AnnotationSession,
        companions: Companions,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.shown = False
        self._viewer, self._stack, self._session = viewer, stack, session
        self._companions = companions
        self._layer: NameLayer | None = None
        self.update_soon = qthrottled(self._write, timeout=_PAUSE)
        for event in self._events():
            event.connect(self._on_view)

    def close(self) -> None:
        """Do nothing any more; the layer stays as it is."""
        self.update_soon.cancel()
        if self._layer is not None:
            self._layer.layer.events.visible.disconnect(self._on_view)
        for event in self._events():
            event.disconnect(self._on_view)

    def show(self, shown: bool) -> None:
        """Begin or end to show them."""
        self.shown = shown
        if shown:
            if self._layer is None:
                self._layer = NameLayer(self._viewer, self._stack, self._companions.add)
                self._layer.layer.events.visible.connect(self._on_view)
            self._write()
        elif self._layer is not None:
            layer, self._layer = self._layer, None
            layer.close()

    def owns(self, layer: Any) -> bool:
        """Whether a layer is the one that shows them."""
        return self._layer is not None and layer == self._layer.layer

    def _events(self) -> tuple[Any, ...]:
        dims = self._viewer.dims.events
        return dims.point, dims.ndisplay, dims.order

    def _on_view(self, event: Any) -> None:
        if self.shown:
            self.update_soon()

    def _write(self) -> None:
        if self._layer is None or not self._layer.layer.visible:
            return  # napari does not slice a hidden layer anew, and would look for words that are gone
        frame, session = self._stack.shown_frame(self._viewer), self._session
        objects = session.objects
        known = {object_id: session.accepted(object_id, frame) for object_id in objects}
        masks = {object_id: one for object_id, one in known.items() if one is not None}
        self._layer.write(frame, masks, objects.values())
