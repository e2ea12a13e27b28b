"""A model on its way to this machine, off the window's thread."""

import threading
import time
from collections.abc import Callable

from napari_plugin.workers import Worker
from sam2_engine.downloads import download

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
        self._worker, self._name = worker, name
        self._progressed, self._then, self._failed = progressed, then, failed
        self._given_up = threading.Event()
        self._reported = 0.0
        threading.Thread(target=self._run, name=f"download {name}", daemon=True).start()

    def cancel(self) -> None:
        """Give it up; what has arrived is kept for the next time."""
        self._given_up.set()

    def _run(self) -> None:
        try:
            download(self._name, self._report)
        except _GivenUpError:
            return
        except Exception as error:
            self._hand_over(lambda error=error: self._failed(error))
        else:
            self._hand_over(self._then)

    def _report(self, done: int, total: int | None) -> None:
        if self._given_up.is_set():
            raise _GivenUpError
        if time.monotonic() - self._reported > _BETWEEN_REPORTS or done == total:
            self._reported = time.monotonic()
            self._hand_over(lambda: self._progressed(done, total))

    def _hand_over(self, outcome: Callable[[], None]) -> None:
        def unless_given_up() -> None:
            if not self._given_up.is_set():
                outcome()

        self._worker.call(unless_given_up)
