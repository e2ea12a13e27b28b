"""Prefetch of frames: encoded before anybody prompts there, so that a click costs only the decoder."""

from collections.abc import Callable, Iterable, Iterator

from sam2_engine.video.tracking_session import TrackingSession
from sam2_plugins.runtime.jobs import DeviceLock, Priority
from sam2_plugins.runtime.out_of_memory import translate_oom

__all__ = ["prefetch"]


def prefetch(
    make_engine: Callable[[], TrackingSession], lock: DeviceLock, frames: Iterable[int]
) -> Iterator[int]:
    """Encode frames one after the other and yield each; whatever else waits for the device goes first.

    It ends before the cache would have to evict the first one for the next.

    Parameters
    ----------
    make_engine
        Makes an engine session without any object, whose cache is the one to fill.
    lock
        The device's.
    frames
        In the order in which they are wanted.
    """
    held = largest = 0
    for frame in frames:
        with lock.held(Priority.IDLE):
            engine = make_engine()
            if held + largest > engine.cache.max_bytes:
                return
            with translate_oom(str(engine.model.device)):
                num_bytes = engine.prepare(frame)
        held, largest = held + num_bytes, max(largest, num_bytes)
        yield frame
