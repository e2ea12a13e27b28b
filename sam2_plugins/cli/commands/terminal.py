"""Progress bars, and messages on standard error."""

import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, TypeVar, cast

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from sam2_engine.frames import FrameSource
from sam2_plugins.runtime.jobs import with_progress
from sam2_plugins.session.readable import ResultGenerator

__all__ = [
    "byte_bar",
    "count_bar",
    "file_bar",
    "lasting_output",
    "print_stderr",
    "run_with_progress_bar",
    "say_note",
    "with_progress_bar",
]

T = TypeVar("T")


@contextmanager
def lasting_output() -> Iterator["LastingOutput"]:
    """Let a command go on, in silence, whose output nobody reads any more: ``sam2 track ... | head -1``.

    What it makes is in files; to lose them for a line that is not shown would be absurd. So it goes on
    where lines cannot be written any more, as of a log on a full disk; that is an error when it is done.
    """
    with ExitStack() as stack:
        streams = []
        for stream, redirect in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if stream is not None:
                lasting = _LastingStream(stream)
                stack.enter_context(redirect(cast(TextIO, lasting)))
                stack.callback(lasting.flush)
                streams.append(lasting)
        yield LastingOutput(streams)


class LastingOutput:
    """What a command has written to standard output and standard error."""

    def __init__(self, streams: "Sequence[_LastingStream]") -> None:
        self._streams = streams

    def error(self) -> OSError | None:
        """Write what is in buffers; return why lines were lost, except to a reader who has left."""
        for stream in self._streams:
            stream.flush()
        errors = (stream.error for stream in self._streams)
        return next((error for error in errors if not isinstance(error, BrokenPipeError | None)), None)


class _LastingStream:
    """A stream of text that writes to nowhere once it cannot be written to."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        self._leave_if_broken(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._leave_if_broken(self._stream.flush)

    def _leave_if_broken(self, act: Callable[[], object]) -> None:
        try:
            act()
        except OSError as error:
            self.error = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())  # what is still in buffers goes there, too
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def say_note(name: str, frames: FrameSource) -> None:
    """Say on standard error what was guessed, merged or left out when an image was opened."""
    if frames.note:
        print_stderr(f"Note: {name}: {frames.note}.")


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
