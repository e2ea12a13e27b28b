"""All export formats by name, as hosts offer them and the command line takes them."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from sam2_engine.errors import InputError, OptionError
from sam2_plugins.export.cell_tracking import write_cell_tracking_ground_truth, write_cell_tracking_result
from sam2_plugins.export.coco import write_coco
from sam2_plugins.export.geff_graph import write_geff
from sam2_plugins.export.label_tiff import write_label_tiff
from sam2_plugins.export.ome_zarr_labels import write_ome_zarr_labels
from sam2_plugins.export.targets import ExportSummary
from sam2_plugins.export.training_folder import write_training_folder
from sam2_plugins.export.youtube_vis import write_youtube_vis
from sam2_plugins.measure import measure
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.session.readable import ReadableSession, run_to_end

__all__ = ["FORMATS", "ExportFormat", "format_for", "write_table"]

ExportSteps = Generator[int, None, ExportSummary]


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
    steps
        Called with the session, the path, the physical scale and whether an earlier export may be replaced;
        yields after every frame, for a host; an unfinished export leaves nothing behind.

    Examples
    --------
    >>> list(FORMATS)
    ['tiff', 'ome-tiff', 'ome-zarr', 'csv', 'ctc', 'ctc-truth', 'coco', 'youtube-vis', 'geff', 'training']
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from sam2_plugins.runtime.model_store import ModelStore
    >>> from sam2_plugins.session.annotation_session import AnnotationSession
    >>> session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore("cpu"), axes="TYX")
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
    steps: Callable[[ReadableSession, str | Path, PhysicalScale, bool], ExportSteps]

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
            If the path exists, unless it may be overwritten, or cannot be written.
        """
        return run_to_end(self.steps(session, path, scale or PhysicalScale.of(session.frames), overwrite))


def write_table(
    session: ReadableSession, path: str | Path, scale: PhysicalScale, overwrite: bool, bom: bool = False
) -> ExportSteps:
    """Measure a session and write the table as CSV, for Excel with a byte order mark."""
    table = yield from measure.steps(session, scale)
    table.write_csv(path, overwrite=overwrite, bom=bom)
    return ExportSummary(Path(path), len(set(table["frame"])), len(session.objects))


_ALL = (
    ExportFormat(
        "tiff",
        "Label images, TIFF (opens in ImageJ)",
        ".tif",
        False,
        lambda session, path, scale, over: write_label_tiff.steps(session, path, scale, overwrite=over),
    ),
    ExportFormat(
        "ome-tiff",
        "Label images, OME-TIFF",
        ".ome.tif",
        False,
        lambda session, path, scale, over: write_label_tiff.steps(session, path, scale, overwrite=over),
    ),
    ExportFormat(
        "ome-zarr",
        "Label images, OME-Zarr",
        ".zarr",
        True,
        lambda session, path, scale, over: write_ome_zarr_labels.steps(session, path, scale, overwrite=over),
    ),
    ExportFormat("csv", "Measurements, CSV", ".csv", False, write_table),
    ExportFormat(
        "ctc",
        "Cell Tracking Challenge, result (masks and res_track.txt)",
        "",
        True,
        lambda session, path, _, over: write_cell_tracking_result.steps(session, path, overwrite=over),
    ),
    ExportFormat(
        "ctc-truth",
        "Cell Tracking Challenge, ground truth (TRA and SEG)",
        "",
        True,
        lambda session, path, _, over: write_cell_tracking_ground_truth.steps(session, path, overwrite=over),
    ),
    ExportFormat(
        "coco",
        "COCO, run lengths",
        ".json",
        False,
        lambda session, path, _, over: write_coco.steps(session, path, overwrite=over),
    ),
    ExportFormat(
        "youtube-vis",
        "YouTube-VIS, run lengths by object",
        ".ytvis.json",
        False,
        lambda session, path, _, over: write_youtube_vis.steps(
            [(session.frames.name, session)], path, overwrite=over
        ),
    ),
    ExportFormat(
        "geff",
        "Tracks, GEFF",
        ".geff",
        True,
        lambda session, path, scale, over: write_geff.steps(session, path, scale, overwrite=over),
    ),
    ExportFormat(
        "training",
        "A folder for sam2 train",
        "",
        True,
        lambda session, path, _, over: write_training_folder.steps(session, path, overwrite=over),
    ),
)

FORMATS = {one.name: one for one in _ALL}
"""By name, in the order in which a host should offer them."""


def format_for(path: str | Path, name: str | None = None) -> ExportFormat:
    """Return a format by its name, or without one by a path's ending.

    Raises
    ------
    InputError
        If there is no such format, or the ending does not tell.

    Examples
    --------
    >>> format_for("cells.ome.tif").name, format_for("01_RES", "ctc").name
    ('ome-tiff', 'ctc')
    """
    if name:
        if name not in FORMATS:
            raise InputError(f"There is no format {name!r}; the known ones are: {', '.join(FORMATS)}.")
        return FORMATS[name]
    for one in sorted((one for one in _ALL if one.suffix), key=lambda one: -len(one.suffix)):
        if Path(path).name.lower().endswith((one.suffix, *_ALSO.get(one.suffix, ()))):
            return one
    raise OptionError(
        f"{path} does not tell its format; {{format}} names one of {', '.join(FORMATS)}.", format=None
    )


_ALSO = {".tif": (".tiff",), ".ome.tif": (".ome.tiff",), ".zarr": (".ome.zarr",)}
"""Other endings of the same format."""
