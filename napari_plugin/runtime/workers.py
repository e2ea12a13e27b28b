"""Workers off the window's thread, which run tasks on the job queue and hand outcomes to the window."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

from qtpy.QtCore import QObject, QTimer, Signal, Slot

from sam2_plugins.runtime.jobs import CancelToken, JobQueue, Priority

__all__ = ["TaskRunner", "Worker", "run_in_thread"]

T = TypeVar("T")

_SLICE = 0.008
"""Seconds for which outcomes are dealt with before the window may draw and listen to its user again."""


class Worker(QObject):
    """One job queue whose outcomes arrive as calls in the thread that this object lives in (the window's).

    They arrive in the order in which the work was finished, so what arrives last is the newest. However fast
    they come, the window has its turn between two of them.
    """

    _arrived = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._closed = False
        self._outcomes: deque[Callable[[], None]] = deque()
        self._awaited = False
        self.queue = JobQueue("sam2-napari")
        self._arrived.connect(self._deliver)
        self._next_slice = QTimer(self)  # of no time: at the next turn of the window
        self._next_slice.setSingleShot(True)
        self._next_slice.timeout.connect(self._deliver)

    def close(self) -> None:
        """Finish the running step, drop the rest, and deliver nothing any more."""
        self._closed = True
        self.queue.close()

    def call(self, function: Callable[[], None]) -> None:
        """Call ``function()`` in the window's thread; may be called from any thread."""
        if not self._closed:
            self._outcomes.append(function)
            if not self._awaited:
                self._awaited = True
                self._arrived.emit()

    @Slot()
    def _deliver(self) -> None:
        self._next_slice.start(0)  # if one of them opens a dialog, the others arrive in that one's turns
        end = time.monotonic() + _SLICE
        try:
            while self._outcomes and not self._closed and time.monotonic() < end:
                self._outcomes.popleft()()
        finally:
            self._awaited = False
            if self._closed or not self._outcomes:
                self._next_slice.stop()
            else:
                self._awaited = True


class TaskRunner:
    """One user of the worker; once it is closed, its long work stops and outcomes are thrown away.

    Parameters
    ----------
    worker
        Where the work is done.
    owner
        For whom; it is closed when this object is destroyed.
    """

    def __init__(self, worker: Worker, owner: QObject) -> None:
        self._worker = worker
        self._closed = False
        self._cancels: set[CancelToken] = set()
        owner.destroyed.connect(self.close)

    def close(self) -> None:
        """Stop long work after the step at hand, and take no more outcomes."""
        self._closed = True
        for cancel in self._cancels:
            cancel.cancel()

    def run_last(self, function: Callable[[], object]) -> None:
        """Run ``function()`` after all that was asked for, in this thread if the worker is closed before."""
        try:
            future = self._worker.queue.submit(function)
        except RuntimeError:  # it is closed already
            function()
        else:
            future.add_done_callback(lambda done: function() if done.cancelled() else None)

    def run(
        self,
        function: Callable[[], T],
        *,
        then: Callable[[T], None],
        failed: Callable[[BaseException], None],
        priority: Priority = Priority.INTERACTIVE,
    ) -> None:
        """Run ``function()`` off the window's thread, and in it ``then(result)`` or ``failed(error)``."""
        self._report(self._worker.queue.submit(function, priority=priority), then, failed)

    def run_steps(
        self,
        steps: Iterable[T],
        *,
        on_step: Callable[[T], None],
        then: Callable[[int], None],
        failed: Callable[[BaseException], None],
        priority: Priority = Priority.BACKGROUND,
        cancel: CancelToken | None = None,
    ) -> None:
        """Iterate ``steps`` off the window's thread; clicks go ahead between two of them.

        ``on_step(item)`` and, at the end or when cancelled, ``then(number of steps)`` run in the window's.
        """
        cancel = cancel or CancelToken()
        self._cancels.add(cancel)

        def arrived(item: T) -> None:
            self._hand_over(lambda: on_step(item))

        future = self._worker.queue.submit_steps(steps, priority=priority, on_step=arrived, cancel=cancel)
        future.add_done_callback(lambda _: self._cancels.discard(cancel))
        self._report(future, then, failed)

    def _report(
        self, future: "Future[T]", then: Callable[[T], None], failed: Callable[[BaseException], None]
    ) -> None:
        def report(done: "Future[T]") -> None:
            if done.cancelled():
                return
            error = done.exception()
            if error is not None:
                self._hand_over(lambda: failed(error))
            else:
                self._hand_over(lambda: then(done.result()))

        future.add_done_callback(report)

    def _hand_over(self, outcome: Callable[[], Any]) -> None:
        def unless_closed() -> None:
            if not self._closed:
                outcome()

        self._worker.call(unless_closed)


def run_in_thread(
    worker: Worker,
    name: str,
    function: Callable[[], T],
    then: Callable[[T], None],
    failed: Callable[[BaseException], None],
) -> None:
    """Run what needs no device, but waits long for something else, in a thread of its own called ``name``.

    ``worker`` hands ``then(result)`` or ``failed(error)`` over to the window's thread. The application may
    end while it is still running.
    """

    def run() -> None:
        try:
            result = function()
        except Exception as error:
            failure = error  # the name of an exception is gone after its clause
            worker.call(lambda: failed(failure))
        else:
            worker.call(lambda: then(result))

    threading.Thread(target=run, name=name, daemon=True).start()
