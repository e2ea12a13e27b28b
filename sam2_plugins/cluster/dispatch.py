"""Jobs handed to the workers of a cluster, one to each at a time, and what comes back."""

import time
import uuid
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sam2_engine.errors import InputWarning
from sam2_plugins.batch.job import FileJob, Outcome, problem_of
from sam2_plugins.batch.naming import stem
from sam2_plugins.cluster.connection import Versions, connected
from sam2_plugins.cluster.worker import run_job, stop_run, topic_of
from sam2_plugins.runtime.jobs import CancelToken

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["ClusterEvent", "run_on_cluster"]

RETRIES = 2
"""How often a job is tried again that failed for another reason than its input; one whose worker died is
begun again as often as the scheduler's ``allowed-failures`` says."""
_POLL_SECONDS = 0.1
_STOP_SECONDS = 30.0
"""For which a stopped run waits for workers to finish their frame."""
_LONELY_SECONDS = 5.0
_SCHEDULER_LOST = "The connection to the scheduler was lost; start it again, and this file with it."


@dataclass(frozen=True)
class ClusterEvent:
    """What has happened to the jobs of a run.

    Attributes
    ----------
    fraction_done
        How many are done, in parts of a job.
    index, outcome
        Which one has ended, and how; None if none has.
    """

    fraction_done: float
    index: int = 0
    outcome: Outcome | None = None


def run_on_cluster(
    jobs: Sequence[FileJob], address: str, device: str, cancel: CancelToken
) -> Iterator[ClusterEvent]:
    """Let the workers of a scheduler do jobs, and yield each outcome once it is known.

    Every worker has one job at a time, so that the others stay for whoever is idle first. A job whose worker
    dies is done by another one. When it is canceled, workers finish their frame and leave nothing behind.

    Parameters
    ----------
    jobs
        With absolute paths.
    address
        Of the scheduler.
    device
        What the model runs on there.
    cancel
        Looked at all the time.

    Raises
    ------
    InputError
        If no scheduler answers, or its workers have another version.
    """
    with connected(address) as client:
        yield from _Run(client, jobs, device, cancel).events()


class _Run:
    """One run of jobs on a cluster."""

    def __init__(self, client: "Client", jobs: Sequence[FileJob], device: str, cancel: CancelToken) -> None:
        self._client, self._jobs, self._device, self._cancel = client, jobs, device, cancel
        self._name = uuid.uuid4().hex[:12]
        self._waiting = list(range(len(jobs)))[::-1]
        self._running: dict[Future, int] = {}
        self._fractions: dict[int, float] = {}
        self._ended = 0
        self._stop_until: float | None = None
        self._lonely_since: float | None = None

    def events(self) -> Iterator[ClusterEvent]:
        """Yield what happens until all jobs have ended."""
        self._client.subscribe_topic(topic_of(self._name), self._on_progress)
        while self._waiting or self._running:
            if self._client.status == "closed":
                yield from self._end_waiting(Outcome(problem=_SCHEDULER_LOST))
            elif self._cancel.cancelled:
                yield from self._stop()
            else:
                self._submit()
            ended = [future for future in self._running if future.done()]
            for future in ended:
                yield self._event(self._running.pop(future), self._outcome(future))
            if not ended:
                yield ClusterEvent(self._fraction_done)
                time.sleep(_POLL_SECONDS)

    def _event(self, index: int, outcome: Outcome) -> ClusterEvent:
        self._fractions.pop(index, None)
        self._ended += 1
        return ClusterEvent(self._fraction_done, index, outcome)

    @property
    def _fraction_done(self) -> float:
        return self._ended + sum(list(self._fractions.values()))  # which another thread adds to

    def _on_progress(self, event: tuple[float, Any]) -> None:
        _, told = event
        if told["index"] in self._running.values():
            self._fractions[told["index"]] = told["fraction"]

    def _submit(self) -> None:
        """Give a job to every worker that has none."""
        workers = self._count_workers()
        while self._waiting and len(self._running) < workers:
            index = self._waiting.pop()
            job = self._jobs[index]
            future = self._client.submit(
                run_job,
                job,
                index,
                self._name,
                self._device,
                Versions.here(),
                key=f"{stem(job.source)}-{self._name}-{index}",
                retries=RETRIES,
                pure=False,
            )
            self._running[future] = index

    def _count_workers(self) -> int:
        """Return how many workers there are; say it if there has been none for a while."""
        count = len(self._client.scheduler_info(n_workers=-1).get("workers", ()))  # none while it reconnects
        now = time.monotonic()
        if count:
            self._lonely_since = None
        elif self._lonely_since is None:
            self._lonely_since = now
        elif now - self._lonely_since > _LONELY_SECONDS:
            warnings.warn("The scheduler has no worker; waiting for one.", InputWarning, stacklevel=2)
        return count

    def _stop(self) -> Iterator[ClusterEvent]:
        """End what has not begun, tell the workers once, and give up on those that do not answer."""
        now = time.monotonic()
        if self._stop_until is None:
            self._stop_until = now + _STOP_SECONDS
            self._client.run(stop_run, self._name, on_error="ignore")
        yield from self._end_waiting(Outcome(stopped=True))
        if now > self._stop_until:
            self._client.cancel(list(self._running), force=True)

    def _end_waiting(self, outcome: Outcome) -> Iterator[ClusterEvent]:
        while self._waiting:
            yield self._event(self._waiting.pop(), outcome)

    def _outcome(self, future: "Future") -> Outcome:
        from distributed import CancelledError, KilledWorker

        try:
            outcome: Outcome = future.result(timeout=_STOP_SECONDS)
        except KilledWorker as error:
            return Outcome(
                problem=f"{error.allowed_failures + 1} workers died while they did it, the last one was "
                f"{error.last_worker.address}; often there is not enough memory: see the workers' logs."
            )
        except CancelledError:
            stopped = self._cancel.cancelled
            return Outcome(stopped=stopped, problem="" if stopped else _SCHEDULER_LOST)
        except Exception as error:
            return Outcome(problem=problem_of(error))
        return outcome
