"""Jobs on one device: their priority, cancellation and progress.

A device computes one thing at a time. Interactive work (a click, the visible frame) goes ahead of a
propagation, which runs in steps of one frame; whatever waits gets its turn between two steps.
"""

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

__all__ = ["CancelToken", "DeviceLock", "JobQueue", "Priority", "Progress", "with_progress"]

T = TypeVar("T")


class Priority(IntEnum):
    """Priority of a job; the smaller number goes first."""

    INTERACTIVE = 0
    """A person waits for it: a click, a box."""
    VISIBLE = 1
    """The shown frame is prepared for clicks."""
    BACKGROUND = 2
    """Long work, done in steps: propagation."""
    IDLE = 3
    """Nobody asked for it: frames beside the shown one are prepared while nothing else waits."""


class CancelToken:
    """A request to stop, which long work checks after every frame.

    Examples
    --------
    >>> token = CancelToken()
    >>> for frame in range(60):
    ...     if frame == 3:
    ...         token.cancel()
    ...     if token.cancelled:
    ...         break
    >>> frame
    3
    """

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the work to stop; finished frames stay."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked to stop."""
        return self._event.is_set()


@dataclass(frozen=True)
class Progress:
    """Progress of a piece of work.

    Attributes
    ----------
    done
        Finished frames.
    total
        All frames, or None if unknown (a live stream).
    seconds
        Time since the work began.

    Examples
    --------
    >>> progress = Progress(done=12, total=60, seconds=3.5)
    >>> print(progress)
    12 of 60 frames, 3.4 frames/s, 14 s left
    >>> progress.percentage
    '20 %, 14 s left'
    """

    done: int
    total: int | None
    seconds: float

    @property
    def frames_per_second(self) -> float:
        """Mean speed so far; 0 before the first frame is finished."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Time left at the mean speed so far, or None if unknown yet."""
        if self.total is None or not self.done:
            return None
        return (self.total - self.done) * self.seconds / self.done

    def __str__(self) -> str:
        """Return one line for people: ``12 of 60 frames, 3.4 frames/s, 14 s left``."""
        count = f"{self.done} frames" if self.total is None else f"{self.done} of {self.total} frames"
        parts = [count, f"{self.frames_per_second:.1f} frames/s"]
        return ", ".join([*parts, *self._time_left()])

    @property
    def percentage(self) -> str:
        """One line for people where steps are no frames: ``20 %, 14 s left``."""
        part = [f"{self.done / self.total:.0%}".replace("%", " %")] if self.total else [f"{self.done} steps"]
        return ", ".join([*part, *self._time_left()])

    def _time_left(self) -> list[str]:
        if self.seconds_left is None:
            return []
        minutes, seconds = divmod(round(self.seconds_left), 60)
        return [f"{minutes} min {seconds:02d} s left" if minutes else f"{seconds} s left"]


def with_progress(steps: Iterable[T], total: int | None) -> Iterator[tuple[T, Progress]]:
    """Yield each of ``steps`` with the progress made by it; the clock starts at the first request."""
    start = time.monotonic()
    for done, step in enumerate(steps, start=1):
        yield step, Progress(done, total, time.monotonic() - start)


@dataclass(order=True)
class _Turn:
    priority: int
    number: int
    since: float = field(compare=False)


class DeviceLock:
    """Lock of one device, held by one thread at a time; the waiting thread with the highest priority is next.

    ``with lock:`` is for interactive work, ``with lock.held(priority):`` for the rest. The holding
    thread may enter again.

    Parameters
    ----------
    patience
        Seconds after which background work goes ahead of any click: however many people click, it goes on.
    """

    def __init__(self, patience: float = 1.0) -> None:
        self._patience = patience
        self._condition = threading.Condition()
        self._waiting: list[_Turn] = []
        self._next: _Turn | None = None
        self._numbers = itertools.count()
        self._owner: int | None = None
        self._depth = 0

    def acquire(self, priority: Priority = Priority.INTERACTIVE) -> None:
        """Wait for the device; among waiting threads the highest priority, then the longest wait, wins."""
        me = threading.get_ident()
        with self._condition:
            if self._owner != me:
                turn = _Turn(int(priority), next(self._numbers), time.monotonic())
                self._waiting.append(turn)
                try:
                    self._choose()
                    self._condition.wait_for(lambda: self._next is turn)
                    self._owner = me
                finally:
                    self._waiting.remove(turn)
                    self._next = None
                    self._choose()
            self._depth += 1

    def _choose(self) -> None:
        """Say who is next, if the device is free and nobody has been told yet."""
        if self._owner is None and self._next is None and self._waiting:
            now = time.monotonic()
            tired = [
                turn
                for turn in self._waiting
                if Priority.INTERACTIVE < turn.priority < Priority.IDLE and now - turn.since >= self._patience
            ]
            self._next = min(tired, key=lambda turn: turn.number) if tired else min(self._waiting)
            self._condition.notify_all()

    def release(self) -> None:
        """Give the device to the next thread.

        Raises
        ------
        RuntimeError
            If this thread does not hold it.
        """
        with self._condition:
            if self._owner != threading.get_ident():
                raise RuntimeError("the device lock is not held by this thread")
            self._depth -= 1
            if not self._depth:
                self._owner = None
                self._choose()

    @contextmanager
    def held(self, priority: Priority) -> Iterator[None]:
        """Hold the device for a ``with`` block, waiting for it with ``priority``."""
        self.acquire(priority)
        try:
            yield
        finally:
            self.release()

    def __enter__(self) -> "DeviceLock":
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@dataclass(order=True)
class _Job:
    priority: int
    number: int
    advance: Callable[[], bool] = field(compare=False)
    future: "Future[Any]" = field(compare=False)
    abandon: Callable[[], None] = field(compare=False)


