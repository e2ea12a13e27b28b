"""Prompts for images, from drawn keypoints, rectangles, ellipses, polygons and brush strokes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from labelstudio_backend.schema.brush_rle import decode_brush_rle
from labelstudio_backend.schema.regions import (
    PixelBox,
    box_from_ellipse,
    box_from_polygon,
    box_from_rectangle,
    point_from_keypoint,
    value_of,
)
from sam2_engine.errors import InputError
from sam2_engine.prompts import Box, Points, Prompt

__all__ = ["LabeledPrompt", "drawn_prompts", "stored_prompts"]

_BOXES = {"rectangle": box_from_rectangle, "ellipse": box_from_ellipse, "polygon": box_from_polygon}
_STORED = ("keypoint", "rectangle", "ellipse")
"""What a task holds as prompts; polygons and brushes that it holds are annotations."""
_MASKS = ("brush", "bitmask", "polygon", "vector")
_POINTS_OF_STROKE = 5


@dataclass(frozen=True)
class LabeledPrompt:
    """All that was drawn for one object.

    Attributes
    ----------
    labels
        The labels that were active; one, where the configuration does not allow several.
    prompt
        In pixels: keypoints, the bounds of one rectangle or ellipse, or both.
    """

    labels: tuple[str, ...]
    prompt: Prompt

    @classmethod
    def of(
        cls,
        labels: tuple[str, ...],
        box: PixelBox | None = None,
        inside: Sequence[tuple[float, float]] = (),
        outside: Sequence[tuple[float, float]] = (),
    ) -> "LabeledPrompt":
        """Join a box, and keypoints inside and outside of the object; they are checked when they are used.

        Where one of each lies on the same place, the one inside stands.
        """
        outside = [point for point in outside if point not in inside]
        flags = [1] * len(inside) + [0] * len(outside)
        points = Points.unchecked([*inside, *outside], flags) if flags else None
        return cls(labels, Prompt(points, None if box is None else Box(*box)))


@dataclass
class _Drawn:
    """The regions of one label, in pixels."""

    boxes: list[PixelBox]
    inside: list[tuple[float, float]]
    outside: list[tuple[float, float]]


def drawn_prompts(regions: Sequence[object], shape: tuple[int, int]) -> list[LabeledPrompt]:
    """Sort by object what a person has just drawn: keypoints of one label belong together, boxes stand alone.

    A polygon is the box around it, a brush stroke is some keypoints on it. One box and keypoints of its label
    are one object, which the keypoints refine; of several boxes, each is refined by the keypoints on the
    background that lie in it.

    Parameters
    ----------
    regions
        The context of a request.
    shape
        ``(H, W)`` of the image.

    Raises
    ------
    InputError
        If a region is none of these, or is not complete.
    """
    prompts = []
    for labels, drawn in _by_labels(regions, shape).items():
        if len(drawn.boxes) == 1:
            prompts.append(LabeledPrompt.of(labels, drawn.boxes[0], drawn.inside, drawn.outside))
            continue
        prompts += [LabeledPrompt.of(labels, box, (), _within(box, drawn.outside)) for box in drawn.boxes]
        if drawn.inside:
            prompts.append(LabeledPrompt.of(labels, None, drawn.inside, drawn.outside))
    return prompts


def _within(box: PixelBox, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    x0, y0, x1, y1 = box
    return [(x, y) for x, y in points if x0 <= x <= x1 and y0 <= y <= y1]


def stored_prompts(regions: Sequence[Mapping[str, Any]], shape: tuple[int, int]) -> list[LabeledPrompt]:
    """Sort by object the prompts that a task holds: each box and each keypoint on an object is one.

    Keypoints on the background count for all keypoints of their label. Regions of other kinds, which are
    no prompts, are passed over, and masks with all results of their ids: one that is accepted while the label
    of a keypoint stays chosen gets that label, too, as a keypoint without a place.

    Raises
    ------
    InputError
        If a keypoint, a rectangle or an ellipse is not complete.
    """
    masks = {
        str(region["id"])
        for region in regions
        if "id" in region and _kind(region).removesuffix("labels") in _MASKS
    }
    usable = [
        region
        for region in regions
        if (_prompt_kind(region) in _STORED and str(region.get("id")) not in masks)
        or _is_label_result(region)
    ]
    prompts = []
    for labels, drawn in _by_labels(usable, shape).items():
        prompts += [LabeledPrompt.of(labels, box) for box in drawn.boxes]
        prompts += [LabeledPrompt.of(labels, None, [point], drawn.outside) for point in drawn.inside]
    return prompts


def _by_labels(regions: Sequence[object], shape: tuple[int, int]) -> dict[tuple[str, ...], _Drawn]:
    """Return the regions in pixels by labels; a ``labels`` result names the region whose id it shares.

    They count from the image's own corner, also where the page shows it turned (``image_rotation``).
    """
    named = {str(r.get("id")): _labels(r) for r in regions if isinstance(r, Mapping) and _is_label_result(r)}
    found: dict[tuple[str, ...], _Drawn] = {}
    for region in regions:
        if _is_label_result(region):
            continue
        value, kind = value_of(region), _prompt_kind(region)
        if kind is None or not isinstance(region, Mapping):
            raise InputError(
                f"A region of type {_kind(region)!r:.60} is no prompt; "
                "use a smart keypoint, a smart rectangle, an ellipse, a polygon or a brush stroke."
            )
        labels = _labels(region) or named.get(str(region.get("id")), ())
        drawn = found.setdefault(labels, _Drawn([], [], []))
        if kind == "keypoint":
            point = point_from_keypoint(value, shape)
            (drawn.inside if region.get("is_positive", True) else drawn.outside).append(point)
        elif kind == "brush":
            drawn.inside.extend(_points_on_stroke(value, shape))
        else:
            drawn.boxes.append(_BOXES[kind](value, shape))
    return found


def _kind(region: object) -> str:
    return str(region.get("type")) if isinstance(region, Mapping) else ""


def _is_label_result(region: object) -> bool:
    """Return whether it is a result of ``<Labels>``, which only names another one."""
    return _kind(region) == "labels"


def _prompt_kind(region: object) -> str | None:
    kind = _kind(region).removesuffix("labels")
    return kind if kind in ("keypoint", "brush", *_BOXES) else None


def _points_on_stroke(value: Mapping[str, Any], shape: tuple[int, int]) -> list[tuple[float, float]]:
    """Return pixels of a brush stroke, spread over it from top to bottom."""
    rows, columns = np.nonzero(decode_brush_rle(value.get("rle", []), shape))
    if not rows.size:
        raise InputError("A brush stroke of the request is empty; draw it again.")
    count = min(_POINTS_OF_STROKE, rows.size)
    chosen = [rows.size * (2 * number + 1) // (2 * count) for number in range(count)]
    return [(float(columns[index]), float(rows[index])) for index in chosen]


def _labels(region: Mapping[str, Any]) -> tuple[str, ...]:
    value = value_of(region)
    found = value.get(_kind(region)) or value.get("labels")
    return tuple(label for label in found if isinstance(label, str)) if isinstance(found, list) else ()
