"""Do again what was asked of a session, without a host: the same masks come out."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any

from sam2_plugins.annotation_session import AnnotationSession
from sam2_plugins.storage.values import call_of

__all__ = ["differences", "joined_calls", "replay"]


def joined_calls(calls: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Join the frames of a propagation, each a call of its own, to one call with ``frames``."""
    run: dict[str, Any] | None = None
    for call in calls:
        if call["do"] == "follow":
            step = -1 if call["reverse"] else 1
            same = run and all(run[key] == call[key] for key in ("object_ids", "reverse"))
            if run and same and call.get("joined") and run["frames"][-1] + step == call["frame"]:
                run["frames"].append(call["frame"])
                continue
            if run:
                yield run
            run = {**call, "frames": [call["frame"]]}  # its first frame says what it is joined to
            continue
        if run:
            yield run
            run = None
        yield dict(call)
    if run:
        yield run


def replay(session: AnnotationSession, calls: Iterable[Mapping[str, Any]]) -> Iterator[int]:
    """Ask all of a new session, and yield after each call how many frames it took.

    Parameters
    ----------
    session
        Empty, on the same frames with the model that the other began with.
    calls
        Those of :meth:`SessionFolder.calls`.
    """
    for value in joined_calls(calls):
        call = call_of(value)
        steps = int(call.pop("joined", 0))
        with session.joining(steps) if steps else nullcontext():
            yield _ask(session, call.pop("do"), call)


def _ask(session: AnnotationSession, name: str, call: dict[str, Any]) -> int:
    """Ask one call and return how many frames it took."""
    if name == "follow":
        frames = call["frames"]
        return sum(1 for _ in session.propagate(call["object_ids"], frames[0], frames[-1], call["reverse"]))
    if name == "answer_again":
        return sum(1 for _ in session.answer_again(call["places"]))
    owner = session.lineage if name.startswith("lineage.") else session
    getattr(owner, name.removeprefix("lineage."))(**call)
    return 0


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
