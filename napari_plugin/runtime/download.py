"""A model on its way to this machine, off the window's thread."""

import threading
import time
from collections.abc import Callable

from napari_plugin.runtime.workers import Worker, run_in_thread
from sam2_engine.weights.downloads import download

__all__ = ["Download"]

_BETWEEN_REPORTS = 0.1  # seconds


class _GivenUpError(Exception):
    """Nobody waits for the model any more."""


class Download:
    """One download, begun at once; all outcomes arrive as calls in the window's thread.

    It has a thread of its own, as the device's must stay free for clicks.

    Parameters
    ----------
    worker
        Hands outcomes over.
    name
        Of the model.
    progressed
        Called with the bytes that are there and the bytes in all, or None.
    then, failed
        Called at the end, unless it was given up.
    """

    def __init__(
        self,
        worker: Worker,
        name: str,
        progressed: Callable[[int, int | None], None],
        then: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._worker, self._progressed = worker, progressed
        self._given_up = threading.Event()
        self._reported = 0.0
        run_in_thread(
            worker,
            f"download {name}",
            lambda: download(name, self._report),
            lambda _: self._unless_given_up(then),
            lambda error: self._unless_given_up(lambda: failed(error)),
        )

    def cancel(self) -> None:
        """Give it up; what has arrived is kept for the next time."""
        self._given_up.set()

    def _report(self, done: int, total: int | None) -> None:
        if self._given_up.is_set():
            raise _GivenUpError
        if time.monotonic() - self._reported > _BETWEEN_REPORTS or done == total:
            self._reported = time.monotonic()
            self._worker.call(lambda: self._unless_given_up(lambda: self._progressed(done, total)))

    def _unless_given_up(self, outcome: Callable[[], None]) -> None:
        if not self._given_up.is_set():
            outcome()
