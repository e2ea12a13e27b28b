"""The review queue, computed off the window's thread whenever something has changed."""

from collections.abc import Generator

from qtpy.QtCore import QObject, Signal

from napari_plugin.runtime.throttled import ThrottledComputation
from napari_plugin.runtime.workers import TaskRunner
from sam2_plugins.review import Review, ReviewItem, review_queue
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["DOUBTFUL", "ReviewModel"]

DOUBTFUL = 0.25
"""From this doubt on a mask is called doubtful; the queue goes on below it."""


class ReviewModel(QObject):
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
        self.queue: list[ReviewItem] = []
        self._worst: dict[int, float] = {}
        self._looking = ThrottledComputation(self._look, self._on_looked, self)
        self._looking.failed.connect(self.failed)

    def attach(self, session: AnnotationSession, client: TaskRunner) -> None:
        """Review a session from now on."""
        self._review = Review()
        self._looking.attach(session, client)
        self._keep([])

    def look_soon(self) -> None:
        """Look at what has changed, in a moment."""
        self._looking.compute_soon()

    @property
    def idle(self) -> bool:
        """Whether everything has been looked at."""
        return self._looking.idle

    def close(self) -> None:
        """Do nothing any more."""
        self._looking.close()

    def worst(self, object_id: int) -> float | None:
        """Return the largest doubt of an object; None if nothing of it is to be reviewed."""
        return self._worst.get(object_id)

    @property
    def doubtful(self) -> set[tuple[int, int]]:
        """(object id, frame) of the doubtful masks."""
        return {(doubt.object_id, doubt.frame) for doubt in self.queue if doubt.score >= DOUBTFUL}

    def _look(self, session: AnnotationSession) -> Generator[None, None, list[ReviewItem]]:
        review = self._review
        yield
        return review_queue(session, review)

    def _on_looked(self, doubts: list[ReviewItem]) -> None:
        self._keep(doubts)
        self.reviewed.emit()

    def _keep(self, doubts: list[ReviewItem]) -> None:
        self._worst = {}
        for doubt in doubts:  # worst first
            self._worst.setdefault(doubt.object_id, doubt.score)
        self.queue = doubts
