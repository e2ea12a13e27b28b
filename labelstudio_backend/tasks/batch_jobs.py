"""Answers for many tasks at once, worked out beside the request that asks for them.

Label Studio waits for 100 s, whatever the number of tasks. So a request takes what is ready by then; the
work goes on, and the next request finds the rest.
"""

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from labelstudio_backend.schema.regions import Region
from sam2_engine.errors import InputError

__all__ = ["Answer", "BatchJobs"]

Answer = tuple[list[Region], float]
"""Regions and their score."""

_KEPT_BYTES = 256 << 20
_log = logging.getLogger(__name__)


class BatchJobs:
    """Work that is waiting, by project, and what is finished of it, by key; for many threads.

    Each project has a thread of its own while it has work, so projects take turns at the device.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, OrderedDict[str, Callable[[], Answer | None]]] = {}
        self._finished: OrderedDict[str, bytes | InputError] = OrderedDict()
        self._bytes = 0
        self._condition = threading.Condition()
        self._closed = False
        self._threads: dict[str, threading.Thread] = {}

    def answers(
        self, project: str, work: Mapping[str, Callable[[], Answer | None]], deadline: float
    ) -> dict[str, Answer | InputError | None]:
        """Return what is finished of some work by a time; the rest goes on.

        Parameters
        ----------
        project
            Whose work it is.
        work
            What gives each answer; None if there is nothing to say. The key must name all that the answer
            depends on.
        deadline
            The time (``time.monotonic``) until which this waits.

        Returns
        -------
        By key, in the order of ``work``, those that are finished: an answer, None, or why there is none.
        """
        with self._condition:
            for key in work:
                if isinstance(self._finished.get(key), InputError):
                    self._forget(key)  # what was wrong may have been mended
            new = {key: call for key, call in work.items() if key not in self._finished}
            if new and project not in self._waiting:
                self._waiting[project] = OrderedDict()
                thread = threading.Thread(target=self._run, args=(project,), name="sam2-batch", daemon=True)
                self._threads[project] = thread
                thread.start()
            for key, call in new.items():
                self._waiting[project].setdefault(key, call)
            self._condition.wait_for(
                lambda: self._closed or all(key in self._finished for key in work),
                max(0.0, deadline - time.monotonic()),
            )
            done = {key: self._finished[key] for key in work if key in self._finished}
        return {
            key: found if isinstance(found, InputError) else _unpack(found) for key, found in done.items()
        }

    def close(self) -> None:
        """Give up everything that waits, and let what is being worked on end.

        A thread that computes while the interpreter goes away brings the process down.
        """
        with self._condition:
            self._closed = True
            self._waiting.clear()
            self._condition.notify_all()
            threads = list(self._threads.values())
        for thread in threads:
            thread.join()

    def _run(self, project: str) -> None:
        while (next_one := self._next(project)) is not None:
            key, call = next_one
            found: bytes | InputError
            try:
                found = json.dumps(call()).encode()
            except InputError as error:
                found = error
            except Exception:
                _log.exception("a task of project %s", project)
                found = InputError("The backend failed on a task; its log has the details.")
            with self._condition:
                self._keep(key, found)
                self._waiting.get(project, OrderedDict()).pop(key, None)
                self._condition.notify_all()

    def _next(self, project: str) -> tuple[str, Callable[[], Answer | None]] | None:
        """Return the next piece of work, which stays among those that wait until it is finished."""
        with self._condition:
            waiting = self._waiting.get(project)
            if not waiting or self._closed:
                self._waiting.pop(project, None)
                return None
            return next(iter(waiting.items()))

    def _keep(self, key: str, found: bytes | InputError) -> None:
        self._forget(key)
        self._finished[key] = found
        self._bytes += _size(found)
        while self._bytes > _KEPT_BYTES and len(self._finished) > 1:
            self._forget(next(iter(self._finished)))

    def _forget(self, key: str) -> None:
        if key in self._finished:
            self._bytes -= _size(self._finished.pop(key))


def _size(found: bytes | InputError) -> int:
    return len(found) if isinstance(found, bytes) else 1000


def _unpack(found: bytes) -> Answer | None:
    answer: list[Any] | None = json.loads(found)
    return None if answer is None else (answer[0], answer[1])
