"""The job of exporting one session folder."""

from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource
from sam2_engine.wording import counted
from sam2_plugins.batch.job import FileJob, JobHost, run_under_bar
from sam2_plugins.export.formats import FORMATS, write_table
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.runtime.atomic_files import check_output, check_output_folder
from sam2_plugins.storage import read_manifest, read_session
from sam2_plugins.storage.manifest import scale_in

__all__ = ["ExportJob"]


@dataclass(frozen=True)
class ExportJob(FileJob):
    """One session, as a file or a folder of some format.

    Attributes
    ----------
    format_name
        One of ``FORMATS``.
    frames
        The session's frames, if they are no longer where they were.
    pixel_size, interval, plane_spacing
        Size and unit, instead of the session's.
    """

    format_name: str = "tiff"
    frames: Path | None = None
    pixel_size: tuple[float, str] | None = None
    interval: tuple[float, str] | None = None
    plane_spacing: tuple[float, str] | None = None

    @property
    @override
    def inputs(self) -> tuple[Path, ...]:
        return (self.source,) if self.frames is None else (self.source, self.frames)

    @override
    def check(self) -> None:
        if FORMATS[self.format_name].is_folder:
            check_output_folder(self.output, overwrite=self.writing.overwrite)
        else:
            suffixes = (self.output.suffix.lower(),)  # the format knows which ones it has
            check_output(self.output, suffixes=suffixes, inputs=self.inputs, overwrite=self.writing.overwrite)
        if missing := FORMATS[self.format_name].missing:
            raise InputError(missing)

    @override
    def run(self, host: JobHost) -> bool:
        self.check()
        annotated = read_session(self.source, host.store, self.frames)
        with annotated.frames:
            saved = scale_in(read_manifest(self.source), annotated.frames)
            scale = saved.given(self.pixel_size, self.interval, self.plane_spacing, annotated.frames)
            if self._guesses_planes(annotated.frames, scale):
                host.note(
                    f"Note: {self.source} does not say how far its planes are apart; 1 {scale.unit} is taken "
                    "for it, and --plane-spacing says better."
                )
            if self.writing.bom:
                steps = write_table(annotated, self.output, scale, self.writing.overwrite, bom=True)
            else:
                steps = FORMATS[self.format_name].steps(annotated, self.output, scale, self.writing.overwrite)
            summary = run_under_bar(host, steps, len(annotated), "exporting")
        for sentence in summary.changes:
            host.note(f"Note: {sentence}")
        frames, objects = counted(summary.frames, "frame"), counted(summary.objects, "object")
        host.say(f"{summary.path}: {frames}, {objects}")
        return False

    def _guesses_planes(self, frames: FrameSource, scale: PhysicalScale) -> bool:
        """Whether nothing says how far the planes of a volume are apart, whose pixels have a size."""
        said = "Z" in frames.spacing or self.plane_spacing is not None or scale.plane_spacing != 1
        return frames.axis == "Z" and scale.is_physical and not said
