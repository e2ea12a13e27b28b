"""The replay of what was asked of a session, without a host and to the same masks."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any

from sam2_engine.errors import InputError
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.life import Life
from sam2_plugins.session.masks import MaskRemark
from sam2_plugins.storage.serialization import call_from_json

__all__ = ["RECORDED_CALLS", "differences", "merge_propagation_calls", "replay"]


def merge_propagation_calls(calls: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Merge the frames of a propagation, each a call of its own, into one call with ``frames``.

    Examples
    --------
    >>> first = {"do": "follow", "object_ids": [1], "frame": 3, "reverse": False}
    >>> second = {**first, "frame": 4, "joined": True}
    >>> [call["frames"] for call in merge_propagation_calls([first, second])]
    [[3, 4]]
    """
    propagation: dict[str, Any] | None = None
    for call in calls:
        if call["do"] == "follow":
            if propagation and _is_next_frame(propagation, call):
                propagation["frames"].append(call["frame"])
                continue
            if propagation:
                yield propagation
            propagation = {**call, "frames": [call["frame"]]}  # "joined" is that of its first frame
            continue
        if propagation:
            yield propagation
            propagation = None
        yield dict(call)
    if propagation:
        yield propagation


def _is_next_frame(propagation: Mapping[str, Any], call: Mapping[str, Any]) -> bool:
    step = -1 if call["reverse"] else 1
    same = all(propagation[key] == call[key] for key in ("object_ids", "reverse"))
    return bool(same and call.get("joined") and propagation["frames"][-1] + step == call["frame"])


def replay(session: AnnotationSession, calls: Iterable[Mapping[str, Any]]) -> Iterator[int]:
    """Make the calls of one session on a new one, and yield after each how many frames it took.

    Parameters
    ----------
    session
        Empty, on the same frames, with the model that the other began with.
    calls
        Those of :meth:`SessionFolder.calls`.

    Examples
    --------
    >>> import numpy as np
    >>> from sam2_plugins import AnnotationSession, ModelStore
    >>> session = AnnotationSession(np.zeros((3, 64, 80), np.uint8), ModelStore())
    >>> calls = [{"do": "add_object", "name": "cell", "label": None, "object_id": 1}, {"do": "undo"}]
    >>> list(replay(session, calls))
    [0, 0]
    >>> session.redo_name
    'new object'
    """
    for value in merge_propagation_calls(calls):
        call = call_from_json(value)
        steps = int(call.pop("joined", 0))
        with session.history.grouped_with(steps) if steps else nullcontext():
            yield _make_call(session, call.pop("do"), call)


def _make_call(session: AnnotationSession, name: str, call: dict[str, Any]) -> int:
    """Make one call and return how many frames it took."""
    if name not in RECORDED_CALLS:
        raise InputError(f"The session was recorded by a newer version: it knows no {name!r} yet.")
    done = RECORDED_CALLS[name](session, **call)
    return sum(1 for _ in done) if isinstance(done, Iterator) else 0


def _propagate(
    session: AnnotationSession, object_ids: list[int], frames: list[int], reverse: bool, frame: int
) -> Iterator[object]:
    lives = session.annotations.lives()  # programs before format 3 tracked objects beyond their lives
    living = [i for i in object_ids if lives[i].within(min(frames), max(frames))]
    return session.iter_propagate(living, frames[0], frames[-1], reverse) if living else iter(())


# By the names that stand in session folders, with the arguments of these names: a part of their format.
RECORDED_CALLS: Mapping[str, Callable[..., object]] = {
    "add_object": lambda session, name, label, object_id: session.add_object(
        name, label, object_id=object_id
    ),
    "edit_object": lambda session, object_id, name=None, label=None, color=None: session.edit_object(
        object_id, name=name, label=label, color=color
    ),
    "remove_object": lambda session, object_id: session.remove_object(object_id),
    "add_prompt": lambda session, frame, object_id, prompt, replace: session.add_prompt(
        frame, object_id, prompt, replace
    ),
    "clear_prompts": lambda session, object_id, frame: session.clear_prompts(object_id, frame),
    "answer_again": lambda session, places: session.iter_repredict(places),
    "follow": _propagate,
    "take_masks": lambda session, frame, masks, as_prompts=False: session.import_masks(
        frame, masks, as_prompts=as_prompts
    ),
    "take_track": lambda session, masks, scores, parents, object_id, remark="NONE": session.import_track(
        masks, scores, parents=parents, remark=MaskRemark[remark], object_id=object_id
    ),
    "verify": lambda session, object_id, frames, verified: session.verify(object_id, frames, verified),
    "lineage.set_parents": lambda session, object_id, parents: session.lineage.set_parents(
        object_id, parents
    ),
    "lineage.divide": lambda session, mother, frame, daughters: session.lineage.divide(
        mother, frame, daughters
    ),
    "lineage.merge": lambda session, keep, other: session.lineage.merge(keep, other),
    "lineage.split": lambda session, object_id, frame: session.lineage.split(object_id, frame),
    "lineage.swap": lambda session, one, other, frame: session.lineage.swap(one, other, frame),
    "lineage.delete_from": lambda session, object_id, frame: session.lineage.delete_from(
        object_id,
        frame,
        all_of_it=True,  # which earlier programs allowed
    ),
    "lineage.mark_absent": lambda session, object_id, frame, last: session.lineage.mark_absent(
        object_id, frame, last
    ),
    "lineage.set_life": lambda session, object_id, life: session.lineage.set_life(
        object_id, Life.from_json(life)
    ),
    "set_window": lambda session, window: session.set_window(window),
    "use_model": lambda session, model: session.use_model(model),
    "drop_engine": lambda session: session.drop_engine(),
    "undo": lambda session: session.undo(),
    "redo": lambda session: session.redo(),
}


def differences(one: AnnotationSession, other: AnnotationSession) -> list[tuple[int, int]]:
    """Return where two sessions on the same frames have different masks, as (object id, frame), sorted."""
    places = {(i, f) for session in (one, other) for i in session.objects for f in session.frames_of(i)}
    return sorted(place for place in places if _pixels(one, *place) != _pixels(other, *place))


def _pixels(session: AnnotationSession, object_id: int, frame: int) -> tuple[object, ...] | None:
    accepted = session.accepted(object_id, frame)
    if accepted is None:
        return None
    rows, columns = accepted.mask.box
    return rows.start, rows.stop, columns.start, columns.stop, accepted.mask.bits
