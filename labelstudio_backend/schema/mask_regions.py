"""Regions of Label Studio for a mask, in the form of a control tag."""

import base64
import io
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelstudio_backend.schema.brush_rle import encode_brush_rle
from labelstudio_backend.schema.contours import component_polygon, fit_ellipse, large_components
from labelstudio_backend.schema.labeling_config import ControlTag
from labelstudio_backend.schema.regions import Region, object_bounds, rectangle_from_box

__all__ = ["mask_regions"]


def mask_regions(
    mask: NDArray[np.bool_], control: ControlTag, labels: Sequence[str], score: float, tolerance: float
) -> list[Region]:
    """Return a mask as regions of a control tag.

    Parameters
    ----------
    mask
        (H, W), not empty.
    control
        Its ``form`` decides: a brush, a bitmask, a rectangle or an ellipse is one region. A polygon or a
        vector cannot have holes or several components: each component is a region, and a message on it
        (``meta``) says so.
    labels
        The labels; none for a region without.
    score
        The model's confidence, 0 to 1.
    tolerance
        Pixels by which a polygon may be off.
    """
    regions = []
    for value, message in _values(mask, control.form, tolerance):
        regions += _region_results(value, message, mask.shape, control, labels, score)
    return regions


def _values(
    mask: NDArray[np.bool_], form: str | None, tolerance: float
) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Yield the ``value`` of each region that a mask becomes, and a message for people."""
    if form == "brush":
        yield {"format": "rle", "rle": encode_brush_rle(mask)}, None
    elif form == "bitmask":
        yield {"imageDataURL": _data_url(mask)}, None
    elif form == "polygon":
        yield from _polygons(mask, tolerance)
    elif form == "vector":
        for value, message in _polygons(mask, tolerance):
            yield {"vertices": _vertices(value["points"]), "closed": True}, message
    elif form == "ellipse":
        yield _ellipse(mask), None
    elif (bounds := object_bounds(mask)) is not None:
        yield {**rectangle_from_box(bounds, mask.shape), "rotation": 0}, None


def _region_results(
    value: dict[str, Any],
    message: str | None,
    shape: tuple[int, ...],
    control: ControlTag,
    labels: Sequence[str],
    score: float,
) -> list[Region]:
    """Return one region; of a control tag without labels also its ``labels`` result, under the same id."""
    height, width = shape
    common: Region = {
        "id": uuid.uuid4().hex[:10],
        "to_name": control.to_name,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": score,
        **({"meta": {"text": [message]}} if message else {}),
    }
    kind = control.kind.lower()
    label_value = {kind: list(labels)} if labels and kind.endswith("labels") else {}
    regions = [{**common, "from_name": control.name, "type": kind, "value": {**value, **label_value}}]
    if labels and control.labeled_by is not None:
        named = {**value, "labels": list(labels)}
        regions.append({**common, "from_name": control.labeled_by, "type": "labels", "value": named})
    return regions


def _data_url(mask: NDArray[np.bool_]) -> str:
    """Return a PNG as large as the image, opaque inside the mask, as a data URL.

    One bit a pixel, of a palette of two blacks, one of them transparent: written in a tenth of the time.
    """
    from PIL import Image

    png = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(mask).view(np.uint8), "P")
    image.putpalette([0, 0, 0, 0, 0, 0])
    image.save(png, "PNG", bits=1, transparency=bytes([0, 255]))
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode("ascii")


def _polygons(mask: NDArray[np.bool_], tolerance: float) -> Iterator[tuple[dict[str, Any], str | None]]:
    height, width = mask.shape
    components = large_components(mask)
    for number, (corner, component) in enumerate(components, start=1):
        polygon = component_polygon(corner, component, tolerance)
        messages = []
        if len(components) > 1:
            messages.append(f"Part {number} of {len(components)} of one object.")
        if polygon.holes:
            count = "A hole" if polygon.holes == 1 else f"{polygon.holes} holes"
            messages.append(f"{count} of {polygon.hole_pixels} pixels cannot be shown in a polygon.")
        points = (polygon.vertices * (100 / width, 100 / height)).tolist()
        yield {"points": points, "closed": True}, " ".join(messages) or None


def _vertices(points: list[list[float]]) -> list[dict[str, Any]]:
    """Return the corners of a closed path; each names the one before it, the first the last."""
    ids = [uuid.uuid4().hex[:10] for _ in points]
    return [
        {"id": ids[number], "prevPointId": ids[number - 1], "x": x, "y": y, "isBezier": False}
        for number, (x, y) in enumerate(points)
    ]


def _ellipse(mask: NDArray[np.bool_]) -> dict[str, float]:
    height, width = mask.shape
    without_small = np.zeros_like(mask)
    for (x, y), component in large_components(mask):
        without_small[y : y + component.shape[0], x : x + component.shape[1]] |= component
    ellipse = fit_ellipse(without_small)
    return {
        "x": 100 * ellipse.center[0] / width,
        "y": 100 * ellipse.center[1] / height,
        "radiusX": 100 * ellipse.radii[0] / width,
        "radiusY": 100 * ellipse.radii[1] / height,
        "rotation": ellipse.angle,
    }
