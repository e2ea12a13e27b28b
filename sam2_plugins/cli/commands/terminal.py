"""Progress bars, messages on standard error, and Ctrl-C."""

import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from sam2_plugins.runtime.jobs import CancelToken, with_progress
from sam2_plugins.session.readable import ResultGenerator

__all__ = [
    "INTERRUPTED",
    "byte_bar",
    "count_bar",
    "interruptible",
    "print_stderr",
    "run_with_progress_bar",
    "with_progress_bar",
]

INTERRUPTED = 130
"""Exit status of a command that the user stopped."""

T = TypeVar("T")


def print_stderr(text: str) -> None:
    """Print a line that is not a result (standard error)."""
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def with_progress_bar(steps: Iterable[T], total: int | None, title: str) -> Iterator[T]:
    """Pass ``steps`` through under a bar with frames per second and the time left."""
    with _bar(TextColumn("{task.fields[status]}")) as bar:
        task = bar.add_task(title, total=total, status="")
        for step, progress in with_progress(steps, total):
            bar.update(task, completed=progress.done, status=str(progress))
            yield step


def run_with_progress_bar(steps: Generator[object, None, T], total: int | None, title: str) -> T:
    """Do all the steps of long work under the same bar and return its result."""
    work = ResultGenerator(steps)
    for _ in with_progress_bar(work, total, title):
        pass
    return work.result


@contextmanager
def count_bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Give a function of (done, total) that updates a bar with the time left."""
    with _bar(TextColumn("{task.completed:.0f} of {task.total:.0f}"), TimeRemainingColumn()) as bar:
        yield _updater(bar, bar.add_task(title, total=1))


@contextmanager
def byte_bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """Give a function of (bytes, bytes in all) that updates a bar with sizes and the time left."""
    with _bar(DownloadColumn(), TimeRemainingColumn()) as bar:
        yield _updater(bar, bar.add_task(title, total=None))


@contextmanager
def interruptible(unit: str = "frame") -> Iterator[CancelToken]:
    """Turn the first Ctrl-C into a request to stop after the current frame (or other unit of work).

    The second one stops at once.
    """
    token = CancelToken()

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        if token.cancelled:
            raise KeyboardInterrupt
        token.cancel()
        print_stderr(f"Stopping after this {unit}; what is finished is saved.")

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield token
    finally:
        signal.signal(signal.SIGINT, before)


def _bar(*columns: TextColumn | DownloadColumn | TimeRemainingColumn) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        console=console,
        disable=not console.is_terminal,
    )


def _updater(bar: Progress, task: TaskID) -> Callable[[int, int | None], None]:
    return lambda done, total: bar.update(task, completed=done, total=total)
