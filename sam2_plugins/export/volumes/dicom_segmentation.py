"""DICOM-SEG: a binary segmentation that refers to the series it is of, by the package highdicom."""

from collections.abc import Generator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames.libraries import quiet
from sam2_engine.frames.source import explain
from sam2_engine.limits import check_memory
from sam2_plugins.export.format import no_mask
from sam2_plugins.export.losses import not_held
from sam2_plugins.export.targets import ExportSummary, NothingToExportError, source_of
from sam2_plugins.runtime.atomic_files import new_file
from sam2_plugins.session.annotations import AnnotatedObject
from sam2_plugins.session.readable import LongWork, ReadableSession, known_by_frame

__all__ = ["not_of_a_series", "write_dicom_segmentation"]

_SERIES_NUMBER = 300
"""Of the segmentation, where viewers list what was made of a study after what was acquired."""


def not_of_a_series(session: ReadableSession) -> str | None:
    """Say why there is no series of planes that a segmentation can refer to; None if there is."""
    frames = session.frames
    if not frames.instances:
        return (
            f"DICOM-SEG refers to DICOM images, and the frames of {frames.name} are none; export NIfTI, NRRD "
            "or a TIFF instead."
        )
    if frames.axis != "Z" and len(frames) > 1:
        return (
            f"DICOM-SEG is written of planes in space, but the frames of {frames.name} are times; export a "
            "TIFF or an OME-Zarr instead."
        )
    return no_mask(session)


@LongWork
def write_dicom_segmentation(
    session: ReadableSession, path: str | Path, *, overwrite: bool = False
) -> Generator[int, None, ExportSummary]:
    """Write every object as a segment, whole even where others overlap it, in its series' frame of reference.

    Patient, study, positions and directions are those of the series, whose images every frame refers to.
    Segments count from 1; an object's id is its tracking identifier, its name the label of the segment, its
    class the description.

    Yields
    ------
    int
        Each annotated frame, once its masks are collected.

    Raises
    ------
    InputError
        If there is nothing to write, highdicom is not installed, the series lacks what a segmentation refers
        to, the masks do not fit the memory, or it cannot be written there.
    """
    path = Path(path)
    if reason := not_of_a_series(session):
        raise InputError(reason)
    try:
        import highdicom
        import pydicom
    except ImportError:
        raise InputError(
            'DICOM-SEG needs highdicom; install it with `pip install "sam2-plugins[medical]"`.'
        ) from None
    shown = [one for one in session.objects.values() if _frames_of(session, one.id)]
    if not shown:
        raise NothingToExportError
    with new_file(path, suffixes=(".dcm",), inputs=source_of(session), overwrite=overwrite) as aside:
        sources, places = _sources(session, pydicom)
        pixels = yield from _pixels(session, shown, places)
        try:
            with quiet():
                segmentation = _segmentation(highdicom, sources, pixels, shown)
                segmentation.save_as(aside, enforce_file_format=True)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{session.frames.name} lacks what a DICOM-SEG refers to ({explain(error)}); export NIfTI, "
                "NRRD or a TIFF instead."
            ) from error
    changes = list(not_held(session, "DICOM-SEG", "parents"))
    numbered = [f"{one.id} is {number}" for number, one in enumerate(shown, 1) if one.id != number]
    if numbered:
        changes.append(f"Segments count from 1: of the objects {', '.join(numbered)}.")
    return ExportSummary(path, len(known_by_frame(session)), len(shown), tuple(changes))


def _frames_of(session: ReadableSession, object_id: int) -> list[int]:
    """Return the frames on which an object is visible."""
    known = ((frame, session.accepted(object_id, frame)) for frame in session.frames_of(object_id))
    return [frame for frame, accepted in known if accepted is not None and not accepted.mask.is_empty]


def _sources(session: ReadableSession, pydicom: Any) -> tuple[list[Any], dict[int, int]]:
    """Return the images that are referred to, without pixels, and by frame its place among them."""
    frames = session.frames
    visible = sorted({frame for one in session.objects for frame in _frames_of(session, one)})
    origins = {frame: frames.instances[frame] for frame in visible}
    files = list(dict.fromkeys(origin[0] for origin in origins.values() if origin is not None))
    with quiet():
        headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
    if all(int(header.get("NumberOfFrames") or 1) == 1 for header in headers):
        return headers, {frame: place for place, frame in enumerate(visible)}
    if len(headers) > 1:
        raise InputError(
            f"{frames.name} is of {len(headers)} multi-frame files, and a DICOM-SEG refers to one; export "
            "NIfTI or NRRD instead."
        )
    return headers, {frame: origin[1] for frame, origin in origins.items() if origin is not None}


def _pixels(
    session: ReadableSession, shown: list[AnnotatedObject], places: dict[int, int]
) -> Generator[int, None, NDArray[Any]]:
    """Return the numbers of segments as (F, H, W), or where they overlap each segment, (F, H, W, S)."""
    shape = (max(places.values()) + 1, *session.frames.shape)
    check_memory(session.frames.name, shape, 2 * int(np.prod(shape, dtype=np.int64)))
    labels = np.zeros(shape, np.uint16)
    overlap = False
    for frame, place in places.items():
        for number, one in enumerate(shown, start=1):
            accepted = session.accepted(one.id, frame)
            if accepted is not None:
                crop = labels[place][accepted.mask.box]
                inside = accepted.mask.crop()
                overlap = overlap or bool(crop[inside].any())
                crop[inside] = number
        yield frame
    if not overlap:
        return labels
    whole = (*shape, len(shown))
    check_memory(session.frames.name, whole, int(np.prod(whole, dtype=np.int64)))
    segments = np.zeros(whole, np.uint8)
    for frame, place in places.items():
        for number, one in enumerate(shown):
            accepted = session.accepted(one.id, frame)
            if accepted is not None:
                segments[(place, *accepted.mask.box, number)] = accepted.mask.crop()
    return segments


def _segmentation(
    highdicom: Any, sources: list[Any], pixels: NDArray[Any], shown: list[AnnotatedObject]
) -> Any:
    program = f"sam2-plugins {version('sam2-plugins')}"
    count = int(sources[0].get("NumberOfFrames") or 1)
    if count > len(pixels) and len(sources) == 1:
        pixels = np.concatenate([pixels, np.zeros((count - len(pixels), *pixels.shape[1:]), pixels.dtype)])
    segmentation = highdicom.seg.Segmentation(
        source_images=sources,
        pixel_array=pixels,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(highdicom, number, one) for number, one in enumerate(shown, start=1)
        ],
        series_instance_uid=highdicom.UID(),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="sam2-plugins",
        manufacturer_model_name="sam2-plugins",
        software_versions=program,
        device_serial_number="none",
        content_label="SEGMENTATION",
    )
    segmentation.SeriesDescription = "Segmentation"
    for item, one in zip(segmentation.SegmentSequence, shown):
        if one.label:
            item.SegmentDescription = one.label
    if not all(one.name.isascii() and (one.label or "").isascii() for one in shown):
        segmentation.SpecificCharacterSet = "ISO_IR 192"  # UTF-8
    return segmentation


def _description(highdicom: Any, number: int, one: AnnotatedObject) -> Any:
    from pydicom.sr.codedict import codes

    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="SAM 2", version=version("sam2-plugins"), family=codes.cid7162.ArtificialIntelligence
    )
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=one.name[:64],
        segmented_property_category=codes.SCT.Tissue,
        segmented_property_type=codes.SCT.Tissue,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=highdicom.UID(),
        tracking_id=str(one.id),
        display_color=highdicom.color.CIELabColor.from_rgb(*one.color),
    )
