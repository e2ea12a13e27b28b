"""The job of tracking objects through one stack."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from typing_extensions import override

from sam2_engine.errors import InputError
from sam2_engine.wording import counted
from sam2_plugins.batch.job import FileJob, JobHost, Reading, run_under_bar
from sam2_plugins.batch.naming import beside
from sam2_plugins.export.label_tiff import TIFF_SUFFIXES, LabelStackWriter
from sam2_plugins.importing.prompts import place_labels, place_prompts, read_label_image, read_prompts
from sam2_plugins.measure import measure
from sam2_plugins.runtime.atomic_files import check_output, os_error_sentence
from sam2_plugins.runtime.csv_files import CSV_SUFFIXES
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.label_image import label_dtype

__all__ = ["TrackJob"]

_LABEL_SUFFIXES = (".tif", ".tiff", ".png")


@dataclass(frozen=True)
class TrackJob(FileJob):
    """Objects of one stack, tracked from a label image or from prompts into a label stack.

    Attributes
    ----------
    masks, prompts
        A label image of the first frame, or a file of clicks and boxes; one of them. A folder stands for the
        file in it that has the stack's name.
    csv
        Where the table of measurements goes, if it is wanted.
    start, stop, reverse
        As for :meth:`AnnotationSession.propagate`.
    model, reading
        Which model, and how files are read.
    """

    masks: Path | None = None
    prompts: Path | None = None
    csv: Path | None = None
    start: int | None = None
    stop: int | None = None
    reverse: bool = False
    model: str = "nano"
    reading: Reading = field(default_factory=Reading)

    @property
    @override
    def inputs(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.source, self.masks, self.prompts) if path is not None)

    @property
    @override
    def outputs(self) -> tuple[Path, ...]:
        return (self.output,) if self.csv is None else (self.output, self.csv)

    def _starts(self) -> tuple[Path | None, Path | None]:
        """Return the files of masks and of prompts for this stack."""
        masks = beside(self.masks, self.source, _LABEL_SUFFIXES)
        return masks, beside(self.prompts, self.source, (".json",))

    @override
    def check(self) -> None:
        inputs, replacing = (self.source, *self._starts()), self.writing.overwrite
        check_output(self.output, suffixes=TIFF_SUFFIXES, inputs=inputs, overwrite=replacing)
        if self.csv is not None:
            check_output(self.csv, suffixes=CSV_SUFFIXES, inputs=inputs, overwrite=replacing)

    @override
    def run(self, host: JobHost) -> bool:
        self.check()
        masks, prompts = self._starts()
        with self.reading.open(self.source) as frames:
            window = self.reading.contrast
            session = AnnotationSession(frames, host.store, self.model, contrast=window, history=None)
            host.say(f"{self.source}: {frames.description}")
            if masks is not None:
                place_labels(session, self.start or 0, read_label_image(masks, session.shape))
            elif prompts is not None:
                place_prompts(session, read_prompts(prompts, session.shape, frames.length))
            stopped = self._write_tracked(session, host)
            host.say(f"{self.output}")
            if self.csv is not None:
                table = run_under_bar(host, measure.steps(session), len(session), "measuring")
                table.write_csv(self.csv, overwrite=True, bom=self.writing.bom)
        return stopped

    def _write_tracked(self, session: AnnotationSession, host: JobHost) -> bool:
        """Propagate into the output frame by frame; return whether the user stopped it.

        Raises
        ------
        NoSpaceError
            If the disk is full; the frames before are kept.
        """
        run = (None, self.start, self.stop, self.reverse)
        visits = session.frames_to_visit(*run)
        dtype = label_dtype(max(session.objects))
        shape = (len(session), *session.shape)
        axes = "ZYX" if session.frames.axis == "Z" else "TYX"
        full: OSError | None = None
        finished, total = 0, None if visits is None else len(visits)
        with LabelStackWriter.open(self.output, shape, dtype, axes) as stack, host.interruptible() as cancel:
            steps = session.iter_propagate(*run, cancel)
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
        host.say(f"{finished} of {total} frames, {counted(len(session.objects), 'object')}")
        if full is not None:
            host.say(f"{self.output}")
            raise InputError(
                f"{os_error_sentence(full, self.output).rstrip('.')}. "
                "The frames that were finished before are saved."
            )
        return finished != total and cancel.cancelled
