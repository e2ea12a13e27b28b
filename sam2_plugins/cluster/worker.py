"""The part of a job that happens on a worker: one file at a time, with a model that is loaded once."""

import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import torch

from sam2_engine.disk import remove_abandoned
from sam2_engine.errors import InputWarning
from sam2_plugins.batch.job import FileJob, Outcome, run_to_outcome
from sam2_plugins.cluster.connection import Versions
from sam2_plugins.runtime.jobs import CancelToken
from sam2_plugins.runtime.model_store import ModelStore

if TYPE_CHECKING:
    from distributed import Worker

__all__ = ["RunStopped", "WorkerState", "run_job", "stop_run", "topic_of"]

_REPORT_SECONDS = 0.5

T = TypeVar("T")


class RunStopped(Exception):  # noqa: N818  (nothing is wrong)
    """A user who stopped what a worker does."""


@dataclass
class WorkerState:
    """What a worker holds between jobs.

    Attributes
    ----------
    stores
        Models, by device.
    busy
        Held by the job at work: each takes all of the device and of the memory.
    stopped
        Runs that the user has stopped.
    """

    stores: dict[str, ModelStore] = field(default_factory=dict)
    busy: threading.Lock = field(default_factory=threading.Lock)
    stopped: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, worker: "Worker") -> "WorkerState":
        """Return a worker's state, made when it is first asked for."""
        state: WorkerState = worker.__dict__.setdefault("sam2_plugins", cls())
        return state

    def store(self, device: str, dtype: str = "auto") -> ModelStore:
        """Return the models of a device."""
        return self.stores.setdefault(f"{device} {dtype}", ModelStore(device, dtype))


def topic_of(run: str) -> str:
    """Return the name under which a run's progress is told."""
    return f"sam2-plugins-{run}"


def stop_run(run: str, dask_worker: "Worker") -> None:
    """Let a worker stop what it does for a run after its current frame."""
    WorkerState.of(dask_worker).stopped.add(run)


def run_job(job: FileJob, index: int, run: str, device: str, versions: Versions) -> Outcome:
    """Do a job on this worker.

    Parameters
    ----------
    job
        With absolute paths.
    index
        Of the job in its run.
    run
        Name of the run, by which it is stopped and its progress told.
    device
        What the model runs on.
    versions
        Of the program that asks for it.

    Returns
    -------
    Outcome
        Also if the input cannot be used: it is not tried again then. What is raised, is.
    """
    from distributed import get_worker

    worker = get_worker()
    state, where = WorkerState.of(worker), f"the worker {worker.name} on {socket.gethostname()}"
    if (here := Versions.here()).package != versions.package:
        return Outcome(problem=f"On {where} there is sam2-plugins {here.package}, not {versions.package}.")
    with state.busy:
        torch.set_num_threads(worker.state.nthreads)  # dask lets libraries use one
        if run in state.stopped:
            return Outcome(stopped=True)
        if problem := _unseen(job, where):
            return Outcome(problem=problem)
        for path in job.outputs:
            remove_abandoned(path)
        host = _WorkerHost(state.store(device), state, run, worker, index)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", InputWarning)
            try:
                outcome = run_to_outcome(job, host)
            except RunStopped:
                outcome = Outcome(stopped=True)
        notes = dict.fromkeys(
            f"Note: {one.message}" for one in told if issubclass(one.category, InputWarning)
        )
        return replace(outcome, lines=tuple(host.lines), notes=(*host.notes, *notes))


def _unseen(job: FileJob, where: str) -> str:
    """Return what a worker does not see of a job's files, in a sentence; empty if it sees all."""
    folders = (path.parent.parent for path in job.outputs)
    for path in (*job.inputs, *folders):
        if not os.path.lexists(path):
            return (
                f"{path} is not there for {where}; all workers need the files under the same path, on a "
                "shared file system."
            )
    return ""


class _WorkerHost:
    """A worker on which a job is done: what it says is collected, progress is told to whoever waits."""

    def __init__(self, store: ModelStore, state: WorkerState, run: str, worker: "Worker", index: int) -> None:
        self.store = store
        self.lines: list[str] = []
        self.notes: list[str] = []
        self._state, self._run, self._worker, self._index = state, run, worker, index
        self._told = time.monotonic()

    def say(self, line: str) -> None:
        """Collect a line of results."""
        self.lines.append(line)

    def note(self, line: str) -> None:
        """Collect a line beside the results."""
        self.notes.append(line)

    def steps(self, steps: Iterable[T], total: int | None, title: str) -> Iterator[T]:
        """Pass steps through, tell how many are done, and stop between two of them."""
        for done, step in enumerate(steps, start=1):
            self._tell(done, total)
            yield step

    @contextmanager
    def counting(self, title: str) -> Iterator[Callable[[int, int | None], None]]:
        """Give a function of (done, total) that tells them."""
        yield self._tell

    @contextmanager
    def interruptible(self) -> Iterator[CancelToken]:
        """Give a token that nobody cancels: what is stopped here leaves nothing."""
        yield CancelToken()

    def _tell(self, done: int, total: int | None) -> None:
        if self._run in self._state.stopped:
            raise RunStopped
        now = time.monotonic()
        if total and now - self._told > _REPORT_SECONDS:
            self._told = now
            self._worker.log_event(topic_of(self._run), {"index": self._index, "fraction": done / total})
