"""All export formats by name, as hosts offer them and the command line takes them."""

import warnings
from importlib.metadata import entry_points
from pathlib import Path

from sam2_engine.errors import InputError, InputWarning, OptionError
from sam2_plugins.export.cell_tracking import (
    not_for_the_challenge,
    write_cell_tracking_ground_truth,
    write_cell_tracking_result,
)
from sam2_plugins.export.coco import write_coco
from sam2_plugins.export.format import ExportFormat, ExportSteps, no_mask, no_object
from sam2_plugins.export.geff_graph import write_geff
from sam2_plugins.export.label_tiff import write_label_tiff
from sam2_plugins.export.ome_zarr_labels import write_ome_zarr_labels
from sam2_plugins.export.outlines.geojson import write_geojson
from sam2_plugins.export.outlines.imagej_rois import write_imagej_rois
from sam2_plugins.export.outlines.trackmate import no_spots, write_trackmate
from sam2_plugins.export.outlines.yolo import no_colors, write_yolo
from sam2_plugins.export.review_pages.pages import ReviewedTask, write_review_pages
from sam2_plugins.export.targets import ExportSummary, as_file_name
from sam2_plugins.export.training_folder import write_training_folder
from sam2_plugins.export.volumes.dicom_segmentation import not_of_a_series, write_dicom_segmentation
from sam2_plugins.export.volumes.label_volume import uneven
from sam2_plugins.export.volumes.meshes import no_solid, write_meshes
from sam2_plugins.export.volumes.nifti import write_nifti
from sam2_plugins.export.volumes.nrrd import write_nrrd
from sam2_plugins.export.youtube_vis import write_youtube_vis
from sam2_plugins.measure import measure
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.measure.volumes import measure_volumes, no_volume
from sam2_plugins.session.readable import ReadableSession

__all__ = ["FORMATS", "FORMAT_GROUP", "ExportFormat", "format_for", "write_table"]

FORMAT_GROUP = "sam2_plugins.formats"
"""Entry points by which other packages add formats: each is an ``ExportFormat``."""


def write_table(
    session: ReadableSession, path: str | Path, scale: PhysicalScale, overwrite: bool, bom: bool = False
) -> ExportSteps:
    """Measure a session and write the table as CSV, for Excel with a byte order mark."""
    table = yield from measure.steps(session, scale)
    table.write_csv(path, overwrite=overwrite, bom=bom)
    return ExportSummary(Path(path), len(set(table["frame"])), len(session.objects))


