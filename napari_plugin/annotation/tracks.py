"""The Tracks layer of an annotation, shown on demand."""

from typing import Any

from napari import Viewer
from qtpy.QtCore import QObject, Signal

from napari_plugin.layers import Companions, ImageStack
from napari_plugin.layers.track_layer import Centroids, TrackData, TrackLayer
from napari_plugin.runtime.throttled import ThrottledComputation
from napari_plugin.runtime.workers import TaskRunner
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["TrackView"]


class TrackView(QObject):
    """Updates the Tracks layer from the session, off the window's thread.

    Attributes
    ----------
    failed
        Emitted with an error.
    shown
        Whether tracks are shown; the user ends that also by removing the layer.
    """

    failed = Signal(object)

    def __init__(
        self,
        viewer: Viewer,
        stack: ImageStack,
        session: AnnotationSession,
        task_runner: TaskRunner,
        companions: Companions,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.shown = False
        self._viewer, self._stack, self._session = viewer, stack, session
        self._companions = companions
        self._layer: TrackLayer | None = None
        self._computation = ThrottledComputation(Centroids().compute, session, task_runner, self)
        self._computation.computed.connect(self._draw)
        self._computation.failed.connect(self.failed)

    def close(self) -> None:
        """Do nothing any more; the layer stays as it is."""
        self._computation.close()

    def show(self, shown: bool) -> None:
        """Begin or end to show them."""
        self.shown = shown
        if shown:
            self._layer = self._layer or TrackLayer(self._viewer, self._stack, self._companions.add)
            self._computation.compute_soon(at_once=True)
        elif self._layer is not None:
            layer, self._layer = self._layer, None
            layer.close()

    def update_soon(self) -> None:
        """Show what has changed, in a moment."""
        if self.shown:
            self._computation.compute_soon()

    def owns(self, layer: Any) -> bool:
        """Whether a layer is the one that shows them."""
        return self._layer is not None and self._layer.layer is not None and layer == self._layer.layer

    def _draw(self, tracks: TrackData) -> None:
        if self._layer is not None:
            self._layer.draw(tracks, self._session.objects)
