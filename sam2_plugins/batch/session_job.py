"""The job of tracking objects through one stack in a session, which is kept, corrected and gone on with."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from typing_extensions import override

from sam2_engine.disk import remove_folder
from sam2_engine.errors import InputError
from sam2_engine.weights.pixel_rules import window_of
from sam2_plugins.batch.job import JobHost, Reading, run_under_bar
from sam2_plugins.batch.track_job import TrackingJob, tracked_in_words
from sam2_plugins.everything.kept import is_anything_kept
from sam2_plugins.export.label_tiff import TIFF_SUFFIXES, write_label_tiff
from sam2_plugins.measure import measure
from sam2_plugins.runtime.atomic_files import check_output
from sam2_plugins.runtime.model_name import ModelName
from sam2_plugins.scripting.session import Session
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.propagation_plan import PropagateArguments
from sam2_plugins.storage import SessionFolder, is_session_folder, open_session, read_manifest, reading_of

__all__ = ["TrackSessionJob", "track_runs"]


@dataclass(frozen=True)
class TrackSessionJob(TrackingJob):
    """Objects of one stack, tracked in a session folder: one that is there is gone on with.

    Attributes
    ----------
    output
        The session's folder.
    labels
        Where the label stack goes at the end, if it is wanted.
    """

    labels: Path | None = None

    @property
    @override
    def outputs(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.output, self.labels, self.csv) if path is not None)

    @property
    def needs_start(self) -> bool:
        """Whether a new session has to be told what to track."""
        return self.masks is None and self.prompts is None

    @override
    def check(self) -> None:
        if self.output.exists() and not is_session_folder(self.output) and any(self.output.iterdir()):
            raise InputError(f"{self.output} is not a session folder; choose another name for the session.")
        if not self.output.parent.is_dir():
            raise InputError(f"The folder {self.output.parent} of the session does not exist; make it first.")
        if not is_session_folder(self.output) and self.needs_start:
            raise InputError(
                f"{self.output} does not exist yet: say what to track, with --masks LABELS, --prompts JSON, "
                "or --everything."
            )
        if self.labels is not None:
            replacing = self.writing.overwrite
            check_output(self.labels, suffixes=TIFF_SUFFIXES, inputs=self.read_files(), overwrite=replacing)
        self.check_table()

    @override
    def run(self, host: JobHost) -> bool:
        self.check()
        with self._opened(host) as work:
            annotation = work.annotation
            host.say(f"{self.source}: {annotation.frames.description}")
            stopped = track_runs(host, annotation, self.place_starts(annotation).runs)
            host.say(f"{self.output}")
            if not stopped:
                self._write(work, host)
        return stopped

    @contextmanager
    def _opened(self, host: JobHost) -> Iterator[Session]:
        """Go on with the session, by its own reading, or begin it; nothing is left if that fails empty."""
        if self.model is not None:
            host.store.load(self.model)  # no session is left that asks for a model which is not there
        if is_session_folder(self.output):
            is_new = False
            work = Session(*open_session(self.output, host.store, self.source))
            try:
                self._obey(work.annotation, host)
            except BaseException:
                work.close()
                raise
        else:
            frames = self.reading.open(self.source)
            try:
                annotation = self.new_session(frames, host.store)
                source, opening = reading_of(frames)
                folder = SessionFolder.create(self.output, annotation, source=source, opening=opening)
            except BaseException:
                frames.close()
                raise
            is_new, work = True, Session(annotation, folder)
        session = work.annotation
        try:
            with work:
                yield work
        except InputError:
            if is_new and not session.objects and not is_anything_kept(self.output):
                remove_folder(self.output)
            raise

    def _obey(self, session: AnnotationSession, host: JobHost) -> None:
        """Take over what is said of a session that is there, or refuse what would need another one."""
        described = read_manifest(self.output)["frames"]
        unsaid, known = vars(Reading()), {"axes": described["axes"], **described["opening"]}
        for name, value in vars(self.reading).items():
            there = known.get(name, unsaid[name])
            if name != "contrast" and value not in (unsaid[name], there):
                raise InputError(
                    f"{self.output} is read with {name} = {there}, not {value}: leave --{name} out, or give "
                    "another --session."
                )
        window = self.reading.contrast
        if window is not None and window_of(session.frames, window) != session.window:
            raise InputError(
                f"{self.output} has another contrast: leave --contrast out, or set it in napari."
            )
        session.memory.check_same(self.memory_policy, self.overlapping, session.frames, f"{self.output}")
        if self.model is not None and str(ModelName.parse(self.model).absolute()) != session.model_name:
            host.note(f"{self.output} goes on with {self.model}; it had {session.model_name}.")
            session.use_model(self.model)

    def _write(self, work: Session, host: JobHost) -> None:
        if self.labels is not None:
            steps = write_label_tiff.steps(work.annotation, self.labels, work.scale, overwrite=True)
            run_under_bar(host, steps, len(work), "exporting")
            host.say(f"{self.labels}")
        if self.csv is not None:
            table = run_under_bar(host, measure.steps(work.annotation, work.scale), len(work), "measuring")
            table.write_csv(self.csv, overwrite=True, bom=self.writing.bom)
            host.say(f"{self.csv}")


def track_runs(host: JobHost, session: AnnotationSession, runs: Iterable[PropagateArguments]) -> bool:
    """Track, shown by a host, and say what was done; return whether the user stopped it.

    Parameters
    ----------
    host, session
        Where, and in what; each frame is in the session once it is done.
    runs
        Arguments of :meth:`AnnotationSession.propagate`, one after the other.
    """
    runs = list(runs)
    finished, total = 0, session.count_frames(runs)
    with host.interruptible() as cancel:
        group = object()
        steps = chain.from_iterable(
            session.iter_propagate(**run, cancel=cancel, undo_group=group) for run in runs
        )
        try:
            for _ in host.steps(steps, total, "tracking"):
                finished += 1
        except KeyboardInterrupt:  # a second Ctrl-C breaks off the current frame
            cancel.cancel()
    host.say(tracked_in_words(finished, total, len(session.objects)))
    return finished != total and cancel.cancelled
