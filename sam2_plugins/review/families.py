"""Divisions that a lineage says, how probable each is, and on which mask the review asks about it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from sam2_plugins.everything.divisions import division_between
from sam2_plugins.everything.sightings import Sighting
from sam2_plugins.session.masks import AcceptedMask

__all__ = ["DivisionDoubt", "Families"]

Place = tuple[int, int]
"""Object id and frame."""


class DivisionDoubt(NamedTuple):
    """A division in doubt.

    Attributes
    ----------
    mother, sister
        Ids of whom an object came from, and who came beside it.
    probability
        0..1, by sizes and positions.
    """

    mother: int
    sister: int
    probability: float


class Masks(Protocol):
    """What is known of one object."""

    masks: dict[int, AcceptedMask]
    frames: list[int]


class Families:
    """Mothers and daughters, whose divisions are judged anew where their masks change.

    The review asks about a division where the first of the daughters is seen first.
    """

    def __init__(self) -> None:
        self._parents: dict[int, tuple[int, ...]] = {}
        self._children: dict[int, set[int]] = {}
        self._places: dict[int, Place] = {}
        self._doubts: dict[Place, DivisionDoubt] = {}
        self._outdated: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._parents)

    def change(self, object_id: int, parents: Iterable[int]) -> None:
        """Take over whom an object came from."""
        now = tuple(parents)
        before = self._parents.get(object_id, ())
        if now == before:
            return
        for mother in before:
            self._children[mother].discard(object_id)
        for mother in now:
            self._children.setdefault(mother, set()).add(object_id)
        self._parents[object_id] = now
        self._outdated.update(before, now)

    def touch(self, object_id: int) -> None:
        """Take over that a mask of an object is another one."""
        if self._children.get(object_id):
            self._outdated.add(object_id)
        self._outdated.update(self._parents.get(object_id, ()))

    def doubt(self, object_id: int, frame: int) -> DivisionDoubt | None:
        """Return the division that is asked about there."""
        return self._doubts.get((object_id, frame))

    def update(self, objects: Mapping[int, Masks]) -> set[Place]:
        """Judge what has changed; return the places of which what is asked there did."""

        def seen(object_id: int, step: int) -> tuple[int, Sighting] | None:
            known = objects.get(object_id)
            if known is None:
                return None
            for frame in known.frames[::step]:
                if not known.masks[frame].mask.is_empty:
                    return frame, Sighting.of(known.masks[frame])
            return None

        changed: set[Place] = set()
        for mother in self._outdated:
            place = self._places.pop(mother, None)
            if place is not None:
                del self._doubts[place]
                changed.add(place)
            daughters = self._of_her_alone(mother)
            division = division_between(mother, daughters, seen)
            if division is not None:
                first = seen(daughters[0], 1)
                assert first is not None  # else there is no division
                self._places[mother] = place = (daughters[0], first[0])
                self._doubts[place] = DivisionDoubt(mother, daughters[1], division.probability)
                changed.add(place)
        self._outdated.clear()
        return changed

    def _of_her_alone(self, mother: int) -> Sequence[int]:
        return sorted(one for one in self._children.get(mother, ()) if self._parents[one] == (mother,))
