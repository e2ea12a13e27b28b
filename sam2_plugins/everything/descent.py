"""Divisions beside objects that are there already: which the lineage takes, and which are only proposed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from sam2_plugins.everything.divisions import ProposedDivision
from sam2_plugins.everything.existing import Beside, Existing
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import MaskRemark

__all__ = ["may_be_linked", "not_ruled_out", "under_ids"]


def not_ruled_out(
    session: AnnotationSession, existing: Existing, found: Beside, divisions: Iterable[ProposedDivision]
) -> Iterator[ProposedDivision]:
    """Yield the divisions of tracks of which a lineage that is there does not say otherwise, and nobody else.

    Left out is, too, what it says already.
    """
    for one in divisions:
        parts = (one.mother, *one.daughters)
        mother, *daughters = (found.known.get(part) for part in parts)
        if any(part in found.rejected or not (part in found.known or part in found.new) for part in parts):
            continue
        if mother is not None and daughters == [mother, mother]:  # a person says that it is one
            continue
        born = [each for each in daughters if each is not None and each != mother]
        children = set() if mother is None else {*session.lineage.children_of(mother)}
        if children - {*born} or any(_said(session, existing, each, mother) for each in born):
            continue
        if len(born) == len(daughters) and children == {*born}:
            continue
        yield one


def _said(session: AnnotationSession, existing: Existing, daughter: int, mother: int | None) -> bool:
    """Whether a person said that an object did not come from another one (None: from one that is new)."""
    parents = session.objects[daughter].parents
    if parents:
        return parents != (mother,)
    if mother is not None and (daughter, mother) in existing.unlinked:
        return True
    first = min(existing.objects[daughter], default=-1)
    accepted = session.accepted(daughter, first) if first >= 0 else None
    asked = accepted is not None and accepted.remark is MaskRemark.PERHAPS_BORN
    return asked and session.annotations.is_verified(daughter, first)


def may_be_linked(existing: Existing, found: Beside, division: ProposedDivision) -> bool:
    """Whether the mother is gone before her daughters begin, and those that are there begin with it."""
    frames = {
        part: (existing.objects[found.known[part]] if part in found.known else found.new[part]).keys()
        for part in (division.mother, *division.daughters)
    }
    ends = max(frames[division.mother], default=-1)
    for daughter in division.daughters:
        begins = min(frames[daughter], default=-1)
        if begins <= ends or (daughter in found.known and begins != division.frame):
            return False
    return True


def under_ids(divisions: Sequence[ProposedDivision], ids: dict[int, int]) -> tuple[ProposedDivision, ...]:
    """Return the divisions of tracks under the ids of the objects that they are, where all of them are."""
    return tuple(
        replace(one, mother=ids[one.mother], daughters=(ids[one.daughters[0]], ids[one.daughters[1]]))
        for one in divisions
        if {one.mother, *one.daughters} <= ids.keys()
    )
