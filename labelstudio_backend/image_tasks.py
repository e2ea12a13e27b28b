"""Images: keypoints and rectangles that a person has just drawn become brush regions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labelstudio_backend.labeling_config import ControlTag
from labelstudio_backend.regions import (
    PixelBox,
    Region,
    box_from_rectangle,
    brush_region,
    point_from_keypoint,
    value_of,
)
from sam2_engine.errors import InputError
from sam2_plugins.annotation_session import AnnotationSession

__all__ = ["ImagePrompt", "prompts_of", "segment"]


@dataclass(frozen=True)
class ImagePrompt:
    """All that was drawn for one object, in pixels.

    Attributes
    ----------
    label
        The label that was active.
    box
        One rectangle, or None.
    points, inside
        Keypoints, and for each whether it lies on the object.
    """

    label: str
    box: PixelBox | None = None
    points: tuple[tuple[float, float], ...] = ()
    inside: tuple[bool, ...] = ()


def prompts_of(regions: Sequence[object], control: ControlTag, shape: tuple[int, int]) -> list[ImagePrompt]:
    """Sort drawn regions by object: keypoints of one label belong together, each rectangle stands alone.

    One rectangle and keypoints of its label are one object, which the points refine.

    Parameters
    ----------
    regions
        The context of a request.
    control
        The brush that takes the answer; the label must be one of its labels.
    shape
        ``(H, W)`` of the image.

    Raises
    ------
    InputError
        If a region is neither keypoint nor rectangle, or its label is missing or unknown.
    """
    points: dict[str, list[tuple[tuple[float, float], bool]]] = {}
    boxes: dict[str, list[PixelBox]] = {}
    for region in regions:
        value = value_of(region)
        kind = str(region.get("type")) if isinstance(region, Mapping) else ""
        label = _label(value, kind, control)
        if kind.startswith("keypoint"):
            inside = bool(region.get("is_positive", True)) if isinstance(region, Mapping) else True
            points.setdefault(label, []).append((point_from_keypoint(value, shape), inside))
        elif kind.startswith("rectangle"):
            boxes.setdefault(label, []).append(box_from_rectangle(value, shape))
        else:
            raise InputError(
                f"A region of type {kind!r} is no prompt; use a smart keypoint or a smart rectangle."
            )
    prompts = []
    for label in dict.fromkeys([*points, *boxes]):
        coordinates = tuple(point for point, _ in points.get(label, ()))
        inside_flags = tuple(flag for _, flag in points.get(label, ()))
        rectangles = boxes.get(label, [])
        if len(rectangles) == 1:
            prompts.append(ImagePrompt(label, rectangles[0], coordinates, inside_flags))
            continue
        prompts += [ImagePrompt(label, box) for box in rectangles]
        if any(inside_flags):
            prompts.append(ImagePrompt(label, None, coordinates, inside_flags))
    return prompts


def segment(
    session: AnnotationSession, regions: Sequence[object], control: ControlTag
) -> tuple[list[Region], float]:
    """Answer drawn regions with brush regions, and the model's mean confidence in them (0 to 1).

    Raises
    ------
    InputError
        If a region cannot be used as a prompt.
    """
    answers = []
    for prompt in prompts_of(regions, control, session.shape):
        object_id = session.add_object(label=prompt.label)
        if prompt.box is not None:
            session.add_box(0, object_id, prompt.box)
        if prompt.points:
            session.add_points(0, object_id, prompt.points, [int(flag) for flag in prompt.inside])
        mask = session.mask(object_id, 0)
        if mask is not None and mask.any():
            scores = session.score(object_id, 0)
            confidence = scores.predicted_iou if scores is not None else 0.0
            answers.append(brush_region(mask, control, prompt.label, confidence))
    score = sum(answer["score"] for answer in answers) / len(answers) if answers else 0.0
    return answers, score


def _label(value: Mapping[str, object], kind: str, control: ControlTag) -> str:
    found = value.get(kind) or value.get("labels")
    label = found[0] if isinstance(found, list) and found else None
    if not isinstance(label, str):
        raise InputError("The drawn region has no label; choose a label first, then draw.")
    if label not in control.labels:
        raise InputError(
            f"<{control.kind} name={control.name!r}> has no label {label!r}; "
            "give it the same labels as the smart tools in the labeling configuration."
        )
    return label
