"""The conversion of a session's values to JSON, and back."""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np

from sam2_engine.masks import CompressedMask
from sam2_engine.preprocessing import IntensityWindow
from sam2_engine.prompts import Box, Points, Prompt
from sam2_plugins.session.annotations import AnnotatedObject, Change, ChangeKind
from sam2_plugins.session.life import Life
from sam2_plugins.session.masks import AcceptedMask, MaskOrigin, MaskRemark, MaskScores, PackedLogits

__all__ = [
    "call_from_json",
    "call_to_json",
    "change_from_json",
    "change_to_json",
    "object_from_json",
    "object_to_json",
    "to_text",
]
__all__ += ["prompt_from_json", "prompt_to_json", "window_from_json", "window_to_json"]


def to_text(value: Any, **layout: Any) -> str:
    """Return a value as JSON; numbers of NumPy, of which loops over frames are made, are numbers.

    One that could not be written would stay before everything that is done after it.
    """
    return json.dumps(value, default=_number, **layout)


def _number(value: object) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def object_to_json(annotated: AnnotatedObject) -> dict[str, Any]:
    """Return an object as a value."""
    return {
        "id": annotated.id,
        "name": annotated.name,
        "label": annotated.label,
        "color": list(annotated.color),
        "parents": list(annotated.parents),
        "life": annotated.life.to_json(),
    }


def object_from_json(value: Mapping[str, Any]) -> AnnotatedObject:
    """Return the object that a value stands for."""
    red, green, blue = value["color"]
    life = Life.from_json(value.get("life"))  # format 2 has none
    return AnnotatedObject(
        value["id"], value["name"], value["label"], (red, green, blue), tuple(value["parents"]), life
    )


def prompt_to_json(prompt: Prompt) -> dict[str, Any]:
    """Return a prompt as a value; coordinates are float32 and survive as they are."""
    value: dict[str, Any] = {}
    if prompt.points is not None:
        value["points"] = prompt.points.coordinates.tolist()
        value["labels"] = prompt.points.labels.tolist()
    if prompt.box is not None:
        value["box"] = [prompt.box.x0, prompt.box.y0, prompt.box.x1, prompt.box.y1]
    if prompt.mask is not None:
        value["mask"] = _mask_to_json(prompt.mask)
    return value


def prompt_from_json(value: Mapping[str, Any]) -> Prompt:
    """Return the prompt that a value stands for."""
    points = None
    if "points" in value:
        points = Points(np.array(value["points"], np.float32), np.array(value["labels"], np.int32))
    box = Box(*value["box"]) if "box" in value else None
    return Prompt(points, box, _mask_from_json(value["mask"]) if "mask" in value else None)


def window_to_json(window: IntensityWindow | None) -> dict[str, Any] | None:
    """Return an intensity window as a value."""
    if window is None:
        return None
    value: dict[str, Any] = {"low": list(window.low), "high": list(window.high)}
    return {**value, "fill": [list(ends) for ends in window.fill]} if window.fill else value


def window_from_json(value: Mapping[str, Any] | None) -> IntensityWindow | None:
    """Return the intensity window that a value stands for."""
    if value is None:
        return None
    fill = tuple((low, high) for low, high in value.get("fill", ()))
    return IntensityWindow(tuple(value["low"]), tuple(value["high"]), fill)


def change_to_json(change: Change) -> dict[str, Any]:
    """Return what a change led to, as a value; what was before is not stored."""
    after = change.after
    value: dict[str, Any] = {"part": change.kind.value, "object_id": change.object_id, "frame": change.frame}
    if isinstance(after, AnnotatedObject):
        value["after"] = object_to_json(after)
    elif isinstance(after, AcceptedMask):
        value["after"] = _accepted_to_json(after)
    elif isinstance(after, IntensityWindow):
        value["after"] = window_to_json(after)
    elif isinstance(after, tuple):
        value["after"] = [prompt_to_json(prompt) for prompt in after]
    else:
        value["after"] = after
    return value


def change_from_json(value: Mapping[str, Any]) -> Change:
    """Return the change that a value stands for; its ``before`` is not known."""
    kind, after = ChangeKind(value["part"]), value["after"]
    if kind is ChangeKind.PROMPTS:
        after = tuple(prompt_from_json(prompt) for prompt in after)
    elif kind is ChangeKind.OBJECT and after is not None:
        after = object_from_json(after)
    elif kind is ChangeKind.MASK and after is not None:
        after = _accepted_from_json(after)
    elif kind is ChangeKind.WINDOW:
        after = window_from_json(after)
    return Change(kind, value["object_id"], value["frame"], None, after)


def call_to_json(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was asked of a session as a value."""
    value = dict(call)
    if "prompt" in call:
        value["prompt"] = prompt_to_json(call["prompt"])
    if "window" in call:
        value["window"] = window_to_json(call["window"])
    if "masks" in call:
        value["masks"] = {str(object_id): _mask_to_json(mask) for object_id, mask in call["masks"].items()}
    if "scores" in call:
        value["scores"] = {str(frame): _scores_to_json(one) for frame, one in call["scores"].items()}
    return value


def call_from_json(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the call that a value stands for."""
    call = dict(value)
    if "prompt" in value:
        call["prompt"] = prompt_from_json(value["prompt"])
    if "window" in value:
        call["window"] = window_from_json(value["window"])
    if "masks" in value:
        call["masks"] = {int(object_id): _mask_from_json(mask) for object_id, mask in value["masks"].items()}
    if "scores" in value:
        call["scores"] = {int(frame): MaskScores(*one) for frame, one in value["scores"].items()}
    return call


def _mask_to_json(mask: CompressedMask) -> dict[str, Any]:
    box = [mask.box[0].start, mask.box[0].stop, mask.box[1].start, mask.box[1].stop]
    return {"shape": list(mask.shape), "box": box, "bits": b64encode(mask.bits).decode()}


def _mask_from_json(value: Mapping[str, Any]) -> CompressedMask:
    top, bottom, left, right = value["box"]
    height, width = value["shape"]
    return CompressedMask((height, width), (slice(top, bottom), slice(left, right)), b64decode(value["bits"]))


def _scores_to_json(scores: MaskScores) -> list[float]:
    return [scores.presence, scores.predicted_iou, scores.stability]


def _accepted_to_json(accepted: AcceptedMask) -> dict[str, Any]:
    logits = accepted.logits
    value = _mask_to_json(accepted.mask)
    value["origin"] = accepted.origin.name
    value["scores"] = _scores_to_json(accepted.scores)
    if logits is not None:
        values = b64encode(logits.values).decode()
        value["logits"] = [list(logits.scale), list(logits.corner), list(logits.size), values]
    if accepted.remark:
        value["remark"] = accepted.remark.name
    return value


def _accepted_from_json(value: Mapping[str, Any]) -> AcceptedMask:
    logits = None
    if "logits" in value:
        scale, corner, size, values = value["logits"]
        logits = PackedLogits(
            (scale[0], scale[1]), (corner[0], corner[1]), (size[0], size[1]), b64decode(values)
        )
    remark = MaskRemark[value.get("remark", "NONE")]
    scores = MaskScores(*value["scores"])
    return AcceptedMask(_mask_from_json(value), MaskOrigin[value["origin"]], scores, logits, remark)