def _write_volumes(
    session: ReadableSession, path: str | Path, scale: PhysicalScale, overwrite: bool
) -> ExportSteps:
    """Measure the volumes of a session and write the table as CSV."""
    table = yield from measure_volumes.steps(session, scale)
    table.write_csv(path, overwrite=overwrite)
    return ExportSummary(Path(path), len(session.frames), len(table))


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
    ExportFormat(
        "nifti",
        "Label volume, NIfTI",
        ".nii.gz",
        False,
        lambda session, path, scale, over: write_nifti.steps(session, path, scale, overwrite=over),
        uneven,
        "medical",
        ("nibabel",),
        turns_back=True,
    ),
    ExportFormat(
        "nrrd",
        "Label volume, NRRD (opens in 3D Slicer)",
        ".seg.nrrd",
        False,
        lambda session, path, scale, over: write_nrrd.steps(session, path, scale, overwrite=over),
        uneven,
        turns_back=True,
    ),
    ExportFormat(
        "dicom-seg",
        "Segmentation of a DICOM series, DICOM-SEG",
        ".dcm",
        False,
        lambda session, path, _, over: write_dicom_segmentation.steps(session, path, overwrite=over),
        not_of_a_series,
        "medical",
        ("highdicom",),
        turns_back=True,
    ),
    ExportFormat("csv", "Measurements, CSV", ".csv", False, write_table, lambda session: None),
    ExportFormat("volumes", "Volumes and surfaces, CSV", ".volumes.csv", False, _write_volumes, no_volume),
    ExportFormat(
        "stl",
        "Meshes, a folder of STL",
        "",
        True,
        lambda session, path, scale, over: write_meshes.steps(session, path, scale, overwrite=over),
        no_solid,
        turns_back=True,
    ),
    ExportFormat(
        "ctc",
        "Cell Tracking Challenge, result (masks and res_track.txt)",
        "",
        True,
        lambda session, path, _, over: write_cell_tracking_result.steps(session, path, overwrite=over),
        not_for_the_challenge,
    ),
    ExportFormat(
        "ctc-truth",
        "Cell Tracking Challenge, ground truth (TRA and SEG)",
        "",
        True,
        lambda session, path, _, over: write_cell_tracking_ground_truth.steps(session, path, overwrite=over),
        not_for_the_challenge,
    ),
    ExportFormat(
        "coco",
        "COCO, run lengths",
        ".json",
        False,
        lambda session, path, _, over: write_coco.steps(session, path, overwrite=over),
        no_object,
    ),
    ExportFormat(
        "youtube-vis",
        "YouTube-VIS, run lengths by object",
        ".ytvis.json",
        False,
        lambda session, path, _, over: write_youtube_vis.steps(
            [(session.frames.name, session)], path, overwrite=over
        ),
        no_object,
    ),
    ExportFormat(
        "trackmate",
        "Tracks with outlines, TrackMate XML",
        ".xml",
        False,
        lambda session, path, scale, over: write_trackmate.steps(session, path, scale, overwrite=over),
        no_spots,
    ),
    ExportFormat(
        "imagej",
        "Regions for ImageJ's ROI Manager, zip",
        ".zip",
        False,
        lambda session, path, _, over: write_imagej_rois.steps(session, path, overwrite=over),
        no_mask,
        "imagej",
        ("roifile",),
    ),
    ExportFormat(
        "geojson",
        "Annotations for QuPath, GeoJSON",
        ".geojson",
        False,
        lambda session, path, _, over: write_geojson.steps(session, path, overwrite=over),
    ),
    ExportFormat(
        "yolo",
        "A folder for YOLO segmentation",
        "",
        True,
        lambda session, path, _, over: write_yolo.steps(session, path, overwrite=over),
        no_colors,
    ),
    ExportFormat(
        "geff",
        "Tracks, GEFF",
        ".geff",
        True,
        lambda session, path, scale, over: write_geff.steps(session, path, scale, overwrite=over),
        no_mask,
        "geff",
        ("geff",),
    ),
    ExportFormat(
        "training",
        "A folder for sam2 train",
        "",
        True,
        lambda session, path, _, over: write_training_folder.steps(session, path, overwrite=over),
    ),
    ExportFormat(
        "review",
        "Review pages for a browser, a folder",
        "",
        True,
        lambda session, path, _, over: write_review_pages.steps(
            [ReviewedTask(as_file_name(Path(session.frames.name).stem), session)], path, overwrite=over
        ),
    ),
)


def _formats() -> dict[str, ExportFormat]:
    """Return our own formats, then those of other packages, of which a broken one stops nobody."""
    formats = {one.name: one for one in _ALL}
    for point in entry_points(group=FORMAT_GROUP):
        try:
            added = point.load()
            if not isinstance(added, ExportFormat):
                raise TypeError(f"{point.value} is no ExportFormat")
            if added.name in formats:
                raise ValueError(f"there is a format {added.name!r} already")
        except Exception as error:
            package = point.dist.name if point.dist else point.value
            message = f"The export format {point.name!r} of {package} cannot be used: {error}."
            warnings.warn(message, InputWarning, stacklevel=2)
            continue
        formats[added.name] = added
    return formats


FORMATS = _formats()
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
    for one in sorted((one for one in FORMATS.values() if one.suffix), key=lambda one: -len(one.suffix)):
        if Path(path).name.lower().endswith((one.suffix, *_ALSO.get(one.suffix, ()))):
            return one
    raise OptionError(
        f"{path} does not tell its format; {{format}} names one of {', '.join(FORMATS)}.", format=None
    )


_ALSO = {
    ".tif": (".tiff",),
    ".ome.tif": (".ome.tiff",),
    ".zarr": (".ome.zarr",),
    ".nii.gz": (".nii",),
    ".seg.nrrd": (".nrrd",),
}
"""Other endings of the same format."""
