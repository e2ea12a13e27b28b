"""The download of a model off the window's thread."""

import threading
import time
from collections.abc import Callable

from napari_plugin.runtime.workers import Worker, run_in_thread
from sam2_engine.weights.downloads import download

__all__ = ["Download"]

_BETWEEN_REPORTS = 0.1  # seconds


class _CancelledError(Exception):
    """The download was cancelled."""


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
        Called at the end, unless it was cancelled.
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
        self._cancelled = threading.Event()
        self._reported = 0.0
        run_in_thread(
            worker,
            f"download {name}",
            lambda: download(name, self._report, accept_license=True),  # whoever asks for it was told
            lambda _: self._unless_cancelled(then),
            lambda error: self._unless_cancelled(lambda: failed(error)),
        )

    def cancel(self) -> None:
        """Stop it; what has arrived stays for the next time."""
        self._cancelled.set()

    def _report(self, done: int, total: int | None) -> None:
        if self._cancelled.is_set():
            raise _CancelledError
        if time.monotonic() - self._reported > _BETWEEN_REPORTS or done == total:
            self._reported = time.monotonic()
            self._worker.call(lambda: self._unless_cancelled(lambda: self._progressed(done, total)))

    def _unless_cancelled(self, outcome: Callable[[], None]) -> None:
        if not self._cancelled.is_set():
            outcome()
