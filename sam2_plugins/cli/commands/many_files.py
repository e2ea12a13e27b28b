"""Work of a command on one file or on many: one after the other, or on the workers of a cluster."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from sam2_engine.disk import no_empty_folders
from sam2_engine.errors import InputError
from sam2_engine.wording import counted
from sam2_plugins.batch.job import FileJob, Outcome, prepare, problem_of, run_to_outcome
from sam2_plugins.batch.naming import check_names_differ, stem
from sam2_plugins.cli.commands.options import needs
from sam2_plugins.cli.commands.stopping import exit_status, interruptible
from sam2_plugins.cli.commands.streams import print_stderr
from sam2_plugins.cli.commands.terminal import count_bar, file_bar, with_progress_bar
from sam2_plugins.cluster.dispatch import run_on_cluster
from sam2_plugins.runtime.jobs import CancelToken
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.runtime.run_estimate import RunMeasurements

__all__ = ["EachOption", "SchedulerOption", "TerminalHost", "output_of", "run_jobs", "takes_many"]

SOME_FAILED = 1
"""Exit status when some of many files failed."""

T = TypeVar("T")

EachOption = Annotated[
    bool,
    typer.Option("--each", help="Work on each of several files by itself; -o is then a folder."),
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Let the workers of this dask scheduler do it, each file by itself, for example tcp://host:8786 "
        f"({needs('cluster', 'distributed')}).",
    ),
]


class TerminalHost:
    """A terminal, in which a job is done by this process."""

    def __init__(self, device: str) -> None:
        self.store = ModelStore(device, measurements=RunMeasurements.of_this_machine())

    def say(self, line: str) -> None:
        """Print a line of results."""
        typer.echo(line)

    def note(self, line: str) -> None:
        """Print a line beside the results."""
        print_stderr(line)

    def steps(self, steps: Iterable[T], total: int | None, title: str) -> Iterator[T]:
        """Pass steps through under a bar."""
        return with_progress_bar(steps, total, title)

    def counting(self, title: str) -> AbstractContextManager[Callable[[int, int | None], None]]:
        """Give a function of (done, total) that updates a bar."""
        return count_bar(title)

    def interruptible(self) -> AbstractContextManager[CancelToken]:
        """Turn the first Ctrl-C into a request to stop."""
        return interruptible()


def takes_many(sources: Sequence[Path], each: bool, scheduler: str | None) -> bool:
    """Return whether a command is to work on any number of files, so that outputs are named by folders.

    Raises
    ------
    InputError
        If there are several files, but the user does not say so; or if two have the same name.
    """
    if len(sources) > 1 and not each and scheduler is None:
        raise InputError(
            f"{len(sources)} files were given; with --each every one is worked on by itself. "
            "Images that are the frames of one stack are given as their folder."
        )
    check_names_differ(sources)
    return each or scheduler is not None


def output_of(
    source: Path, sources: Sequence[Path], output: Path, suffixes: Sequence[str], many: bool
) -> Path:
    """Return what is written for one of some files: ``output``, or a file in it if that is a folder.

    Raises
    ------
    InputError
        If several files would be written as one.
    """
    endings = tuple(suffix for suffix in suffixes if suffix)
    is_file = output.name.lower().endswith(endings) and not output.is_dir()
    if not many or (is_file and len(sources) == 1):
        return output
    if is_file:
        raise InputError(f"{output} would be written for {len(sources)} files; give the name of a folder.")
    return output / f"{stem(source)}{suffixes[0]}"


def run_jobs(jobs: Sequence[FileJob], *, many: bool, scheduler: str | None, device: str) -> None:
    """Do the work of a command, and leave it with the exit status that tells how it went.

    Parameters
    ----------
    jobs
        One per file.
    many
        Whether there may be several; one that cannot be used does not keep the others from being worked on.
    scheduler
        Address of a dask scheduler; None to work in this process.
    device
        What the model runs on, there or here.

    Raises
    ------
    InputError
        If the only file cannot be used, or no scheduler answers.
    """
    if not many:
        if jobs[0].run(TerminalHost(device)):
            raise typer.Exit(exit_status())
        return
    stopped = False
    with no_empty_folders(*(path.parent for job in jobs for path in job.outputs)):
        outcomes = _refused(jobs)
        rest = [job for job in jobs if job.source not in outcomes]
        if rest and scheduler is None:
            stopped = _run_here(rest, device, outcomes)
        elif rest and scheduler is not None:
            stopped = _run_there(rest, scheduler, device, outcomes)
    _leave(jobs, outcomes, stopped)


def _refused(jobs: Sequence[FileJob]) -> dict[Path, Outcome]:
    """Return the outcomes of jobs that would fail, each told before the first one begins."""
    outcomes: dict[Path, Outcome] = {}
    for job in jobs:
        try:
            prepare(job)
        except (InputError, OSError) as error:
            outcomes[job.source] = Outcome(problem=problem_of(error))
            if len(jobs) > 1:
                print_stderr(f"{job.source}: {problem_of(error)}")
    return outcomes


def _run_here(jobs: Sequence[FileJob], device: str, outcomes: dict[Path, Outcome]) -> bool:
    """Do one job after the other; return whether the user stopped them."""
    host = TerminalHost(device)
    for number, job in enumerate(jobs, start=1):
        print_stderr(f"[{number}/{len(jobs)}] {job.source}")
        try:
            outcome = run_to_outcome(job, host)
        except Exception as error:
            outcome = Outcome(problem=problem_of(error))
        outcomes[job.source] = outcome
        if said := outcome.problem or outcome.left:
            print_stderr(f"{job.source}: {said}")
        if outcome.stopped:
            return True
    return False


def _run_there(jobs: Sequence[FileJob], scheduler: str, device: str, outcomes: dict[Path, Outcome]) -> bool:
    """Let the workers of a cluster do the jobs; return whether the user stopped them."""
    # What may be replaced was decided here: a job that is done again may find the output of its first try.
    there = [replace(job.absolute(), writing=replace(job.writing, overwrite=True)) for job in jobs]
    saying = "Stopping; workers finish their frame and leave nothing half-written."
    with file_bar(len(jobs)) as show, interruptible(saying=saying) as cancel:
        for event in run_on_cluster(there, scheduler, device, cancel):
            if event.outcome is None:
                show(event.fraction_done)
                continue
            job, outcome = jobs[event.index], event.outcome
            outcomes[job.source] = outcome
            where = f"[{len(outcomes)}/{len(jobs)}] {job.source}"
            for note in outcome.notes:
                print_stderr(f"{job.source}: {note}")
            if not outcome.stopped:
                print_stderr(f"{where}: {outcome.problem or outcome.left or 'done'}")
            for line in outcome.lines:
                typer.echo(line)
        return cancel.cancelled and any(not one.is_done for one in outcomes.values())


def _leave(jobs: Sequence[FileJob], outcomes: dict[Path, Outcome], stopped: bool) -> None:
    """Say what failed and what was not begun, and leave with the status that says so, if anything was."""
    failed = {source: one.problem for source, one in outcomes.items() if one.problem}
    if failed and len(jobs) == 1:
        raise InputError(next(iter(failed.values())))
    done = sum(one.is_done for one in outcomes.values())
    left = sum(bool(one.left) for one in outcomes.values())
    elsewhere = f"{left} left to another run, " if left else ""
    print_stderr(f"{done} of {counted(len(jobs), 'file')} done, {elsewhere}{len(failed)} failed.")
    width = max((len(str(source)) for source in failed), default=0)
    for source, problem in failed.items():
        print_stderr(f"  {source!s:<{width}}  {problem}")
    if stopped:
        raise typer.Exit(exit_status())
    if failed:
        raise typer.Exit(SOME_FAILED)
