"""The job of tracking objects through one stack."""

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from typing_extensions import override

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource
from sam2_engine.wording import counted
from sam2_plugins.batch.job import FileJob, JobHost, Reading, run_under_bar
from sam2_plugins.batch.naming import beside
from sam2_plugins.export.label_tiff import TIFF_SUFFIXES, LabelStackWriter
from sam2_plugins.importing.starts import Starts, place_starts
from sam2_plugins.measure import PhysicalScale, measure
from sam2_plugins.runtime.atomic_files import check_output, os_error_sentence
from sam2_plugins.runtime.csv_files import CSV_SUFFIXES
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.label_image import label_dtype
from sam2_plugins.session.readable import known_by_frame

__all__ = ["TrackJob", "TrackingJob", "tracked_in_words"]

_LABEL_SUFFIXES = (".tif", ".tiff", ".png")


@dataclass(frozen=True)
class TrackingJob(FileJob):
    """What jobs of tracking have in common: what to track, where, and the table.

    Attributes
    ----------
    masks, prompts
        A label image of the first frame or a stack of them, and a file of clicks and boxes. A folder stands
        for the file in it that has the stack's name.
    csv
        Where the table of measurements goes, if it is wanted.
    start, stop, reverse
        As for :meth:`AnnotationSession.propagate`.
    model, reading
        Which model, None for that of a session that is there, or nano; and how files are read.
    memory_policy, overlapping
        As for :class:`AnnotationSession`; None: as the session that is there, or as SAM 2.
    """

    masks: Path | None = None
    prompts: Path | None = None
    csv: Path | None = None
    start: int | None = None
    stop: int | None = None
    reverse: bool = False
    model: str | None = None
    reading: Reading = field(default_factory=Reading)
    memory_policy: str | None = None
    overlapping: bool | None = None

    def new_session(self, frames: FrameSource, store: ModelStore, **options: Any) -> AnnotationSession:
        """Return a session that begins, as it was asked for."""
        return AnnotationSession(
            frames,
            store,
            self.model or "nano",
            contrast=self.reading.contrast,
            memory_policy=self.memory_policy or "recent",
            overlapping=self.overlapping,
            **options,
        )

    @property
    @override
    def inputs(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.source, self.masks, self.prompts) if path is not None)

    def starts(self) -> tuple[Path | None, Path | None]:
        """Return the files of masks and of prompts for this stack.

        Raises
        ------
        InputError
            If a folder has none of its name.
        """
        masks = beside(self.masks, self.source, _LABEL_SUFFIXES)
        return masks, beside(self.prompts, self.source, (".json",))

    def place_starts(self, session: AnnotationSession) -> Starts:
        """Place them into a session, and return what is to be tracked."""
        masks, prompts = self.starts()
        return place_starts(session, masks, prompts, start=self.start, stop=self.stop, reverse=self.reverse)

    def read_files(self) -> tuple[Path | None, ...]:
        """Return the stack, and the files of masks and of prompts."""
        return (self.source, *self.starts())

    def check_table(self) -> None:
        """Refuse a table that cannot be written."""
        if self.csv is not None:
            replacing = self.writing.overwrite
            check_output(self.csv, suffixes=CSV_SUFFIXES, inputs=self.read_files(), overwrite=replacing)


@dataclass(frozen=True)
class TrackJob(TrackingJob):
    """Objects of one stack, tracked from label images or from prompts into a label stack."""

    @property
    @override
    def outputs(self) -> tuple[Path, ...]:
        return (self.output,) if self.csv is None else (self.output, self.csv)

    @override
    def check(self) -> None:
        replacing = self.writing.overwrite
        check_output(self.output, suffixes=TIFF_SUFFIXES, inputs=self.read_files(), overwrite=replacing)
        self.check_table()

    @override
    def run(self, host: JobHost) -> bool:
        self.check()
        with self.reading.open(self.source) as frames:
            session = self.new_session(frames, host.store, history=None)
            host.say(f"{self.source}: {frames.description}")
            stopped = self._write_tracked(session, self.place_starts(session), host)
            host.say(f"{self.output}")
            if self.csv is not None:
                table = run_under_bar(host, measure.steps(session), len(session), "measuring")
                table.write_csv(self.csv, overwrite=True, bom=self.writing.bom)
        return stopped

    def _write_tracked(self, session: AnnotationSession, starts: Starts, host: JobHost) -> bool:
        """Propagate into the output frame by frame; return whether the user stopped it.

        Raises
        ------
        NoSpaceError
            If the disk is full; the frames before are kept.
        """
        dtype = label_dtype(max(session.objects))
        shape = (len(session), *session.shape)
        axes, sizes = "ZYX" if session.frames.axis == "Z" else "TYX", PhysicalScale.of(session.frames)
        full: OSError | None = None
        finished, total = 0, session.count_frames(starts.runs)
        with (
            LabelStackWriter.open(self.output, shape, dtype, axes, scale=sizes) as stack,
            host.interruptible() as cancel,
        ):
            for frame in known_by_frame(session) if starts.goes_on else ():
                stack.write(frame, session.label_image(frame))
            group = object()
            steps = chain.from_iterable(
                session.iter_propagate(**run, cancel=cancel, undo_group=group) for run in starts.runs
            )
            # A second Ctrl-C breaks off the current frame; those before it are on disk already.
            with suppress(KeyboardInterrupt):
                for result in host.steps(steps, total, "tracking"):
                    try:
                        stack.write(result.frame, session.label_image(result.frame))
                    except OSError as error:
                        full = error
                        break
                    finished += 1
            if not finished and full is not None:
                raise full
        host.say(tracked_in_words(finished, total, len(session.objects)))
        if full is not None:
            host.say(f"{self.output}")
            raise InputError(
                f"{os_error_sentence(full, self.output).rstrip('.')}. "
                "The frames that were finished before are saved."
            )
        return finished != total and cancel.cancelled


def tracked_in_words(finished: int, total: int | None, num_objects: int) -> str:
    """Say how many frames were tracked, of how many that were to be.

    Examples
    --------
    >>> tracked_in_words(3, 3, 2), tracked_in_words(2, 5, 1), tracked_in_words(0, 0, 2)
    ('3 of 3 frames, 2 objects', '2 of 5 frames, 1 object', 'nothing was left to track, 2 objects')
    """
    if total is None:
        tracked = counted(finished, "frame")
    else:
        tracked = f"{finished} of {counted(total, 'frame')}" if total else "nothing was left to track"
    return f"{tracked}, {counted(num_objects, 'object')}"
