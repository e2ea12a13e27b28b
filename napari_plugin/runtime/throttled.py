"""A computation from a session off the window's thread, repeated after changes but never too often."""

from collections.abc import Callable, Generator

from qtpy.QtCore import QObject, Signal
from superqt.utils import qthrottled

from napari_plugin.runtime.workers import TaskRunner
from sam2_plugins.runtime.jobs import Priority
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.readable import ResultGenerator

__all__ = ["ThrottledComputation"]

Compute = Callable[[AnnotationSession], Generator[object, None, object]]
_PAUSE = 1000
"""Milliseconds between two computations, so that they cost little of the time while objects are tracked."""


class ThrottledComputation(QObject):
    """One computation, never twice at a time, and never more often than the pause allows.

    Parameters
    ----------
    compute
        Called with the session on the worker's thread; clicks go ahead wherever it yields.
    session, task_runner
        Computed from, and where.

    Attributes
    ----------
    computed
        Emitted with what was returned.
    failed
        Emitted with an error of it.
    """

    computed = Signal(object)
    failed = Signal(object)

    def __init__(
        self,
        compute: Compute,
        session: AnnotationSession,
        task_runner: TaskRunner,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._compute, self._session, self._task_runner = compute, session, task_runner
        self._busy = self._outdated = False
        self._start_soon = qthrottled(self._start, timeout=_PAUSE, leading=False)

    def close(self) -> None:
        """Do nothing any more."""
        self._start_soon.cancel()

    def compute_soon(self, at_once: bool = False) -> None:
        """Compute from what is there in a moment, or now."""
        self._outdated = True
        self._start_soon()
        if at_once:
            self._start_soon.flush()

    @property
    def idle(self) -> bool:
        """Whether nothing is being computed, or about to be."""
        return not self._busy and not self._outdated

    def _start(self) -> None:
        if self._busy:
            self._start_soon()
            return
        self._busy, self._outdated = True, False
        results = ResultGenerator(self._compute(self._session))

        def computed(_: int) -> None:
            self._busy = False
            self.computed.emit(results.result)

        def failed(error: BaseException) -> None:
            self._busy = False
            self.failed.emit(error)

        # Ahead of a propagation, which may take hours; between two of its frames it is this one's turn.
        self._task_runner.run_steps(
            results, on_step=lambda _: None, then=computed, failed=failed, priority=Priority.VISIBLE
        )
