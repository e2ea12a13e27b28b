"""The review queue of a session, up to date a moment after anything has changed."""

from collections.abc import Generator
from itertools import takewhile

from qtpy.QtCore import QObject, Signal

from napari_plugin.runtime.throttled import ThrottledComputation
from napari_plugin.runtime.workers import TaskRunner
from sam2_plugins.review import DOUBTFUL, LiveReview, RankedItems
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["DOUBTFUL", "ReviewModel"]


class ReviewModel(QObject):
    """Doubts of a session's masks.

    Attributes
    ----------
    updated
        Emitted when there are new doubts.
    failed
        Emitted with an error.
    queue
        All masks that nobody has confirmed, worst first, as of the last update.
    """

    updated = Signal()
    failed = Signal(object)

    def __init__(
        self, session: AnnotationSession, task_runner: TaskRunner, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.queue = RankedItems([])
        self._worst: dict[int, float] = {}
        self._review = LiveReview(session)
        self._computation = ThrottledComputation(self._compute, session, task_runner, self)
        self._computation.computed.connect(self._on_computed)
        self._computation.failed.connect(self.failed)

    def update_soon(self) -> None:
        """Review what has changed, in a moment."""
        self._computation.compute_soon()

    @property
    def idle(self) -> bool:
        """Whether everything that has changed is reviewed."""
        return self._computation.idle

    def close(self) -> None:
        """Do nothing any more."""
        self._computation.close()
        self._review.close()

    def worst(self, object_id: int) -> float | None:
        """Return the largest doubt of an object; None if nothing of it is to be reviewed."""
        return self._worst.get(object_id)

    @property
    def doubtful(self) -> set[tuple[int, int]]:
        """(object id, frame) of the doubtful masks."""
        worst = takewhile(lambda item: item.score >= DOUBTFUL, self.queue)
        return {(item.object_id, item.frame) for item in worst}

    def _compute(
        self, session: AnnotationSession
    ) -> Generator[None, None, tuple[RankedItems, dict[int, float]]]:
        yield
        return self._review.queue(), self._review.worst()

    def _on_computed(self, found: tuple[RankedItems, dict[int, float]]) -> None:
        self.queue, self._worst = found
        self.updated.emit()
