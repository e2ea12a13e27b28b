"""Label Studio's coordinates and regions, to pixels and back.

Label Studio measures in percent of the image, from the outer edge of its first pixel; inside, pixel
centres are at integers and a box is the inclusive indices of its first and last column and row. So a
point at ``p`` percent is at ``p * W / 100 - 0.5``, and a rectangle from edge ``e0`` to edge ``e1``
covers the columns ``e0 * W / 100`` to ``e1 * W / 100 - 1``.
"""

import math
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from labelstudio_backend.brush_rle import encode_brush_rle
from labelstudio_backend.labeling_config import ControlTag
from sam2_engine.errors import InputError

__all__ = [
    "Region",
    "box_from_rectangle",
    "brush_region",
    "mask_bounds",
    "number",
    "object_bounds",
    "point_from_keypoint",
    "rectangle_from_box",
    "value_of",
]

_SPECK = 0.1

Region = dict[str, Any]
"""One region of Label Studio's JSON, or one item of its lists."""

PixelBox = tuple[float, float, float, float]
"""``(x0, y0, x1, y1)``: inclusive indices of the first and last column and row."""


def value_of(region: object) -> Mapping[str, Any]:
    """Return a region's ``value``.

    Raises
    ------
    InputError
        If the region has none.
    """
    value = region.get("value") if isinstance(region, Mapping) else None
    if not isinstance(value, Mapping):
        raise InputError("A region of the request has no value; draw it again.")
    return value


def number(value: Mapping[str, Any], key: str) -> float:
    """Return one number of a region's value.

    Raises
    ------
    InputError
        If it is missing, not a number, or far beyond any image.
    """
    found = value.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float) or not -1e6 < found < 1e6:
        raise InputError(
            f"A region of the request has {key} = {found!r}, which is not a number that fits an image."
        )
    return float(found)


def point_from_keypoint(value: Mapping[str, Any], shape: tuple[int, int]) -> tuple[float, float]:
    """Return a keypoint's ``(x, y)`` in pixels of an image of ``shape`` (H, W).

    Raises
    ------
    InputError
        If a coordinate is missing or not a number.
    """
    height, width = shape
    return number(value, "x") * width / 100 - 0.5, number(value, "y") * height / 100 - 0.5


def box_from_rectangle(value: Mapping[str, Any], shape: tuple[int, int]) -> PixelBox:
    """Return a rectangle as a pixel box of an image of ``shape`` (H, W); a turned one gives its bounds.

    Label Studio turns a rectangle clockwise about its top left corner, in degrees.

    Raises
    ------
    InputError
        If a number is missing.
    """
    height, width = shape
    left, top = number(value, "x") * width / 100, number(value, "y") * height / 100
    across, down = number(value, "width") * width / 100, number(value, "height") * height / 100
    angle = math.radians(number(value, "rotation")) if value.get("rotation") else 0.0
    cos, sin = math.cos(angle), math.sin(angle)
    corners = [(u * cos - v * sin, u * sin + v * cos) for u in (0.0, across) for v in (0.0, down)]
    xs, ys = [left + x for x, _ in corners], [top + y for _, y in corners]
    return min(xs), min(ys), max(xs) - 1, max(ys) - 1


def rectangle_from_box(box: PixelBox, shape: tuple[int, int]) -> dict[str, float]:
    """Return ``x, y, width, height`` in percent of an image of ``shape`` (H, W) for a pixel box."""
    height, width = shape
    x0, y0, x1, y1 = box
    return {
        "x": 100 * x0 / width,
        "y": 100 * y0 / height,
        "width": 100 * (x1 - x0 + 1) / width,
        "height": 100 * (y1 - y0 + 1) / height,
    }


def mask_bounds(mask: NDArray[np.bool_]) -> PixelBox | None:
    """Return the box around a mask ``(H, W)``, or None if it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1])


def object_bounds(mask: NDArray[np.bool_]) -> PixelBox | None:
    """Return the box around an object's mask ``(H, W)`` without its specks, or None if it is empty.

    A few stray pixels would make a box of any size. Parts below a tenth of the largest one are left
    out; an object that is cut in two by something before it keeps both halves.
    """
    bounds = mask_bounds(mask)
    if bounds is None:
        return None
    x0, y0, x1, y1 = (int(side) for side in bounds)
    parts = label(mask[y0 : y1 + 1, x0 : x1 + 1], connectivity=2)
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    inner = mask_bounds((areas >= _SPECK * areas.max())[parts])
    return None if inner is None else (inner[0] + x0, inner[1] + y0, inner[2] + x0, inner[3] + y0)


def brush_region(mask: NDArray[np.bool_], control: ControlTag, name: str, score: float) -> Region:
    """Return a mask ``(H, W)`` as a brush region of ``control`` labelled ``name``, with a score of 0 to 1."""
    height, width = mask.shape
    return {
        "id": uuid.uuid4().hex[:10],
        "from_name": control.name,
        "to_name": control.to_name,
        "type": "brushlabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": score,
        "value": {"format": "rle", "rle": encode_brush_rle(mask), "brushlabels": [name]},
    }
