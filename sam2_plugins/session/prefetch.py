"""Frames made ready before anybody prompts there: encoded, so that a click costs only the decoder."""

from collections.abc import Callable, Iterable, Iterator

from sam2_engine.video.tracking_session import TrackingSession
from sam2_plugins.runtime.jobs import DeviceLock, Priority
from sam2_plugins.runtime.out_of_memory import translate_oom

__all__ = ["prefetch"]


def prefetch(
    make_video: Callable[[], TrackingSession], lock: DeviceLock, frames: Iterable[int]
) -> Iterator[int]:
    """Encode frames one after the other and yield each; whoever else waits for the device goes first.

    It ends before the cache would have to forget the first one for the next.

    Parameters
    ----------
    make_video
        Makes an engine session without any object, whose cache is the one to fill.
    lock
        The device's.
    frames
        In the order in which they are wanted.
    """
    held = largest = 0
    for frame in frames:
        with lock.held(Priority.IDLE):
            video = make_video()
            if held + largest > video.cache.max_bytes:
                return
            with translate_oom(str(video.model.device)):
                num_bytes = video.encode(frame).num_bytes
        held, largest = held + num_bytes, max(largest, num_bytes)
        yield frame
