"""What is computed from a session off the window's thread, anew a moment after anything has changed."""

from collections.abc import Callable, Generator
from typing import Any

from qtpy.QtCore import QObject, Signal
from superqt.utils import qthrottled

from napari_plugin.runtime.workers import TaskRunner
from sam2_plugins.runtime.jobs import Priority
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.readable import ResultGenerator

__all__ = ["ThrottledComputation"]

Compute = Callable[[AnnotationSession], Generator[object, None, Any]]
_PAUSE = 1000
"""Milliseconds between two computations, so that they cost little of the time while objects are followed."""


class ThrottledComputation(QObject):
    """One computation, never twice at a time, and never more often than the pause allows.

    Parameters
    ----------
    compute
        Called with the session on the worker's thread; clicks go ahead wherever it yields.
    arrived
        Called with what it returns in the window's thread, unless there is another session by then.

    Attributes
    ----------
    failed
        Emitted with an error of it.
    """

    failed = Signal(object)

    def __init__(
        self, compute: Compute, arrived: Callable[[Any], None], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._compute, self._arrived = compute, arrived
        self._busy = self._outdated = False
        self._start_soon = qthrottled(self._start, timeout=_PAUSE, leading=False)

    def attach(self, session: AnnotationSession, client: TaskRunner) -> None:
        """Compute from a session from now on."""
        self._session, self._client = session, client
        self._busy = False

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
        session = self._session
        work = ResultGenerator(self._compute(session))

        def done(_: int) -> None:
            if session is self._session:
                self._busy = False
                self._arrived(work.result)

        def failed(error: BaseException) -> None:
            if session is self._session:
                self._busy = False
                self.failed.emit(error)

        # Ahead of a propagation, which may take hours; between two of its frames it is this one's turn.
        self._client.run_steps(
            work, on_step=lambda _: None, then=done, failed=failed, priority=Priority.VISIBLE
        )
