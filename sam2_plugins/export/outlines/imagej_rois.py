"""ImageJ's ROI Manager: a zip of regions, one for every object and frame, by the package roifile."""

import zipfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from sam2_engine.errors import InputError
from sam2_engine.wording import counted
from sam2_plugins.export.outlines.polygons import Polygon, polygons_of
from sam2_plugins.export.targets import ExportSummary, NothingToExportError, as_file_name, source_of
from sam2_plugins.runtime.atomic_files import new_file
from sam2_plugins.session.annotations import AnnotatedObject
from sam2_plugins.session.readable import LongWork, ReadableSession, known_by_frame

__all__ = ["write_imagej_rois"]

_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0
"""Steps of the path of a region with holes or several parts, as Java's PathIterator counts them."""


@LongWork
def write_imagej_rois(
    session: ReadableSession, path: str | Path, *, overwrite: bool = False
) -> Generator[int, None, ExportSummary]:
    """Write every mask as a region along the edges of its pixels, whole even where others overlap it.

    A region has the object's name and color, its frame or plane as ImageJ's position, and the object's id,
    class and parents as properties. One with holes or several parts is a composite, as ImageJ makes them.

    Yields
    ------
    int
        Each annotated frame, once it is written.

    Raises
    ------
    InputError
        If there is nothing to write, roifile is not installed, or it cannot be written there.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sam2_plugins.runtime.model_store import ModelStore
    >>> from sam2_plugins.session.annotation_session import AnnotationSession
    >>> session = AnnotationSession(np.zeros((2, 40, 60), np.uint8), ModelStore("cpu"), axes="TYX")
    >>> for frame in range(2):
    ...     session.import_masks(frame, {1: np.ones((40, 60), bool)})
    >>> with TemporaryDirectory() as folder:
    ...     summary = write_imagej_rois(session, Path(folder) / "rois.zip")
    ...     zipfile.ZipFile(summary.path).namelist()
    ['0001-0001-object 1.roi', '0002-0001-object 1.roi']
    """
    path, written = Path(path), 0
    try:
        import roifile
    except ImportError:
        raise InputError(
            'ImageJ regions need roifile; install it with `pip install "sam2-plugins[imagej]"`.'
        ) from None
    frames = known_by_frame(session)
    with (
        new_file(path, suffixes=(".zip",), inputs=source_of(session), overwrite=overwrite) as aside,
        zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for frame, object_ids in frames.items():
            for object_id in object_ids:
                accepted = session.accepted(object_id, frame)
                if accepted is None or accepted.mask.is_empty:
                    continue
                described = session.objects[object_id]
                region = _region(roifile, described, polygons_of(accepted.mask))
                region.position = frame + 1
                setattr(region, "z_position" if session.frames.axis == "Z" else "t_position", frame + 1)
                archive.writestr(_entry(frame, described), region.tobytes())
                written += 1
            yield frame
        if not written:
            raise NothingToExportError
    return ExportSummary(path, len(frames), len(session.objects), _renamed(session))


def _renamed(session: ReadableSession) -> tuple[str, ...]:
    """Return a sentence on names and classes that are not written as they are."""
    said = [(one.name, one.label or "") for one in session.objects.values()]
    changed = sum(any(_java_text(words) != words for words in both) for both in said)
    if not changed:
        return ()
    return (
        f"Names or classes of {counted(changed, 'object')} have signs that regions of ImageJ cannot hold; "
        "they were replaced.",
    )


def _region(roifile: Any, described: AnnotatedObject, polygons: list[Polygon]) -> Any:
    if len(polygons) == 1 and not polygons[0].holes:
        region = roifile.ImagejRoi.frompoints(polygons[0].exterior)
        region.roitype = roifile.ROI_TYPE.TRACED
    else:
        region = _composite(roifile, polygons)
    region.name = _java_text(described.name)
    region.stroke_color = bytes((255, *described.color))
    said = {
        "object_id": str(described.id),
        "class": _java_text(described.label or ""),
        "parents": " ".join(map(str, described.parents)),
    }
    region.props = "".join(f"{key}: {value}\n" for key, value in said.items() if value)
    return region


def _java_text(words: str) -> str:
    """Return a text as a region holds it: on one line, of signs that are one each in Java."""
    return "".join(" " if ord(sign) < 32 else sign if ord(sign) < 0x10000 else "\ufffd" for sign in words)


def _composite(roifile: Any, polygons: list[Polygon]) -> Any:
    """Return a region of several rings, of which holes go round the other way."""
    steps: list[float] = []
    for ring in (ring for one in polygons for ring in (one.exterior, *one.holes)):
        for number, corner in enumerate(ring.tolist()):
            steps += [_LINE if number else _MOVE, *corner]
        steps.append(_CLOSE)
    region = roifile.ImagejRoi()
    region.roitype = roifile.ROI_TYPE.RECT
    corners = np.concatenate([one.exterior for one in polygons])
    region.left, region.top = corners.min(axis=0).tolist()
    region.right, region.bottom = corners.max(axis=0).tolist()
    region.multi_coordinates = np.array(steps, np.float32)
    region.shape_roi_size = len(steps)
    return region


def _entry(frame: int, described: AnnotatedObject) -> str:
    """Return a region's name in the zip, by which the ROI Manager lists it."""
    return f"{frame + 1:04}-{described.id:04}-{as_file_name(described.name)}.roi"
