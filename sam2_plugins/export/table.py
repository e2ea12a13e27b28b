"""One row per object and frame, as CSV."""

import csv
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from sam2_plugins.runtime.atomic_files import replacing
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import AcceptedMask

__all__ = ["MaskRow", "mask_rows", "write_table"]


@dataclass(frozen=True)
class MaskRow:
    """One object on one frame, in pixels; fields without a meaning for an absent object are None.

    Attributes
    ----------
    frame, object_id, name
        Which mask.
    area
        Pixels.
    centroid_x, centroid_y
        Mean position of the pixels.
    x0, y0, x1, y1
        Inclusive box.
    origin
        ``tracked``, ``prompted`` or ``painted``.
    presence, predicted_iou, stability
        What the model said of the mask, 0..1.
    """

    frame: int
    object_id: int
    name: str
    area: int
    centroid_x: float | None
    centroid_y: float | None
    x0: int | None
    y0: int | None
    x1: int | None
    y1: int | None
    origin: str
    presence: float
    predicted_iou: float
    stability: float


def mask_rows(session: AnnotationSession) -> Iterator[MaskRow]:
    """Yield a row for every mask of a session, object by object, frame by frame."""
    for object_id, described in session.objects.items():
        for frame in session.frames_of(object_id):
            accepted = session.accepted(object_id, frame)
            if accepted is not None:
                yield _row(frame, object_id, described.name, accepted)


def write_table(path: Path, session: AnnotationSession) -> None:
    """Write the rows of a session as CSV (UTF-8, comma, one line of names first).

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind then.
    """
    with replacing(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(MaskRow)])
        for row in mask_rows(session):
            writer.writerow([f"{value:.4f}" if isinstance(value, float) else value for value in astuple(row)])


def _row(frame: int, object_id: int, name: str, accepted: AcceptedMask) -> MaskRow:
    rows, columns = accepted.mask.box
    inside_y, inside_x = np.nonzero(accepted.mask.crop())
    empty = accepted.mask.is_empty
    return MaskRow(
        frame=frame,
        object_id=object_id,
        name=name,
        area=len(inside_y),
        centroid_x=None if empty else float(inside_x.mean() + columns.start),
        centroid_y=None if empty else float(inside_y.mean() + rows.start),
        x0=None if empty else columns.start,
        y0=None if empty else rows.start,
        x1=None if empty else columns.stop - 1,
        y1=None if empty else rows.stop - 1,
        origin=accepted.origin.name.lower(),
        presence=accepted.scores.presence,
        predicted_iou=accepted.scores.predicted_iou,
        stability=accepted.scores.stability,
    )
