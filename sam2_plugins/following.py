"""A propagation, frame by frame: the plan is looked up, the engine asked, the answer kept."""

import math
from collections.abc import Callable, Iterator

from sam2_engine.frame_result import FrameResult
from sam2_engine.video_session import VideoSession
from sam2_plugins.history import History
from sam2_plugins.jobs import CancelToken, DeviceLock, Priority
from sam2_plugins.propagation_plan import PropagationPlan
from sam2_plugins.rebuildable_video import RebuildableVideo

__all__ = ["follow"]


def follow(
    plan: PropagationPlan,
    lock: DeviceLock,
    video: RebuildableVideo,
    history: History,
    accept: Callable[[FrameResult, bool, object], None],
    cancel: CancelToken | None = None,
) -> Iterator[FrameResult]:
    """Follow what the plan says and yield each frame once it is kept; the device is held for one at a time.

    Whatever happens between two frames, a prompt, a removal, an engine that was dropped, is seen at the next
    one. Undo and redo end it.

    Parameters
    ----------
    plan
        Which objects on which frames.
    lock, video, history
        The session's.
    accept
        Keeps a frame's result; also given the direction, and an object that is the same for all frames
        of this propagation.
    cancel
        Looked at before every frame.

    Raises
    ------
    InputError
        At the first frame, if there is nothing to follow; or if a frame cannot be read.
    """
    first, last = plan.bounds()
    token, interruptions = object(), history.interruptions
    frame = first
    steps: Iterator[FrameResult] = iter(())
    driven: tuple[VideoSession, tuple[int, ...], int] | None = None  # whom, which objects, the next frame
    while frame * plan.step <= last * plan.step and not (cancel is not None and cancel.cancelled):
        with lock.held(Priority.BACKGROUND):
            if history.interruptions != interruptions:
                return
            active, result = plan.active_on(frame), None
            if active:
                with video.driving() as engine:
                    if driven != (engine, active, frame):
                        video.lend_verified(active, frame)
                        stop = None if last == math.inf else int(last)
                        steps = engine.propagate(active, frame, stop, plan.reverse)
                    result = next(steps, None)
                    if result is None:  # a live stream has ended
                        return
                    accept(result, plan.reverse, token)
                driven = (engine, active, frame + plan.step)
        if result is not None:
            yield result
        frame += plan.step
