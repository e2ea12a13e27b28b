"""Divisions that a lineage says or that were proposed, how probable each is, and where the review asks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sam2_plugins.everything.divisions import LATE, division_between
from sam2_plugins.everything.sightings import Sighting
from sam2_plugins.review.births import SeenObject, birth_of
from sam2_plugins.session.masks import AcceptedMask, MaskRemark

__all__ = ["DivisionDoubt", "Families"]

Place = tuple[int, int]
"""Object id and frame."""


class DivisionDoubt(NamedTuple):
    """A division in doubt.

    Attributes
    ----------
    mother, sister
        Ids of whom an object came from, and who came beside it; the mother's own if she goes on.
    probability
        0..1, by sizes and positions.
    in_lineage
        Whether the lineage says it; False: it is proposed.
    """

    mother: int
    sister: int
    probability: float
    in_lineage: bool = True


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
        self._perhaps: dict[int, set[int]] = {}  # by frame who perhaps was born there
        self._births: dict[Place, DivisionDoubt] = {}
        self._outdated_births: set[int] = set()

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
        self._outdated_births.add(object_id)

    def touch(self, object_id: int, frame: int, mask: AcceptedMask | None) -> None:
        """Take over that a mask of an object is another one (None: is none)."""
        born = self._perhaps.get(frame, set())
        if mask is not None and mask.remark is MaskRemark.PERHAPS_BORN:
            self._perhaps.setdefault(frame, born).add(object_id)
        elif object_id in born:
            born.discard(object_id)
            self._outdated_births.add(object_id)
        if self._perhaps:
            for first in range(frame, frame + LATE + 1):
                self._outdated_births.update(self._perhaps.get(first, ()))
        if self._children.get(object_id):
            self._outdated.add(object_id)
        self._outdated.update(self._parents.get(object_id, ()))

    def doubt(self, object_id: int, frame: int) -> DivisionDoubt | None:
        """Return the division that is asked about there."""
        place = object_id, frame
        return self._doubts.get(place, self._births.get(place))

    def update(self, objects: Mapping[int, SeenObject]) -> set[Place]:
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
        return changed | self._update_births(objects)

    def _update_births(self, objects: Mapping[int, SeenObject]) -> set[Place]:
        """Judge who perhaps was born anew, where masks around have changed; return the places."""
        outdated, self._outdated_births = self._outdated_births, set()
        changed = {place for place in self._births if place[0] in outdated}
        for place in changed:
            del self._births[place]
        asked = [(one, frame) for frame, born in self._perhaps.items() for one in outdated & born]
        for object_id, frame in asked:
            parents = self._parents.get(object_id)
            birth = None if parents else birth_of(object_id, frame, objects)
            if parents:  # somebody has answered
                self._births[object_id, frame] = DivisionDoubt(parents[0], object_id, 1.0)
            elif birth is not None:
                sister, probability = birth.daughters[1], birth.probability
                self._births[object_id, frame] = DivisionDoubt(birth.mother, sister, probability, False)
            changed.add((object_id, frame))
        return changed

    def _of_her_alone(self, mother: int) -> Sequence[int]:
        return sorted(one for one in self._children.get(mother, ()) if self._parents[one] == (mother,))
