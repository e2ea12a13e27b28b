"""Export formats as values: a name, a writer, and the reason why a session cannot be written."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path

from sam2_engine.errors import InputError
from sam2_plugins.export.targets import ExportSummary, NothingToExportError
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.runtime.extras import is_installed
from sam2_plugins.session.readable import ReadableSession, run_to_end

__all__ = ["ExportFormat", "ExportSteps", "Obstacle", "Writer", "no_mask", "no_object", "planes_in"]

ExportSteps = Generator[int, None, ExportSummary]
"""Yields after every frame and returns what was written."""

Writer = Callable[[ReadableSession, str | Path, PhysicalScale, bool], ExportSteps]
"""Called with the session, the path, the physical scale, and whether an earlier export may be replaced; an
unfinished export leaves nothing behind."""

Obstacle = Callable[[ReadableSession], str | None]
"""Returns in a sentence why a session cannot be written, None if it can; it reads no mask and no pixel."""


def no_object(session: ReadableSession) -> str | None:
    """Say if there is no object, or the end of its stack is not known yet."""
    if not session.objects:
        return str(NothingToExportError())
    if session.frames.length is None:
        return f"{session.frames.name} is a live stream, whose length is unknown until it ends."
    return None


def no_mask(session: ReadableSession) -> str | None:
    """Say if no object has a mask, or the end of the stack is not known yet."""
    if any(session.frames_of(object_id) for object_id in session.objects):
        return no_object(session)
    return str(NothingToExportError())


def planes_in(session: ReadableSession, what: str) -> str | None:
    """Say if the frames are planes of a volume, but ``what`` ("a track is") of a time-lapse."""
    if session.frames.axis != "Z":
        return None
    return (
        f"The frames of {session.frames.name} are planes of a volume, but {what} of a time-lapse; export a "
        "TIFF or an OME-Zarr instead."
    )


@dataclass(frozen=True)
class ExportFormat:
    """One format.

    Attributes
    ----------
    name
        For scripts, for example ``ctc``.
    title
        For people.
    suffix
        Ending of the file's or folder's name; empty for a folder of any name.
    is_folder
        Whether it is a folder.
    writer
        Writes a session, frame by frame.
    obstacle
        Says why a session cannot be written.
    extra
        The extra of sam2-plugins that it needs, if any.
    modules
        What that extra brings, as it is imported.
    turns_back
        Whether a volume that was cut along another of its axes is written in those of its file; of all other
        formats it is said that they are not.

    Examples
    --------
    >>> from sam2_plugins.export.formats import FORMATS
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from sam2_plugins.runtime.model_store import ModelStore
    >>> from sam2_plugins.session.annotation_session import AnnotationSession
    >>> session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore("cpu"), axes="TYX")
    >>> FORMATS["tiff"].why_not(session)
    'No object has a mask here, so there is nothing to export.'
    >>> session.import_masks(0, {1: np.ones((40, 60), bool)})
    >>> with TemporaryDirectory() as folder:
    ...     summary = FORMATS["csv"].write(session, f"{folder}/cells.csv")
    >>> summary.frames, summary.objects
    (1, 1)
    """

    name: str
    title: str
    suffix: str
    is_folder: bool
    writer: Writer
    obstacle: Obstacle = no_mask
    extra: str = ""
    modules: tuple[str, ...] = ()
    turns_back: bool = False

    @property
    def missing(self) -> str | None:
        """In a sentence, which package is missing that this format needs; None if it is there."""
        if is_installed(*self.modules):
            return None
        needed = f"sam2-plugins[{self.extra}]" if self.extra else " ".join(self.modules)
        return f'{self.title} needs an extra package; install it with `pip install "{needed}"`.'

    def why_not(self, session: ReadableSession) -> str | None:
        """Return in a sentence why a session cannot be written in this format; None if it can.

        A host asks it before it asks for a path. It costs next to nothing.
        """
        return self.missing or self.obstacle(session)

    def steps(
        self, session: ReadableSession, path: str | Path, scale: PhysicalScale, overwrite: bool
    ) -> ExportSteps:
        """Write a session to a path, yielding after every frame; return what was written.

        Raises
        ------
        InputError
            If it cannot be written in this format or there, or the path exists and may not be overwritten.
        """
        if reason := self.why_not(session):
            raise InputError(reason)
        summary = yield from self.writer(session, path, scale, overwrite)
        if session.frames.volume_order == "XYZ" or self.turns_back:
            return summary
        order = zip("XYZ", session.frames.volume_order)
        was = ", ".join(f"{cut} is {axis} of the file" for axis, cut in order)
        said = f"The volume was cut across, and this is in the axes of the cut: {was}."
        return replace(summary, changes=(*summary.changes, said))

    def write(
        self,
        session: ReadableSession,
        path: str | Path,
        scale: PhysicalScale | None = None,
        overwrite: bool = False,
    ) -> ExportSummary:
        """Write a session to a path, and return what was written.

        Raises
        ------
        InputError
            As ``steps``.
        """
        return run_to_end(self.steps(session, path, scale or PhysicalScale.of(session.frames), overwrite))
