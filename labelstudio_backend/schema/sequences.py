"""Sequences: the keyframes of a video rectangle, as few as the boxes of a track need."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelstudio_backend.schema.frame_clock import FrameClock
from labelstudio_backend.schema.keyframes import SIDES, Track, model_item
from labelstudio_backend.schema.regions import PixelBox, number, rectangle_from_box

__all__ = ["rectangle_at", "sequence_of"]

Rectangle = Mapping[str, float]


def sequence_of(
    track: Track,
    boxes: Mapping[int, PixelBox | None],
    clock: FrameClock,
    shape: tuple[int, int],
    tolerance: float,
) -> list[dict[str, Any]]:
    """Return the items of one track: the person's keyframes as they are, the model's between them.

    An item stays enabled if the object is visible on the next frame too, so that every lifespan ends on its
    own last frame. Where the model has not been, only the person's keyframes count.

    Parameters
    ----------
    track
        The person's keyframes.
    boxes
        By the file's frame, where it was tracked: the object's box, None where it is absent.
    shape
        ``(H, W)`` of the frames.
    tolerance
        In percent of the image: how far a side may be off where the page interpolates.
    """
    items = []
    for lifespan in _lifespans(track, boxes, clock):
        for frame in _needed_keyframes(
            lifespan, track, _rectangles(lifespan, track, boxes, clock, shape), tolerance
        ):
            goes_on, keyframe = frame < lifespan[-1], track.keyframes.get(frame)
            if keyframe is None:
                box = boxes[clock.index(frame)]
                assert box is not None
                rectangle = rectangle_from_box(box, shape)
                items.append(model_item(frame, clock.seconds(frame), rectangle, enabled=goes_on))
            elif keyframe.enabled and not goes_on:
                items.append(keyframe.closed_by_model())
            else:
                items.append(keyframe.as_drawn())
    return items


def rectangle_at(sequence: Sequence[Mapping[str, Any]], frame: int) -> dict[str, float] | None:
    """Return the rectangle that the page shows on a frame, in percent, or None where it shows none.

    Parameters
    ----------
    sequence
        Items sorted by frame, as they are stored.
    """
    before = [item for item in sequence if item["frame"] <= frame]
    after = [item for item in sequence if item["frame"] > frame]
    if not before or (before[-1]["frame"] < frame and before[-1].get("enabled") is False):
        return None
    start = before[-1]
    fraction = (frame - start["frame"]) / (after[0]["frame"] - start["frame"]) if after else 0.0
    end = after[0] if after else start
    sides = {side: number(start, side) for side in SIDES}
    return {side: value + fraction * (number(end, side) - value) for side, value in sides.items()}


def _lifespans(track: Track, boxes: Mapping[int, PixelBox | None], clock: FrameClock) -> Iterator[list[int]]:
    """Yield the page's frames on which the object is visible, in spans without a gap."""
    lifespan: list[int] = []
    for frame in range(1, max(clock.page_frames, track.last_frame) + 1):
        if _visible(track, boxes, clock, frame):
            lifespan.append(frame)
        elif lifespan:
            yield lifespan
            lifespan = []
    if lifespan:
        yield lifespan


def _visible(track: Track, boxes: Mapping[int, PixelBox | None], clock: FrameClock, frame: int) -> bool:
    if frame in track.keyframes:
        return True
    if frame > track.first_frame and not track.shown_after_keyframe(frame):
        return False
    if frame < track.first_frame and clock.index(track.first_frame) - 1 not in boxes:
        return False  # it was not tracked backwards
    index = clock.index(frame)
    if index in boxes:
        return boxes[index] is not None
    return track.first_frame < frame < track.last_frame


def _rectangles(
    lifespan: Sequence[int],
    track: Track,
    boxes: Mapping[int, PixelBox | None],
    clock: FrameClock,
    shape: tuple[int, int],
) -> dict[int, Rectangle]:
    """Return the rectangles for the frames of a lifespan; none where nothing is known."""
    found: dict[int, Rectangle] = {}
    for frame in lifespan:
        keyframe, box = track.keyframes.get(frame), boxes.get(clock.index(frame))
        if keyframe is not None:
            found[frame] = keyframe.item
        elif box is not None:
            found[frame] = rectangle_from_box(box, shape)
    return found


def _needed_keyframes(
    lifespan: Sequence[int], track: Track, rectangles: Mapping[int, Rectangle], tolerance: float
) -> list[int]:
    """Return the frames that need a keyframe: the person's, the ends, and where interpolation would be wrong.

    Between two keyframes the frame that interpolation misses most becomes one, until it misses none by more
    than the tolerance (Douglas and Peucker, 1973).
    """
    frames = np.array(list(rectangles))
    sides = np.array([_edges(rectangle) for rectangle in rectangles.values()])
    fixed = [index for index, frame in enumerate(frames) if frame in track.keyframes]
    chosen = sorted({0, *fixed, len(frames) - 1})
    open_spans = list(pairwise(chosen))
    while open_spans:
        first, last = open_spans.pop()
        errors = _interpolation_errors(frames[first : last + 1], sides[first : last + 1])
        errors[[0, -1]] = 0.0  # but for rounding
        worst = int(errors.argmax())
        if errors[worst] > tolerance:
            chosen.append(first + worst)
            open_spans += [(first, first + worst), (first + worst, last)]
    return [int(frames[index]) for index in sorted(chosen)]


def _edges(rectangle: Rectangle) -> tuple[float, ...]:
    """Left, top, right and bottom in percent, and the rotation in degrees, which must not be off by more."""
    x, y, width, height = (number(rectangle, side) for side in SIDES)
    return x, y, x + width, y + height, number(rectangle, "rotation") if rectangle.get("rotation") else 0.0


def _interpolation_errors(frames: NDArray[Any], sides: NDArray[Any]) -> NDArray[Any]:
    """Return for each frame by how much its worst side is missed, if only the ends are keyframes."""
    fraction = (frames - frames[0]) / max(1, frames[-1] - frames[0])
    errors: NDArray[Any] = np.abs(sides - (sides[0] + fraction[:, None] * (sides[-1] - sides[0]))).max(axis=1)
    return errors
