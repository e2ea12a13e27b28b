"""The tracks of an annotation, shown while somebody wants to see them."""

from typing import Any

from napari import Viewer
from qtpy.QtCore import QObject, Signal

from napari_plugin.layers import ImageStack
from napari_plugin.layers.track_layer import Centroids, TrackLayer, Trajectories
from napari_plugin.runtime.throttled import ThrottledComputation
from napari_plugin.runtime.workers import TaskRunner
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["TrackView"]


class TrackView(QObject):
    """Keeps the Tracks layer the same as the session, off the window's thread.

    Attributes
    ----------
    failed
        Emitted with an error.
    shown
        Whether tracks are wanted; the user ends that also by removing the layer.
    """

    failed = Signal(object)

    def __init__(self, viewer: Viewer, stack: ImageStack, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.shown = False
        self._viewer, self._stack = viewer, stack
        self._layer: TrackLayer | None = None
        self._recomputed = ThrottledComputation(Centroids().compute, self._draw, self)
        self._recomputed.failed.connect(self.failed)

    def attach(self, session: AnnotationSession, client: TaskRunner) -> None:
        """Show the tracks of a session from now on."""
        self._session = session
        self._recomputed.attach(session, client)

    def close(self) -> None:
        """Do nothing any more; the layer stays as it is."""
        self._recomputed.close()

    def show(self, shown: bool) -> None:
        """Begin or end to show them."""
        self.shown = shown
        if shown:
            self._layer = self._layer or TrackLayer(self._viewer, self._stack)
            self._recomputed.compute_soon(at_once=True)
        elif self._layer is not None:
            layer, self._layer = self._layer, None
            layer.close()

    def update_soon(self) -> None:
        """Show what has changed, in a moment."""
        if self.shown:
            self._recomputed.compute_soon()

    def is_mine(self, layer: Any) -> bool:
        """Whether a layer is the one that shows them."""
        return self._layer is not None and self._layer.layer is not None and layer == self._layer.layer

    def _draw(self, tracks: Trajectories) -> None:
        if self._layer is not None:
            self._layer.draw(tracks, self._session.objects)
