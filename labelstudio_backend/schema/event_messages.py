"""Messages of the event protocol, by which Label Studio's interactive video tools talk to a backend.

All of them are predict requests whose context names an ``event``. (Source of the words: README and answers of
HumanSignal's ``segment_anything_video_interactive`` example of 2026, for Label Studio Enterprise.)

Frames are counted twice, and both ways are the protocol's: a request counts as the page does, from 1 at the
page's rate; an answer counts the frames of the file, from 0, which the page does not know and finds by their
``time_ms``.
"""

import base64
import io
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelstudio_backend.schema.frame_clock import FrameClock
from labelstudio_backend.schema.labeling_config import LabelingConfig, MediaTag
from labelstudio_backend.schema.regions import Region, box_from_rectangle, point_from_keypoint, value_of
from sam2_engine.errors import InputError
from sam2_engine.prompts import Prompt

__all__ = ["CAPABILITIES", "EVENTS", "EventMessages", "direction_of", "event_of", "frame_of", "most_frames"]
__all__ += ["number_of", "picture", "prompt_of", "takes_events_alone"]

EVENTS = ("capabilities", "prewarm", "predict", "track", "track_progress", "track_cancel", "release")

CAPABILITIES = {
    "prompts": ["point", "box"],
    "targets": [
        {"tag": "BitmaskLabels", "output": "mask"},
        {"tag": "RectangleLabels", "output": "bbox"},
        {"tag": "PolygonLabels", "output": "polygon"},
        {"tag": "VectorLabels", "output": "polygon"},
        {"tag": "VideoRectangle", "output": "bbox", "features": ["track"]},
        {"tag": "VideoVectorLabels", "output": "polygon", "features": ["track"]},
    ],
}
"""What the page may ask for; it makes boxes and outlines of the masks itself."""

_CONTROLS = {
    "Image": ("BitmaskLabels", "RectangleLabels", "PolygonLabels", "VectorLabels"),
    "Video": ("VideoVectorLabels", "VideoRectangle", "VideoVector"),
}
"""Tags that the page fills by events, of each kind of media, the preferred one first."""

_MOST_FRAMES = 300


def event_of(context: object) -> str | None:
    """Return the event that a request's context is about, None of a request without events.

    A context with a frame, which other requests never have, is a click on it.

    Raises
    ------
    InputError
        If there is no such event.
    """
    if not isinstance(context, Mapping):
        return None
    event: object = context.get("event", "predict" if {"frame", "time_ms"} & context.keys() else None)
    if event is not None and event not in EVENTS:
        raise InputError(f"There is no event {event!r:.60}; the known ones are: {', '.join(EVENTS)}.")
    return None if event is None else str(event)


def frame_of(context: Mapping[str, Any], clock: FrameClock) -> int:
    """Return the file's frame that a context is about: the one on the screen at its time, else its number.

    Raises
    ------
    InputError
        If it is no number.
    """
    if context.get("time_ms") is not None:
        return clock.index_at(number_of(context, "time_ms", 0.0) / 1000)
    frame = max(1, int(number_of(context, "frame", 1)))
    clock.check(frame)
    return min(clock.index(frame), len(clock.start_times) - 1)


def direction_of(context: Mapping[str, Any]) -> str:
    """Return where a context is about to go from its frame.

    Raises
    ------
    InputError
        If it is no direction.
    """
    found = context.get("direction") or "forward"
    if found not in ("forward", "backward", "both"):
        raise InputError(f"direction is forward, backward or both, not {found!r:.60}.")
    return str(found)


def prompt_of(context: Mapping[str, Any], shape: tuple[int, int]) -> Prompt | None:
    """Return the clicks and the box of a context in pixels of an image of ``shape`` (H, W); None without any.

    Raises
    ------
    InputError
        If one is not complete, or lies outside.
    """
    regions = context.get("result") or []
    if not isinstance(regions, list):
        raise InputError("The request's context is not of the form {'result': [regions]}.")
    points, labels, box = [], [], None
    for region in regions:
        value = value_of(region)
        if {"width", "height"} <= value.keys() and not region.get("type", "").startswith("keypoint"):
            box = box_from_rectangle(value, shape)
        else:
            points.append(point_from_keypoint(value, shape))
            labels.append(int(bool(value.get("positive", region.get("is_positive", True)))))
    if not points and box is None:
        return None
    return Prompt.of(shape, points=points or None, labels=labels or None, box=box)


def most_frames(context: Mapping[str, Any], clock: FrameClock) -> int:
    """Return how many frames at most are tracked in one direction, the prompted one among them.

    Raises
    ------
    InputError
        If what is said of it is no number.
    """
    if context.get("max_duration_ms") is not None:
        rate = len(clock.start_times) / clock.duration if clock.duration > 0 else clock.page_rate
        asked = round(number_of(context, "max_duration_ms", 0.0) / 1000 * rate)
    else:
        asked = int(number_of(context, "max_frames", _MOST_FRAMES))
    return min(max(1, asked), _MOST_FRAMES)


def number_of(context: Mapping[str, Any], key: str, default: float) -> float:
    """Return a number of a context.

    Raises
    ------
    InputError
        If it is none, or negative.
    """
    found = context.get(key, default)
    try:
        value = float(found)
    except (TypeError, ValueError):
        value = math.nan
    if isinstance(found, bool) or not 0 <= value < 1e12:
        raise InputError(f"{key} is a number that is not negative, not {found!r:.60}.")
    return value


@dataclass(frozen=True)
class EventMessages:
    """Answers about one media tag and one control tag of a labeling configuration.

    Attributes
    ----------
    media
        What is shown.
    control
        The name of the tag that regions belong to.
    """

    media: MediaTag
    control: str

    @classmethod
    def of(cls, config: LabelingConfig) -> "EventMessages":
        """Return the answers about the first tag of a configuration that the page fills by events.

        Raises
        ------
        InputError
            If it has none.
        """
        for media in config.media:
            for kind in _CONTROLS[media.kind]:
                for control in config.controls:
                    if control.kind == kind and control.to_name == media.name:
                        return cls(media, control.name)
        known = ", ".join(f"<{kind}>" for kinds in _CONTROLS.values() for kind in kinds)
        raise InputError(f"The labeling configuration has no tag for interactive tools: add one of {known}.")

    def message(self, kind: str, value: Mapping[str, Any]) -> list[Region]:
        """Return the ``result`` of an answer."""
        common = {"id": uuid.uuid4().hex[:8], "from_name": self.control, "to_name": self.media.name}
        return [{**common, "type": kind, "origin": "manual", "value": dict(value)}]

    def mask(self, mask: NDArray[np.bool_]) -> list[Region]:
        """Return the ``result`` that shows a (H, W) mask; nothing, if it is empty."""
        return self.message("bitmask", picture(mask)) if mask.any() else []


def takes_events_alone(config: LabelingConfig) -> bool:
    """Whether no control tag of a configuration can be filled but by events: vectors on videos."""
    kinds = {control.kind for control in config.controls}
    return bool(kinds & {"VideoVectorLabels", "VideoVector"}) and "VideoRectangle" not in kinds


def picture(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return a (H, W) mask as the protocol's white on black PNG."""
    from PIL import Image

    png = io.BytesIO()
    Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0)), "L").save(png, "PNG")
    height, width = mask.shape
    written = base64.b64encode(png.getvalue()).decode("ascii")
    return {"imageDataURL": f"data:image/png;base64,{written}", "width": width, "height": height}
