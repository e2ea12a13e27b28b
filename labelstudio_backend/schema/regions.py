"""Conversion of Label Studio's regions to pixels and back.

Label Studio measures in percent of the image, from the outer edge of its first pixel; inside, pixel
centers are at integers and a box is the inclusive indices of its first and last column and row. So a
point at ``p`` percent is at ``p * W / 100 - 0.5``, and a rectangle from edge ``e0`` to edge ``e1``
covers the columns ``e0 * W / 100`` to ``e1 * W / 100 - 1``.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelstudio_backend.schema.contours import large_components
from sam2_engine.errors import InputError

__all__ = [
    "PixelBox",
    "Region",
    "ScoredRegions",
    "box_from_ellipse",
    "box_from_polygon",
    "box_from_rectangle",
    "number",
    "object_bounds",
    "point_from_keypoint",
    "rectangle_from_box",
    "shown",
    "value_of",
]

Region = dict[str, Any]
"""One region of Label Studio's JSON, or one item of its lists."""

ScoredRegions = tuple[list[Region], float]
"""The regions of a prediction (its ``result``), and its score."""

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


def shown(value: object) -> str:
    """Return a number of a request for a message; of anything else only what it is, for it may be anybody's.

    Examples
    --------
    >>> shown(3.5), shown("Jane Doe"), shown(10**400)
    ('3.5', 'a text', 'a number that is too large')
    """
    if value is None:
        return "nothing"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value!r}" if abs(value) < 1e18 else "a number that is too large"
    return {str: "a text", bool: "true or false", list: "a list"}.get(type(value), "an object")


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
            f"A region of the request has {shown(found)} for {key}, which is not a number that fits an image."
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


def box_from_ellipse(value: Mapping[str, Any], shape: tuple[int, int]) -> PixelBox:
    """Return the bounds of an ellipse, which may be turned, as a pixel box of an image of ``shape`` (H, W).

    Raises
    ------
    InputError
        If a number is missing.
    """
    height, width = shape
    x, y = number(value, "x") * width / 100, number(value, "y") * height / 100
    a, b = number(value, "radiusX") * width / 100, number(value, "radiusY") * height / 100
    angle = math.radians(number(value, "rotation")) if value.get("rotation") else 0.0
    across = math.hypot(a * math.cos(angle), b * math.sin(angle))
    down = math.hypot(a * math.sin(angle), b * math.cos(angle))
    return x - across, y - down, x + across - 1, y + down - 1


def box_from_polygon(value: Mapping[str, Any], shape: tuple[int, int]) -> PixelBox:
    """Return the bounds of a polygon as a pixel box of an image of ``shape`` (H, W).

    Raises
    ------
    InputError
        If it has no corners, or one of them is not two numbers.
    """
    corners = value.get("points")
    if not isinstance(corners, list) or not corners or not all(map(_is_pair, corners)):
        raise InputError("A polygon of the request has no corners; draw it again.")
    points = [point_from_keypoint({"x": x, "y": y}, shape) for x, y in corners]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs) + 0.5, min(ys) + 0.5, max(xs) - 0.5, max(ys) - 0.5


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2


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


def object_bounds(mask: NDArray[np.bool_]) -> PixelBox | None:
    """Return the box around an object's mask ``(H, W)`` without small components, or None if it is empty."""
    components = large_components(mask)
    if not components:
        return None
    x0, y0 = min(x for (x, _), _ in components), min(y for (_, y), _ in components)
    x1 = max(x + component.shape[1] for (x, _), component in components) - 1
    y1 = max(y + component.shape[0] for (_, y), component in components) - 1
    return float(x0), float(y0), float(x1), float(y1)
