"""The job of one file, what it is done on, and what came of it."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sam2_engine.errors import InputError, OptionError
from sam2_engine.frames import FrameSource, open_frames
from sam2_engine.frames.source import explain
from sam2_plugins.runtime.atomic_files import os_error_sentence
from sam2_plugins.runtime.jobs import CancelToken
from sam2_plugins.runtime.model_name import ModelName
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.readable import ResultGenerator

__all__ = ["FileJob", "JobHost", "LeftToAnotherError", "Outcome", "Reading", "Writing"]
__all__ += ["prepare", "problem_of", "run_to_outcome", "run_under_bar"]

T = TypeVar("T")
OnCount = Callable[[int, int | None], None]


class LeftToAnotherError(InputError):
    """A file on which another run is at work: this one passes over it, and nothing has failed."""


class JobHost(Protocol):
    """What a job is done on: a terminal, or a worker of a cluster.

    Attributes
    ----------
    store
        Models, and the lock of their device.
    """

    store: ModelStore

    def say(self, line: str) -> None:
        """Print a line of results."""

    def note(self, line: str) -> None:
        """Print a line beside the results."""

    def steps(self, steps: Iterable[T], total: int | None, title: str) -> Iterator[T]:
        """Pass steps through, and show how many are done."""

    def counting(self, title: str) -> AbstractContextManager[OnCount]:
        """Give a function of (done, total) that shows them."""

    def interruptible(self) -> AbstractContextManager[CancelToken]:
        """Give a token that asks to stop after the current frame."""


@dataclass(frozen=True)
class Reading:
    """What is said of how files of frames are read; as for :func:`sam2_engine.open_frames`."""

    axes: str | None = None
    channel: int | None = None
    fixed: dict[str, int] = field(default_factory=dict)
    series: str | None = None
    level: int = 0
    contrast: tuple[float, float] | None = None
    along: str | None = None

    def open(self, path: Path, *, single: bool = False) -> FrameSource:
        """Open a file of frames; ``single`` if it is one image."""
        return open_frames(
            path,
            axes=self.axes,
            channel=self.channel,
            fixed=self.fixed,
            along=self.along,
            series=self.series,
            level=self.level,
            single=single,
        )


@dataclass(frozen=True)
class Writing:
    """What is said of how files are written.

    Attributes
    ----------
    overwrite
        Whether what is there may be replaced.
    bom
        Whether tables begin with a byte order mark, by which Excel tells UTF-8.
    """

    overwrite: bool = False
    bom: bool = False


@dataclass(frozen=True)
class FileJob:
    """Work on one file, said completely, so that another machine can do it.

    Attributes
    ----------
    source, output
        What is read, and what is written.
    writing
        How files are written.
    """

    source: Path
    output: Path
    writing: Writing = field(default_factory=Writing, kw_only=True)

    def check(self) -> None:
        """Refuse, before any work, what is certain to fail: outputs that cannot be written, above all.

        Raises
        ------
        InputError
            If there is such a thing.
        """
        raise NotImplementedError

    def run(self, host: JobHost) -> bool:
        """Do it and return whether the user stopped it.

        Raises
        ------
        InputError
            If the input cannot be used.
        """
        raise NotImplementedError

    @property
    def inputs(self) -> tuple[Path, ...]:
        """All files and folders that are read."""
        return (self.source,)

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All files and folders that are written."""
        return (self.output,)

    def absolute(self) -> "FileJob":
        """Return the same job for a machine with another working directory."""
        paths = {one.name: getattr(self, one.name) for one in fields(self)}
        found: dict[str, Any] = {
            name: path.absolute() for name, path in paths.items() if isinstance(path, Path)
        }
        model = paths.get("model")
        if isinstance(model, str):
            found["model"] = str(ModelName.parse(model).absolute())
        return replace(self, **found)


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes
    ----------
    lines, notes
        What it said.
    problem
        Why it failed, in a sentence; empty if it did not.
    stopped
        Whether the user stopped it.
    left
        Which other run does it, in a sentence; empty if none does.
    """

    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""
    stopped: bool = False
    left: str = ""

    @property
    def is_done(self) -> bool:
        """Whether the output is there, complete."""
        return not self.problem and not self.stopped and not self.left


def run_to_outcome(job: FileJob, host: JobHost) -> Outcome:
    """Do one of many jobs; what a person can mend becomes the outcome's problem, all else is raised."""
    try:
        prepare(job)
        return Outcome(stopped=job.run(host))
    except LeftToAnotherError as error:
        return Outcome(left=str(error))
    except (InputError, MemoryError) as error:
        return Outcome(problem=problem_of(error))


def prepare(job: FileJob) -> None:
    """Make the folders of a job's outputs, and check all that can be before the work.

    Raises
    ------
    InputError
        If something would fail.
    """
    for path in job.outputs:
        path.parent.mkdir(exist_ok=True)
    job.check()


def problem_of(error: BaseException) -> str:
    """Return why a job failed, in one sentence."""
    if isinstance(error, OptionError):
        return error.for_command_line()
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError):
        return os_error_sentence(error)
    if isinstance(error, MemoryError):
        return f"There is not enough memory ({error}); use a smaller model or fewer objects."
    return f"{type(error).__name__}: {explain(error)}."


def run_under_bar(host: JobHost, steps: Generator[object, None, T], total: int | None, title: str) -> T:
    """Do all the steps of long work, shown by the host, and return their result."""
    work = ResultGenerator(steps)
    for _ in host.steps(work, total, title):
        pass
    return work.result
