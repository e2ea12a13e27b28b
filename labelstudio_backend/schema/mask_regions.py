"""A mask as a region of Label Studio, in the form that the configuration takes."""

import base64
import io
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelstudio_backend.schema.brush_rle import encode_brush_rle
from labelstudio_backend.schema.contours import fit_ellipse, large_parts, outline
from labelstudio_backend.schema.labeling_config import ControlTag
from labelstudio_backend.schema.regions import Region, object_bounds, rectangle_from_box

__all__ = ["mask_regions"]


def mask_regions(
    mask: NDArray[np.bool_], control: ControlTag, name: str | None, score: float, tolerance: float
) -> list[Region]:
    """Return a mask as regions of a control.

    Parameters
    ----------
    mask
        (H, W), not empty.
    control
        Its ``form`` decides: a brush, a bitmask, a rectangle or an ellipse is one region. A polygon cannot
        have holes or several parts: each part is a region, and a note on it (``meta``) says so.
    name
        The label, or None for a region without.
    score
        The model's confidence, 0 to 1.
    tolerance
        Pixels by which a polygon's outline may be off.
    """
    regions = []
    for value, note in _values(mask, control.form, tolerance):
        regions += _labeled(value, note, mask.shape, control, name, score)
    return regions


def _values(
    mask: NDArray[np.bool_], form: str | None, tolerance: float
) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Yield the ``value`` of each region that a mask becomes, and a note for people."""
    if form == "brush":
        yield {"format": "rle", "rle": encode_brush_rle(mask)}, None
    elif form == "bitmask":
        yield {"imageDataURL": _data_url(mask)}, None
    elif form == "polygon":
        yield from _polygons(mask, tolerance)
    elif form == "ellipse":
        yield _ellipse(mask), None
    elif (bounds := object_bounds(mask)) is not None:
        yield {**rectangle_from_box(bounds, mask.shape), "rotation": 0}, None


def _labeled(
    value: dict[str, Any],
    note: str | None,
    shape: tuple[int, ...],
    control: ControlTag,
    name: str | None,
    score: float,
) -> list[Region]:
    """Return one region; of a control without labels also the result that names it, under the same id."""
    height, width = shape
    common: Region = {
        "id": uuid.uuid4().hex[:10],
        "to_name": control.to_name,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": score,
        **({"meta": {"text": [note]}} if note else {}),
    }
    kind = control.kind.lower()
    named = {kind: [name]} if name is not None and kind.endswith("labels") else {}
    regions = [{**common, "from_name": control.name, "type": kind, "value": {**value, **named}}]
    if name is not None and control.labeled_by is not None:
        labels = {**value, "labels": [name]}
        regions.append({**common, "from_name": control.labeled_by, "type": "labels", "value": labels})
    return regions


def _data_url(mask: NDArray[np.bool_]) -> str:
    """Return a PNG as large as the image, opaque inside the mask, as a data URL."""
    from PIL import Image

    picture = io.BytesIO()
    alpha = np.where(mask, np.uint8(255), np.uint8(0))
    Image.fromarray(np.stack([np.zeros_like(alpha), alpha], axis=2), "LA").save(picture, "PNG")
    return "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode("ascii")


def _polygons(mask: NDArray[np.bool_], tolerance: float) -> Iterator[tuple[dict[str, Any], str | None]]:
    height, width = mask.shape
    parts = large_parts(mask)
    for number, (corner, part) in enumerate(parts, start=1):
        polygon = outline(corner, part, tolerance)
        notes = []
        if len(parts) > 1:
            notes.append(f"Part {number} of {len(parts)} of one object.")
        if polygon.holes:
            count = "A hole" if polygon.holes == 1 else f"{polygon.holes} holes"
            notes.append(f"{count} of {polygon.hole_pixels} pixels cannot be shown in a polygon.")
        points = (polygon.corners * (100 / width, 100 / height)).tolist()
        yield {"points": points, "closed": True}, " ".join(notes) or None


def _ellipse(mask: NDArray[np.bool_]) -> dict[str, float]:
    height, width = mask.shape
    whole = np.zeros_like(mask)
    for (x, y), part in large_parts(mask):
        whole[y : y + part.shape[0], x : x + part.shape[1]] |= part
    ellipse = fit_ellipse(whole)
    return {
        "x": 100 * ellipse.center[0] / width,
        "y": 100 * ellipse.center[1] / height,
        "radiusX": 100 * ellipse.radii[0] / width,
        "radiusY": 100 * ellipse.radii[1] / height,
        "rotation": ellipse.angle,
    }
