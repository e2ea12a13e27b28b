"""Progress bars."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from sam2_engine.frames import FrameSource
from sam2_plugins.cli.commands.streams import print_stderr
from sam2_plugins.runtime.jobs import with_progress
from sam2_plugins.session.readable import ResultGenerator

__all__ = [
    "byte_bar",
    "count_bar",
    "file_bar",
    "run_with_progress_bar",
    "say_note",
    "with_progress_bar",
]

T = TypeVar("T")


def say_note(name: str, frames: FrameSource) -> None:
    """Say on standard error what was guessed, merged or left out when an image was opened."""
    if frames.note:
        print_stderr(f"Note: {name}: {frames.note}.")


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
def file_bar(total: int) -> Iterator[Callable[[float], None]]:
    """Give a function of how many of ``total`` files are done, in parts of one, that updates a bar."""
    with _bar(TextColumn("{task.completed:.1f} of {task.total:.0f} files"), TimeRemainingColumn()) as bar:
        task = bar.add_task("files", total=total)
        yield lambda done: bar.update(task, completed=done)


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
