"""Predictions for many tasks at once, made in the background of the request for them.

Label Studio waits for 100 s, whatever the number of tasks. So a request returns what is finished by then; the
jobs go on, and the next request finds the rest.
"""

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from labelstudio_backend.schema.regions import ScoredRegions
from sam2_engine.errors import InputError

__all__ = ["BatchJobs"]

_MAX_BYTES = 256 << 20
_log = logging.getLogger(__name__)


class BatchJobs:
    """Jobs that are pending, by project, and the results of finished ones, by key; for many threads.

    Each project has a thread of its own while it has jobs, so projects take turns at the device.
    """

    def __init__(self) -> None:
        self._pending: dict[str, OrderedDict[str, Callable[[], ScoredRegions | None]]] = {}
        self._finished: OrderedDict[str, bytes | InputError] = OrderedDict()
        self._bytes = 0
        self._condition = threading.Condition()
        self._closed = False
        self._threads: dict[str, threading.Thread] = {}

    def results(
        self, project: str, jobs: Mapping[str, Callable[[], ScoredRegions | None]], deadline: float
    ) -> dict[str, ScoredRegions | InputError | None]:
        """Return the results of the jobs that are finished by a time; the others go on.

        Parameters
        ----------
        project
            Whose jobs they are.
        jobs
            What makes each prediction; None if there is nothing to predict. The key must name all that the
            prediction depends on.
        deadline
            The time (``time.monotonic``) until which this waits.

        Returns
        -------
        By key, in the order of ``jobs``, those that are finished: regions, None, or why there are none.
        """
        with self._condition:
            for key in jobs:
                if isinstance(self._finished.get(key), InputError):
                    self._discard(key)  # what was wrong may have been corrected
            new = {key: job for key, job in jobs.items() if key not in self._finished}
            if new and project not in self._pending:
                self._pending[project] = OrderedDict()
                thread = threading.Thread(target=self._run, args=(project,), name="sam2-batch", daemon=True)
                self._threads[project] = thread
                thread.start()
            for key, job in new.items():
                self._pending[project].setdefault(key, job)
            self._condition.wait_for(
                lambda: self._closed or all(key in self._finished for key in jobs),
                max(0.0, deadline - time.monotonic()),
            )
            done = {key: self._finished[key] for key in jobs if key in self._finished}
        return {
            key: outcome if isinstance(outcome, InputError) else _unpack(outcome)
            for key, outcome in done.items()
        }

    def close(self) -> None:
        """Drop the jobs that are pending, and let the running ones end.

        A thread that computes while the interpreter goes away brings the process down.
        """
        with self._condition:
            self._closed = True
            self._pending.clear()
            self._condition.notify_all()
            threads = list(self._threads.values())
        for thread in threads:
            thread.join()

    def _run(self, project: str) -> None:
        while (next_job := self._next(project)) is not None:
            key, job = next_job
            outcome: bytes | InputError
            try:
                outcome = json.dumps(job()).encode()
            except InputError as error:
                outcome = error
            except Exception:
                _log.exception("a task of project %s", project)
                outcome = InputError("The backend failed on a task; its log has the details.")
            with self._condition:
                self._store(key, outcome)
                self._pending.get(project, OrderedDict()).pop(key, None)
                self._condition.notify_all()

    def _next(self, project: str) -> tuple[str, Callable[[], ScoredRegions | None]] | None:
        """Return the next job, which stays pending until it is finished."""
        with self._condition:
            pending = self._pending.get(project)
            if not pending or self._closed:
                self._pending.pop(project, None)
                return None
            return next(iter(pending.items()))

    def _store(self, key: str, outcome: bytes | InputError) -> None:
        self._discard(key)
        self._finished[key] = outcome
        self._bytes += _size(outcome)
        while self._bytes > _MAX_BYTES and len(self._finished) > 1:
            self._discard(next(iter(self._finished)))

    def _discard(self, key: str) -> None:
        if key in self._finished:
            self._bytes -= _size(self._finished.pop(key))


def _size(outcome: bytes | InputError) -> int:
    return len(outcome) if isinstance(outcome, bytes) else 1000


def _unpack(outcome: bytes) -> ScoredRegions | None:
    result: list[Any] | None = json.loads(outcome)
    return None if result is None else (result[0], result[1])
