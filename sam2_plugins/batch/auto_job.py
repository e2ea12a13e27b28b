"""The job of segmenting everything on one image."""

from dataclasses import dataclass, field
from pathlib import Path

from typing_extensions import override

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource
from sam2_engine.weights.pixel_rules import window_of
from sam2_engine.wording import counted
from sam2_plugins.batch.job import FileJob, JobHost, Reading, run_under_bar
from sam2_plugins.export.label_tiff import TIFF_SUFFIXES, write_label_image
from sam2_plugins.measure import PhysicalScale, measure
from sam2_plugins.measure.objects import Column, MeasurementTable
from sam2_plugins.runtime.atomic_files import check_output
from sam2_plugins.runtime.csv_files import CSV_SUFFIXES
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.automatic_segmentation import (
    AutomaticSettings,
    FoundObject,
    find_objects,
    number_objects,
)

__all__ = ["AutoJob"]


@dataclass(frozen=True)
class AutoJob(FileJob):
    """Every object of one image, found without a prompt, into a label image.

    Attributes
    ----------
    settings
        What to look for.
    model, reading
        Which model, and how the file is read.
    csv
        Where the table of measurements goes, if it is wanted.
    """

    settings: AutomaticSettings = field(default_factory=AutomaticSettings)
    model: str = "nano"
    reading: Reading = field(default_factory=Reading)
    csv: Path | None = None

    @property
    @override
    def outputs(self) -> tuple[Path, ...]:
        return (self.output,) if self.csv is None else (self.output, self.csv)

    @override
    def check(self) -> None:
        replacing = self.writing.overwrite
        check_output(self.output, suffixes=TIFF_SUFFIXES, inputs=self.inputs, overwrite=replacing)
        if self.csv is not None:
            check_output(self.csv, suffixes=CSV_SUFFIXES, inputs=self.inputs, overwrite=replacing)

    @override
    def run(self, host: JobHost) -> bool:
        self.check()
        with self.reading.open(self.source, single=True) as frames:
            if len(frames) != 1:
                raise InputError(
                    f"{self.source} is a stack ({frames.description}); `sam2 auto` takes a single image."
                )
            if frames.note:
                host.note(f"Note: {self.source.name}: {frames.note}.")
            window = window_of(frames, self.reading.contrast, host.store.intensities(self.model))
            search = find_objects.steps(host.store, self.model, frames[0], window, self.settings)
            found: list[FoundObject]
            with host.counting("clicks") as on_progress:
                while True:
                    try:
                        on_progress(*next(search))
                    except StopIteration as end:
                        found = end.value
                        break
            labels = number_objects(frames.shape, found)
            write_label_image(self.output, labels, PhysicalScale.of(frames))
            if self.csv is not None:
                self._write_table(self.csv, frames, host, found)
        if not found:
            host.note("Nothing was found; lower --confidence, or use more --points-per-side.")
        host.say(counted(len(found), "object"))
        host.say(f"{self.output}")
        return False

    def _write_table(self, path: Path, frames: FrameSource, host: JobHost, found: list[FoundObject]) -> None:
        """Write what is measured of the objects, and how sure the model is of each."""
        session = AnnotationSession(frames, host.store, self.model, contrast=self.reading.contrast)
        session.import_masks(0, {number: one.mask for number, one in enumerate(found, start=1)})
        measured = run_under_bar(host, measure.steps(session), 1, "measuring")
        score = Column("score", "", tuple(one.score for one in found))
        table = MeasurementTable((*measured.columns, score))
        table.write_csv(path, overwrite=True, bom=self.writing.bom)
