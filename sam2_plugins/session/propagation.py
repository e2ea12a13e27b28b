"""One propagation, frame by frame: what the plan says is tracked by the engine and stored."""

import math
from collections.abc import Iterator, Mapping

from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.tracking_session import TrackingSession
from sam2_plugins.runtime.jobs import CancelToken, DeviceLock, Priority
from sam2_plugins.session.annotations import Annotations
from sam2_plugins.session.engine_session import EngineSession
from sam2_plugins.session.history import History
from sam2_plugins.session.masks import AcceptedMask, MaskOrigin
from sam2_plugins.session.propagation_plan import PropagationPlan

__all__ = ["propagate", "store_result"]


def propagate(
    plan: PropagationPlan,
    lock: DeviceLock,
    engine_session: EngineSession,
    history: History,
    cancel: CancelToken | None = None,
    undo_group: object = None,
) -> Iterator[FrameResult]:
    """Track what the plan says and yield each frame once it is stored; the device is held for one at a time.

    Whatever happens between two frames, a prompt, a removal, an engine that was dropped, is seen at the next
    one. Undo and redo end it.

    Parameters
    ----------
    plan
        Which objects on which frames.
    lock, engine_session, history
        The session's.
    cancel
        Checked before every frame.
    undo_group
        Propagations one after the other with the same token are undone as one.

    Raises
    ------
    InputError
        At the first frame, if there is nothing to track; or if a frame cannot be read.
    """
    first, last = plan.bounds()
    undo_group = object() if undo_group is None else undo_group
    interruptions = history.interruptions
    frame = first
    steps: Iterator[FrameResult] = iter(())
    running: tuple[TrackingSession, tuple[int, ...], int] | None = None  # which engine, objects, next frame
    while frame * plan.step <= last * plan.step and not (cancel is not None and cancel.cancelled):
        with lock.held(Priority.BACKGROUND):
            if history.interruptions != interruptions:
                return
            active, result = plan.active_on(frame), None
            if active:
                with engine_session.acquire() as engine:
                    if running != (engine, active, frame):
                        engine_session.add_verified_as_prompts(active, frame)
                        stop = None if last == math.inf else int(last)
                        steps = engine.propagate(active, frame, stop, plan.reverse)
                    result = next(steps, None)
                    if result is None:  # a live stream has ended
                        return
                    _store_propagated(plan, history, result, undo_group)
                running = (engine, active, frame + plan.step)
        if result is not None:
            yield result
        frame += plan.step


def _store_propagated(
    plan: PropagationPlan, history: History, result: FrameResult, undo_group: object
) -> None:
    call = {"do": "follow", "object_ids": list(result.object_ids), "frame": result.frame}
    accepted = _accepted(plan.annotations, result)  # before the action, which others would have to wait for
    with history.action("tracking", {**call, "reverse": plan.reverse}, undo_group):
        _store(plan.annotations, result.frame, accepted)
        _exchange_back(plan, result)


def _exchange_back(plan: PropagationPlan, result: FrameResult) -> None:
    """Exchange the masks that were stored of earlier frames, where two objects were taken for each other.

    Not on frames on which a person prompted, painted or verified one of them.
    """
    annotations = plan.annotations
    for pair, since in result.exchanges.items():
        for frame in range(since, result.frame, plan.step):
            found = [annotations.mask(one, frame) for one in pair]
            if any(annotations.is_verified(one, frame) for one in pair):
                continue
            one, other = found
            if one is None or other is None or {one.origin, other.origin} != {MaskOrigin.TRACKED}:
                continue
            annotations.set_mask(pair[0], frame, other)
            annotations.set_mask(pair[1], frame, one)


def store_result(annotations: Annotations, result: FrameResult, prompted: bool = False) -> None:
    """Store what the engine predicted on a frame, but never instead of what a person prompted or verified.

    Parameters
    ----------
    annotations
        Where an action is open.
    result
        Of any objects; those that have been removed meanwhile are passed over.
    prompted
        Whether it was predicted from the prompts of these objects on this frame.
    """
    _store(annotations, result.frame, _accepted(annotations, result, prompted))


def _store(annotations: Annotations, frame: int, accepted: Mapping[int, AcceptedMask]) -> None:
    for object_id, mask in accepted.items():
        annotations.set_mask(object_id, frame, mask)


def _accepted(
    annotations: Annotations, result: FrameResult, prompted: bool = False
) -> dict[int, AcceptedMask]:
    """Return what is to be stored of a frame's result, by object id."""
    lives, masks = annotations.lives(), {}
    for index, object_id in enumerate(result.object_ids):
        if object_id not in lives or annotations.is_verified(object_id, result.frame):
            continue
        prompts = annotations.prompts_of(object_id).get(result.frame, ())
        if not prompts and result.frame not in lives[object_id]:
            continue
        if not prompts:
            masks[object_id] = AcceptedMask.predicted(result, index, MaskOrigin.TRACKED)
        elif not prompted:
            continue
        elif prompts[-1].mask is not None:
            masks[object_id] = AcceptedMask.painted(prompts[-1].mask)
        else:
            masks[object_id] = AcceptedMask.predicted(result, index, MaskOrigin.PROMPTED)
    return masks
