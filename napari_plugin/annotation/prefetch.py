"""Prefetch of encoded frames: the shown one before the first click on it, then its neighbors."""

from collections.abc import Iterable

from qtpy.QtCore import QObject
from superqt.utils import qdebounced

from napari_plugin.annotation.controller import AnnotationController
from sam2_plugins.runtime.jobs import CancelToken, Priority

__all__ = ["Prefetch", "neighbors"]

_REST = 150
"""Milliseconds: frames that the slider only passes are not encoded."""
_REACH = 4
"""Frames to each side; fewer where the cache of encoded frames is small."""


class Prefetch(QObject):
    """Makes the frames of one annotation ready for clicks, where the slider comes to rest.

    The shown frame goes ahead of a propagation's next one. The neighbors wait until nothing else does, and
    are cancelled when the slider moves on. Nobody asked for this, so errors are left to the click that
    meets them.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._annotation: AnnotationController | None = None
        self._ready: tuple[object, ...] = ()
        self._cancel = CancelToken()
        self._encode_at_rest = qdebounced(self._encode, timeout=_REST)

    def set_annotation(self, annotation: AnnotationController | None) -> None:
        """Encode frames of another annotation, or of the same one with nothing encoded yet."""
        self._cancel.cancel()
        self._annotation, self._ready = annotation, ()
        self.encode_soon()

    def encode_soon(self, event: object = None) -> None:
        """Encode what is shown when the slider has come to rest; to be called at every move of it."""
        if self._annotation is not None:
            self._encode_at_rest()

    def close(self) -> None:
        """Do nothing any more."""
        self.set_annotation(None)
        self._encode_at_rest.cancel()

    def _encode(self) -> None:
        annotation = self._annotation
        if annotation is None or annotation.closed:
            return
        session, shown = annotation.session, annotation.shown_frame
        propagating = annotation.propagation.running  # it needs the room in the cache for itself
        wanted = (shown, session.model_name, session.window, propagating)
        if wanted == self._ready:
            return
        self._cancel.cancel()
        self._ready, self._cancel = wanted, CancelToken()
        self._run([shown], Priority.VISIBLE)
        if not propagating:
            self._run([shown, *neighbors(shown, annotation.stack.plan.length)], Priority.IDLE)

    def _run(self, frames: Iterable[int], priority: Priority) -> None:
        assert self._annotation is not None
        self._annotation.run_steps(
            self._annotation.session.iter_prefetch(frames),
            on_step=lambda _: None,
            then=lambda _: None,
            failed=lambda _: None,
            cancel=self._cancel,
            priority=priority,
        )


def neighbors(frame: int, length: int) -> list[int]:
    """Return the frames beside one, the nearest first, of a stack of ``length`` frames."""
    beside = [frame + side * distance for distance in range(1, _REACH + 1) for side in (1, -1)]
    return [one for one in beside if 0 <= one < length]
