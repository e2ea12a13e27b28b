"""Steps of a propagation from frame to frame, passing over those that cannot be read."""

import warnings
from collections.abc import Callable, Iterator, Mapping

from sam2_engine.errors import InputWarning
from sam2_engine.frames import FrameIndexError, FrameSource, UnreadableFrameError
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.wording import in_ranges

__all__ = ["describe_passed_over", "track_frames"]


def track_frames(
    frames: FrameSource, track: Callable[[int], FrameResult], first: int, stop: int | None, reverse: bool
) -> Iterator[FrameResult]:
    """Yield what ``track`` returns for one frame after the other, where it has objects.

    A frame that cannot be read has no masks, and its result says why: objects are tracked on after it as
    after frames on which they were hidden.

    Parameters
    ----------
    frames
        What is tracked in.
    track
        Tracks one frame.
    first, stop, reverse
        As for ``TrackingSession.propagate``.

    Raises
    ------
    UnreadableFrameError
        If a frame cannot be read that the objects were prompted on, and that is needed for others.

    Warns
    -----
    InputWarning
        Once for all frames in a row that cannot be read.
    """
    frame, step = first, -1 if reverse else 1
    passed_over: dict[int, str] = {}
    try:
        while frame >= 0:
            try:
                result = track(frame)
            except FrameIndexError:  # the end, also of a live stream
                return
            except UnreadableFrameError as error:
                if error.frame != frame:
                    raise
                passed_over[frame] = str(error)
                result = FrameResult.without_objects(frame, frames.shape, str(error))
            else:
                _say(passed_over)
            if result.object_ids or result.problem:
                yield result
            if frame == stop:
                return
            frame += step
    finally:
        _say(passed_over)


def describe_passed_over(problems: Mapping[int, str]) -> str:
    """Return a sentence on frames that could not be read, by number with the reasons; empty without any."""
    if not problems:
        return ""
    noun, verb = ("frame", "has") if len(problems) == 1 else ("frames", "have")
    reason = problems[min(problems)]
    return f"Tracking passed over {noun} {in_ranges(problems)}, which {verb} no masks now: {reason}"


def _say(passed_over: dict[int, str]) -> None:
    """Warn of frames in a row, and forget them."""
    if passed_over:
        message = describe_passed_over(passed_over)
        passed_over.clear()
        warnings.warn(message, InputWarning, stacklevel=3)
