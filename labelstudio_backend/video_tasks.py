"""Videos: labelled rectangles are followed, and come back as sequences with a rectangle on every frame."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from labelstudio_backend.keyframes import Track, model_item
from labelstudio_backend.regions import (
    PixelBox,
    Region,
    box_from_rectangle,
    object_bounds,
    rectangle_from_box,
)
from sam2_engine.frames import FrameSource
from sam2_plugins.annotation_session import AnnotationSession

__all__ = ["PageClock", "follow", "labelled_tracks"]

_UNFINISHED = "SAM 2 reached frame"


@dataclass(frozen=True)
class PageClock:
    """How Label Studio counts frames (from 1, at a rate of its own) and how the file does (from 0).

    Attributes
    ----------
    page_rate, file_rate
        Frames per second, of Label Studio's page and of the file.
    file_frames
        Number of frames in the file.
    """

    page_rate: float
    file_rate: float
    file_frames: int

    @classmethod
    def of(cls, frames: FrameSource, page_rate: float) -> "PageClock":
        """Return the clock of a video, which is taken to run at the page's rate if it does not say."""
        return cls(page_rate, frames.fps or page_rate, len(frames))

    @property
    def page_frames(self) -> int:
        """Number of the last frame that the page shows."""
        return max(1, round(self.file_frames / self.file_rate * self.page_rate))

    def index(self, frame: int) -> int:
        """Return the file's frame that the page shows as its frame ``frame``."""
        # The product comes first and is nudged, so that whole quotients are not rounded down by a hair.
        return min(int((frame - 1) * self.file_rate / self.page_rate + 1e-6), self.file_frames - 1)

    def seconds(self, frame: int) -> float:
        """Return the ``time`` that the page writes for a frame."""
        return frame / self.page_rate


def labelled_tracks(regions: Sequence[object]) -> list[Track]:
    """Return the rectangles that are to be followed: those that carry a label.

    Without any there is nothing to do: that is what the page sends when a label is taken away, and after
    an annotation was submitted.

    Raises
    ------
    InputError
        If a labelled rectangle has no usable keyframe.
    """
    return [Track.of(region) for region in regions if _labelled(region)]


def _labelled(region: object) -> TypeGuard[Region]:
    if not isinstance(region, dict) or region.get("type") != "videorectangle":
        return False
    value = region.get("value")
    labels = value.get("labels") if isinstance(value, dict) else None
    return isinstance(labels, list) and bool(labels)


@dataclass
class _Followed:
    """One track on its way through the video: where it is on each of the file's frames, and how surely."""

    track: Track
    boxes: dict[int, PixelBox] = field(default_factory=dict)
    scores: list[float] = field(default_factory=list)

    @property
    def score(self) -> float:
        return sum(self.scores) / len(self.scores) if self.scores else 0.0


def follow(
    session: AnnotationSession, tracks: Sequence[Track], clock: PageClock, deadline: float
) -> tuple[list[Region], float]:
    """Follow all tracks from their first keyframe to the end, or as far as time allows.

    Parameters
    ----------
    session
        A session without objects on the task's video.
    tracks
        What :func:`labelled_tracks` gives.
    clock
        The video's two ways of counting.
    deadline
        Time (``time.monotonic``) at which the answer goes out with the frames that are done; the regions'
        ``meta`` says then how far it got.

    Returns
    -------
    The same regions, each with its own id and label and a new sequence, and the mean score (0 to 1).

    Raises
    ------
    InputError
        If a keyframe cannot be used, or a frame cannot be read.
    """
    followed = [_Followed(track) for track in tracks]
    by_object = _prompt(session, followed, clock, deadline)
    reached = -1
    steps = session.propagate() if by_object else iter(())
    while time.monotonic() < deadline and (result := next(steps, None)) is not None:
        reached = result.frame
        for object_id, mask, confidence in zip(result.object_ids, result.masks, result.predicted_iou):
            if (bounds := object_bounds(mask)) is not None:
                by_object[object_id].boxes[reached] = bounds
                by_object[object_id].scores.append(float(confidence))
    last = max((n for n in range(1, clock.page_frames + 1) if clock.index(n) <= reached), default=0)
    note = None
    if last < clock.page_frames:
        note = f"{_UNFINISHED} {last} of {clock.page_frames}; assign the label again to go on."
    answers = [
        _with_note(one.track.region, _sequence(one, clock, session.shape, last), one.score, note)
        for one in followed
    ]
    return answers, sum(one.score for one in followed) / max(1, len(followed))


def _prompt(
    session: AnnotationSession, followed: Sequence[_Followed], clock: PageClock, deadline: float
) -> dict[int, _Followed]:
    """Give the session people's keyframes, earliest first, while there is time; return tracks by object."""
    keyframes = [
        (clock.index(frame), one, key) for one in followed for frame, key in one.track.keyframes.items()
    ]
    object_ids: dict[int, int] = {}
    by_object: dict[int, _Followed] = {}
    for index, one, keyframe in sorted(keyframes, key=lambda entry: entry[0]):
        if time.monotonic() >= deadline:
            break
        if id(one) not in object_ids:
            object_ids[id(one)] = session.add_object(label=one.track.label)
            by_object[object_ids[id(one)]] = one
        session.add_box(index, object_ids[id(one)], box_from_rectangle(keyframe.item, session.shape))
    return by_object


def _sequence(one: _Followed, clock: PageClock, shape: tuple[int, int], last: int) -> list[dict[str, Any]]:
    """Return the items of one track: the person's keyframes as they are, the model's rectangles between.

    An item stays enabled if the object is visible on the next frame too, so that every stretch is closed
    on its own last frame. Beyond frame ``last``, which the model has not reached, only the person's
    keyframes count.
    """
    track = one.track

    def visible(frame: int) -> bool:
        if frame in track.keyframes:
            return True
        if not track.shown_after_keyframe(frame):
            return False
        return clock.index(frame) in one.boxes if frame <= last else frame < track.last_frame

    items = []
    for frame in sorted({*range(track.first_frame, clock.page_frames + 1), *track.keyframes}):
        keyframe, box = track.keyframes.get(frame), one.boxes.get(clock.index(frame))
        goes_on = visible(frame + 1)
        if keyframe is not None:
            items.append(
                keyframe.closed_by_model() if keyframe.enabled and not goes_on else keyframe.as_drawn()
            )
        elif frame <= last and box is not None and visible(frame):
            rectangle = rectangle_from_box(box, shape)
            items.append(model_item(frame, clock.seconds(frame), rectangle, enabled=goes_on))
    return items


def _with_note(region: Region, items: list[dict[str, Any]], score: float, note: str | None) -> Region:
    """Return the region with a new sequence, and with a note that takes the place of an earlier one."""
    answer = {**region, "value": {**region["value"], "sequence": items}, "score": score}
    found = region.get("meta")
    meta = found if isinstance(found, dict) else {}
    text = meta.get("text")
    lines = text if isinstance(text, list) else [text] if text else []
    kept = [line for line in lines if not str(line).startswith(_UNFINISHED)]
    if note or len(kept) < len(lines):
        answer["meta"] = {**meta, "text": [*kept, note] if note else kept}
    return answer
