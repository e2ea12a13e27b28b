"""Acceptance of a proposed division: the mother ends or is cut in two, and both daughters come from her."""

from sam2_engine.errors import InputError
from sam2_plugins.everything.existing import sightings_of
from sam2_plugins.everything.sightings import Sighting, overlaps
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import MaskRemark

__all__ = ["came_from"]

_HELD = 0.5
"""Part of a daughter in her mother's mask from which on that is a mask of both."""


def came_from(session: AnnotationSession, daughter: int, mother: int) -> tuple[int, ...]:
    """Say that an object came from another one by a division; return all daughters. One undo takes it back.

    A mother that is still there where the daughter begins is cut in two there: what comes later is the other
    daughter, a new object. If most of her masks there hold the daughter, too, she ends, and who was proposed
    together with the daughter comes from her as well.

    Raises
    ------
    InputError
        If an object is unknown or nowhere visible, both are the same, the daughter begins no later than the
        mother, or the mother came from her.

    Examples
    --------
    >>> import numpy as np
    >>> from sam2_plugins import AnnotationSession, ModelStore
    >>> session = AnnotationSession(np.zeros((4, 40, 60), np.uint8), ModelStore())
    >>> for frame in range(4):
    ...     here = np.zeros((2, 40, 60), bool)
    ...     here[0, 10:20, 10:20] = here[1, 10:20, 22:30] = True
    ...     session.import_masks(frame, {1: here[0]} if frame < 2 else {1: here[0], 2: here[1]})
    >>> came_from(session, 2, mother=1)
    (2, 3)
    >>> session.frames_of(1), session.frames_of(3)
    ([0, 1], [2, 3])
    """
    ids = [session.annotations.require(one) for one in (daughter, mother)]
    born, seen = (sightings_of(session, one) for one in ids)
    begins, called = min(born, default=None), session.annotations.called
    if begins is None or min(seen, default=begins) >= begins or _descends(session, mother, daughter):
        raise InputError(
            f"{called(daughter, begins=True)} cannot have come from {called(mother)}: a mother is seen on an "
            "earlier frame than her daughter, and did not come from her."
        )
    group = object()
    held = [_holds(seen[frame], one) for frame, one in born.items() if frame in seen]
    others: list[int] = []
    if max(seen) >= begins and 2 * sum(held) > len(held):
        others = [one for one in session.objects if one not in ids and _is_sister(session, one, seen, begins)]
        session.lineage.delete_from(mother, begins, undo_group=group)
    elif max(seen) >= begins:
        others = [session.lineage.split(mother, begins, group)]
    for one in (daughter, *others):
        session.lineage.set_parents(one, mother, group)
    return session.lineage.children_of(mother)


def _holds(mother: Sighting, daughter: Sighting) -> bool:
    return any(pair.of_other > _HELD for pair in overlaps([mother], [daughter]))


def _is_sister(session: AnnotationSession, object_id: int, mother: dict[int, Sighting], begins: int) -> bool:
    """Whether an object was proposed together with a daughter that begins on a frame."""
    seen, accepted = sightings_of(session, object_id), session.accepted(object_id, begins)
    proposed = accepted is not None and accepted.remark is MaskRemark.PERHAPS_BORN
    first = min(seen, default=-1) == begins and begins in mother
    return (
        first and proposed and not session.objects[object_id].parents and _holds(mother[begins], seen[begins])
    )


def _descends(session: AnnotationSession, object_id: int, ancestor: int) -> bool:
    """Whether an object is another one, or came from it."""
    waiting, known = [object_id], set[int]()
    while waiting:
        one = waiting.pop()
        if one == ancestor:
            return True
        if one not in known and one in session.objects:
            known.add(one)
            waiting += session.objects[one].parents
    return False
