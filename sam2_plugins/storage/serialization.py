"""What a session knows as values for JSON, and back."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np

from sam2_engine.preprocessing import IntensityWindow
from sam2_engine.prompts import Box, Points
from sam2_plugins.session.annotations import AnnotatedObject, Change, Part, Prompt
from sam2_plugins.session.masks import AcceptedMask, CompressedMask, MaskOrigin, MaskScores, PackedLogits

__all__ = ["call_of", "call_value", "change_of", "change_value", "object_of", "object_value"]
__all__ += ["prompt_of", "prompt_value", "window_of", "window_value"]


def object_value(one: AnnotatedObject) -> dict[str, Any]:
    """Return an object as a value."""
    return {
        "id": one.id,
        "name": one.name,
        "label": one.label,
        "color": list(one.color),
        "parents": list(one.parents),
    }


def object_of(value: Mapping[str, Any]) -> AnnotatedObject:
    """Return the object that a value stands for."""
    red, green, blue = value["color"]
    return AnnotatedObject(
        value["id"], value["name"], value["label"], (red, green, blue), tuple(value["parents"])
    )


def prompt_value(prompt: Prompt) -> dict[str, Any]:
    """Return a prompt as a value; coordinates are float32 and survive as they are."""
    value: dict[str, Any] = {}
    if prompt.points is not None:
        value["points"] = prompt.points.coordinates.tolist()
        value["labels"] = prompt.points.labels.tolist()
    if prompt.box is not None:
        value["box"] = [prompt.box.x0, prompt.box.y0, prompt.box.x1, prompt.box.y1]
    if prompt.mask is not None:
        value["mask"] = _mask_value(prompt.mask)
    return value


def prompt_of(value: Mapping[str, Any]) -> Prompt:
    """Return the prompt that a value stands for."""
    points = None
    if "points" in value:
        points = Points(np.array(value["points"], np.float32), np.array(value["labels"], np.int32))
    box = Box(*value["box"]) if "box" in value else None
    return Prompt(points, box, _mask_of(value["mask"]) if "mask" in value else None)


def window_value(window: IntensityWindow | None) -> dict[str, Any] | None:
    """Return an intensity window as a value."""
    return None if window is None else {"low": list(window.low), "high": list(window.high)}


def window_of(value: Mapping[str, Any] | None) -> IntensityWindow | None:
    """Return the intensity window that a value stands for."""
    return None if value is None else IntensityWindow(tuple(value["low"]), tuple(value["high"]))


def change_value(change: Change) -> dict[str, Any]:
    """Return what a change led to, as a value; what was before is not kept."""
    after = change.after
    value: dict[str, Any] = {"part": change.part.value, "object_id": change.object_id, "frame": change.frame}
    if isinstance(after, AnnotatedObject):
        value["after"] = object_value(after)
    elif isinstance(after, AcceptedMask):
        value["after"] = _accepted_value(after)
    elif isinstance(after, IntensityWindow):
        value["after"] = window_value(after)
    elif isinstance(after, tuple):
        value["after"] = [prompt_value(one) for one in after]
    else:
        value["after"] = after
    return value


def change_of(value: Mapping[str, Any]) -> Change:
    """Return the change that a value stands for; its ``before`` is not known."""
    part, after = Part(value["part"]), value["after"]
    if part is Part.PROMPTS:
        after = tuple(prompt_of(one) for one in after)
    elif part is Part.OBJECT and after is not None:
        after = object_of(after)
    elif part is Part.MASK and after is not None:
        after = _accepted_of(after)
    elif part is Part.WINDOW:
        after = window_of(after)
    return Change(part, value["object_id"], value["frame"], None, after)


def call_value(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was asked of a session as a value."""
    value = dict(call)
    if "prompt" in call:
        value["prompt"] = prompt_value(call["prompt"])
    if "window" in call:
        value["window"] = window_value(call["window"])
    if "masks" in call:
        value["masks"] = {str(object_id): _mask_value(mask) for object_id, mask in call["masks"].items()}
    return value


def call_of(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the call that a value stands for."""
    call = dict(value)
    if "prompt" in value:
        call["prompt"] = prompt_of(value["prompt"])
    if "window" in value:
        call["window"] = window_of(value["window"])
    if "masks" in value:
        call["masks"] = {int(object_id): _mask_of(mask) for object_id, mask in value["masks"].items()}
    return call


def _mask_value(mask: CompressedMask) -> dict[str, Any]:
    box = [mask.box[0].start, mask.box[0].stop, mask.box[1].start, mask.box[1].stop]
    return {"shape": list(mask.shape), "box": box, "bits": b64encode(mask.bits).decode()}


def _mask_of(value: Mapping[str, Any]) -> CompressedMask:
    top, bottom, left, right = value["box"]
    height, width = value["shape"]
    return CompressedMask((height, width), (slice(top, bottom), slice(left, right)), b64decode(value["bits"]))


def _accepted_value(accepted: AcceptedMask) -> dict[str, Any]:
    scores, logits = accepted.scores, accepted.logits
    value = _mask_value(accepted.mask)
    value["origin"] = accepted.origin.name
    value["scores"] = [scores.presence, scores.predicted_iou, scores.stability]
    if logits is not None:
        values = b64encode(logits.values).decode()
        value["logits"] = [list(logits.scale), list(logits.corner), list(logits.size), values]
    return value


def _accepted_of(value: Mapping[str, Any]) -> AcceptedMask:
    logits = None
    if "logits" in value:
        scale, corner, size, values = value["logits"]
        logits = PackedLogits(
            (scale[0], scale[1]), (corner[0], corner[1]), (size[0], size[1]), b64decode(values)
        )
    return AcceptedMask(_mask_of(value), MaskOrigin[value["origin"]], MaskScores(*value["scores"]), logits)
