"""The review queue, computed off the window's thread whenever something has changed."""

from qtpy.QtCore import QObject, QTimer, Signal

from napari_plugin.workers import Client
from sam2_plugins.annotation_session import AnnotationSession
from sam2_plugins.jobs import Priority
from sam2_plugins.review import Doubt, Review, review_queue

__all__ = ["DOUBTFUL", "Reviewing"]

DOUBTFUL = 0.25
"""From this doubt on a mask is called doubtful; the queue goes on below it."""
_PAUSE = 1000
"""Milliseconds between two looks, so that they cost little of the time while objects are followed."""


class Reviewing(QObject):
    """Doubts of an annotation's masks.

    Attributes
    ----------
    reviewed
        Emitted when there are new doubts.
    failed
        Emitted with an error.
    queue
        All masks that nobody has confirmed, worst first, as they were looked at last.
    """

    reviewed = Signal()
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.queue: list[Doubt] = []
        self._worst: dict[int, float] = {}
        self._busy = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PAUSE)
        self._timer.timeout.connect(self._look)

    def attach(self, session: AnnotationSession, client: Client) -> None:
        """Review a session from now on."""
        self._session, self._client, self._review = session, client, Review()
        self._busy = False
        self._keep([])

    def close(self) -> None:
        """Do nothing any more."""
        self._timer.stop()

    def look_soon(self) -> None:
        """Look at what has changed, in a moment."""
        if not self._timer.isActive():
            self._timer.start()

    def worst(self, object_id: int) -> float | None:
        """Return the largest doubt of an object; None if nothing of it is to be reviewed."""
        return self._worst.get(object_id)

    @property
    def doubtful(self) -> set[tuple[int, int]]:
        """(object id, frame) of the doubtful masks."""
        return {(doubt.object_id, doubt.frame) for doubt in self.queue if doubt.score >= DOUBTFUL}

    def _look(self) -> None:
        if self._busy:
            self._timer.start()
            return
        self._busy = True
        session, review = self._session, self._review

        def done(doubts: list[Doubt]) -> None:
            self._busy = False
            if session is self._session:
                self._keep(doubts)
                self.reviewed.emit()

        def failed(error: BaseException) -> None:
            self._busy = False
            self.failed.emit(error)

        # Ahead of a propagation, which may take hours; between two of its frames it is this one's turn.
        self._client.run(
            lambda: review_queue(session, review), then=done, failed=failed, priority=Priority.VISIBLE
        )

    def _keep(self, doubts: list[Doubt]) -> None:
        self._worst = {}
        for doubt in doubts:  # worst first
            self._worst.setdefault(doubt.object_id, doubt.score)
        self.queue = doubts