class JobQueue:
    """One worker thread for one device.

    Jobs run in the order of their priority, then of their arrival. A job in steps goes back into the
    queue after every step and keeps its place, so a click submitted meanwhile runs before its next frame.

    Examples
    --------
    >>> with JobQueue() as queue:
    ...     tracking = queue.submit_steps(range(60))  # for example session.propagate()
    ...     click = queue.submit(lambda: "mask")
    ...     results = click.result(), tracking.result()
    >>> results
    ('mask', 60)
    """

    def __init__(self, name: str = "sam2-jobs") -> None:
        self._jobs: list[_Job] = []
        self._numbers = itertools.count()
        self._condition = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[], T], *, priority: Priority = Priority.INTERACTIVE) -> "Future[T]":
        """Run ``function()`` once; the future gives its result or its exception.

        Raises
        ------
        RuntimeError
            If the queue is closed.
        """
        future: Future[T] = Future()

        def advance() -> bool:
            future.set_result(function())
            return True

        return self._enqueue(advance, future, priority)

    def submit_steps(
        self,
        steps: Iterable[T],
        *,
        priority: Priority = Priority.BACKGROUND,
        on_step: Callable[[T], None] | None = None,
        cancel: CancelToken | None = None,
    ) -> "Future[int]":
        """Run an iterable step by step; the future gives the number of finished steps.

        Parameters
        ----------
        steps
            For example ``session.propagate()``; it is iterated on the worker thread only.
        on_step
            Called on the worker thread with each step's result, right after the step.
        cancel
            Ends the job between two steps; the future then gives the steps finished until then.

        Raises
        ------
        RuntimeError
            If the queue is closed.
        """
        future: Future[int] = Future()
        iterator = iter(steps)
        finished = 0

        def advance() -> bool:
            nonlocal finished
            if cancel is not None and cancel.cancelled:
                abandon()
                future.set_result(finished)
                return True
            try:
                result = next(iterator)
            except StopIteration:
                future.set_result(finished)
                return True
            finished += 1
            if on_step is not None:
                on_step(result)
            return False

        def abandon() -> None:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

        return self._enqueue(advance, future, priority, abandon)

    def close(self) -> None:
        """Finish the running step, cancel everything that waits, and end the thread."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> "JobQueue":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _enqueue(
        self,
        advance: Callable[[], bool],
        future: "Future[T]",
        priority: Priority,
        abandon: Callable[[], None] = lambda: None,
    ) -> "Future[T]":
        with self._condition:
            if self._closed:
                raise RuntimeError("the job queue is closed")
            heapq.heappush(self._jobs, _Job(int(priority), next(self._numbers), advance, future, abandon))
            self._condition.notify_all()
        return future

    def _work(self) -> None:
        while (job := self._next_job()) is not None:
            if not job.future.running() and not job.future.set_running_or_notify_cancel():
                continue
            try:
                finished = job.advance()
            except BaseException as error:  # any error belongs to the caller, not to this thread
                finished = True
                job.future.set_exception(error)
                job.abandon()
            if not finished:
                with self._condition:
                    heapq.heappush(self._jobs, job)
        for job in sorted(self._jobs):
            job.abandon()
            if not job.future.cancel():
                job.future.set_exception(RuntimeError("the job queue was closed before this job had ended"))

    def _next_job(self) -> _Job | None:
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._jobs)
            return None if self._closed else heapq.heappop(self._jobs)
