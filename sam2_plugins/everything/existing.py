"""Objects that a session has already: which of them tracks are, and what of tracks is new beside them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from sam2_plugins.everything.divisions import ProposedDivision, Sightings
from sam2_plugins.everything.sightings import Overlap, Sighting, overlaps
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.annotations import AnnotatedObject, Change, ChangeKind
from sam2_plugins.session.life import Life
from sam2_plugins.session.masks import AcceptedMask, MaskOrigin

__all__ = ["FINDING", "Beside", "Existing", "beside", "is_inside", "sightings_of"]

FINDING = "find everything"
"""What undo calls it."""
_KNOWN = 0.5
"""What shares more than this part with an object, on most of the frames on which both are, is that object."""
_INSIDE = 1 / 8
"""What lies in an object and is less than this part of it is no part of it, but an object inside."""
_REST = 0.25
"""Least part of the frames of a track on which the object that it is lies elsewhere, to be another there."""

Meetings = dict[tuple[int, int], dict[int, Overlap]]
"""By track and object the frames on which they share pixels."""


@dataclass(frozen=True)
class Existing:
    """What people have made, said and rejected before everything is found.

    Attributes
    ----------
    objects, removed
        Masks by object and frame, where it is there; removed are those that were found, not those that
        somebody clicked on, as far as undo goes back.
    confirmed
        By object the frames on which a person said what it is: prompted, painted or verified.
    lives
        By object the frames on which it can be, as people decided.
    unlinked
        (daughter, mother) whom a person has parted.
    nested
        Whether objects may lie within one another.
    """

    objects: Mapping[int, Sightings] = field(default_factory=dict)
    removed: Mapping[int, Sightings] = field(default_factory=dict)
    confirmed: Mapping[int, frozenset[int]] = field(default_factory=dict)
    lives: Mapping[int, Life] = field(default_factory=dict)
    unlinked: frozenset[tuple[int, int]] = frozenset()
    nested: bool = False

    @classmethod
    def of(cls, session: AnnotationSession) -> Self:
        """Return what a session has now."""
        removed, unlinked = _taken_back(session)
        return cls(
            {object_id: sightings_of(session, object_id) for object_id in session.objects},
            removed,
            {object_id: _confirmed(session, object_id) for object_id in session.objects},
            session.annotations.lives(),
            unlinked,
            session.memory.overlapping is True,
        )


@dataclass(frozen=True)
class Beside:
    """What tracks are beside the objects that are there already.

    Attributes
    ----------
    known
        By tracks the objects that they are.
    rejected
        Tracks of what was removed: they do not come back.
    new
        Sightings of the others by track and frame; of a track that is an object, those where it is elsewhere.
    beyond
        By objects the frames on which they were seen and have no mask.
    mistaken
        By objects the frames on which a mask that nobody has confirmed holds both daughters of a division.
    """

    known: Mapping[int, int]
    rejected: frozenset[int]
    new: Mapping[int, Sightings]
    beyond: Mapping[int, frozenset[int]]
    mistaken: Mapping[int, frozenset[int]]


def beside(
    existing: Existing, tracks: Mapping[int, Sightings], divisions: Sequence[ProposedDivision] = ()
) -> Beside:
    """Return which objects tracks are, and what is new.

    Parameters
    ----------
    existing
        What there is.
    tracks, divisions
        Sightings by track and frame, and who divided into whom there; mothers end before daughters begin.

    Examples
    --------
    >>> import numpy as np
    >>> from sam2_engine.masks import PackedMask
    >>> def disc(x):
    ...     rows, columns = np.ogrid[:40, :60]
    ...     return Sighting(PackedMask.from_array((columns - x) ** 2 + (rows - 20) ** 2 < 36), 109, 0.9)
    >>> there = Existing({7: {0: disc(20)}})
    >>> found = beside(there, {0: {0: disc(21), 1: disc(22)}, 1: {0: disc(40)}})
    >>> found.known, sorted(found.new), found.beyond
    ({0: 7}, [1], {7: frozenset({1})})
    """
    same = _same_alone if existing.nested else _same_at_all
    met = _meetings(tracks, existing.objects)
    known = _known(met, tracks, existing.objects, same)
    both = _holding_both(existing, tracks, divisions, known, met)
    if both:  # what holds two daughters is neither of them
        without = {
            object_id: {frame: one for frame, one in seen.items() if frame not in both.get(object_id, ())}
            for object_id, seen in existing.objects.items()
        }
        known = _known(_meetings(tracks, without), tracks, without, same)
    mistaken = {i: _mistaken(existing, i, frames) for i, frames in both.items()}
    gone = _known(_meetings(tracks, existing.removed), tracks, existing.removed, _same_alone)
    rejected = frozenset(gone.keys() - known.keys())
    new: dict[int, Sightings] = {}
    beyond: dict[int, set[int]] = {}
    covered = _covered(met, same, mistaken)
    for number in tracks.keys() - rejected:
        left = {f: one for f, one in tracks[number].items() if f not in covered.get(number, ())}
        if number in known:
            there = existing.objects[known[number]]
            beyond.setdefault(known[number], set()).update(_open_frames(existing, known[number], left))
            elsewhere = there.keys() - mistaken.get(known[number], ())
            left = {f: one for f, one in left.items() if f in elsewhere}
        if left and (number not in known or len(left) >= _REST * len(tracks[number])):
            new[number] = left
    seen_beyond = {i: frozenset(frames) for i, frames in sorted(beyond.items()) if frames}
    return Beside(known, rejected, new, seen_beyond, mistaken)


def _open_frames(existing: Existing, object_id: int, frames: Iterable[int]) -> set[int]:
    """Return the frames on which an object has no mask, and nobody said that it is not there."""
    life = existing.lives.get(object_id, Life())
    settled = existing.objects[object_id].keys() | existing.confirmed.get(object_id, frozenset())
    return {frame for frame in frames if frame in life and frame not in settled}


def sightings_of(session: AnnotationSession, object_id: int) -> dict[int, Sighting]:
    """Return an object's masks by frame, where it is there."""
    sightings: dict[int, Sighting] = {}
    for frame in session.frames_of(object_id):
        accepted = session.accepted(object_id, frame)
        if accepted is not None and not accepted.mask.is_empty:
            sightings[frame] = Sighting.of(accepted)
    return sightings


def _confirmed(session: AnnotationSession, object_id: int) -> frozenset[int]:
    """Return the frames on which a person said what an object is."""
    masks = session.annotations.masks_of(object_id)
    painted = {frame for frame, one in masks.items() if one.origin is MaskOrigin.PAINTED}
    return frozenset(session.annotations.prompts_of(object_id)) | painted | session.verified(object_id)


def _taken_back(session: AnnotationSession) -> tuple[dict[int, Sightings], frozenset[tuple[int, int]]]:
    """Return what was found and then removed, by object and frame, and (daughter, mother) that were parted.

    As far as undo goes back.
    """
    objects = session.objects
    removed: dict[int, Sightings] = {}
    unlinked: set[tuple[int, int]] = set()
    was_found: set[int] = set()
    for name, changes in session.history.undo_state().undo_actions:
        for change in changes:
            one, before, after = change.object_id, change.before, change.after
            if isinstance(before, AnnotatedObject) and isinstance(after, AnnotatedObject) and one in objects:
                parted = set(before.parents) - {*after.parents, *objects[one].parents}
                unlinked.update((one, mother) for mother in parted)
            elif change.kind is ChangeKind.OBJECT and before is None and name == FINDING:
                was_found.add(one)
            elif change.kind is ChangeKind.OBJECT and after is None and one not in objects:
                gone = [other for other in changes if other.object_id == one]
                if one in was_found or not any(other.kind is ChangeKind.PROMPTS for other in gone):
                    removed[one] = _masks_before(gone)
    return removed, frozenset(unlinked)


def _masks_before(changes: Iterable[Change]) -> dict[int, Sighting]:
    """Return the masks that changes took away, by frame."""
    return {
        change.frame: Sighting.of(change.before)
        for change in changes
        if change.frame is not None and isinstance(change.before, AcceptedMask) and change.after is None
        if not change.before.mask.is_empty
    }


def is_inside(pair: Overlap) -> bool:
    """Whether what a track shows is an object within one that is there, which is much larger."""
    return pair.of_one > _KNOWN and pair.of_other < _INSIDE


def _same_at_all(pair: Overlap) -> bool:
    return pair.of_smaller > _KNOWN and not is_inside(pair)


def _same_alone(pair: Overlap) -> bool:
    return pair.iou > _KNOWN


def _meetings(tracks: Mapping[int, Sightings], objects: Mapping[int, Sightings]) -> Meetings:
    """Return where tracks and objects share pixels."""
    met: Meetings = {}
    tracks_on, objects_on = _by_frame(tracks), _by_frame(objects)
    for frame in sorted(tracks_on.keys() & objects_on.keys()):
        here, there = tracks_on[frame], objects_on[frame]
        numbers, ids = list(here), list(there)
        for pair in overlaps(list(here.values()), list(there.values())):
            met.setdefault((numbers[pair.one], ids[pair.other]), {})[frame] = pair
    return met


def _by_frame(tracks: Mapping[int, Sightings]) -> dict[int, dict[int, Sighting]]:
    on: dict[int, dict[int, Sighting]] = {}
    for number, track in tracks.items():
        for frame, one in track.items():
            on.setdefault(frame, {})[number] = one
    return on


def _known(
    met: Meetings,
    tracks: Mapping[int, Sightings],
    objects: Mapping[int, Sightings],
    same: Callable[[Overlap], bool],
) -> dict[int, int]:
    """Return by tracks the objects that they are, on most of the frames on which both are."""
    best: dict[int, tuple[int, float, int]] = {}
    for (number, object_id), frames in sorted(met.items()):
        alike = [pair for pair in frames.values() if same(pair)]
        if 2 * len(alike) > len(tracks[number].keys() & objects[object_id].keys()):
            mine = (len(alike), sum(pair.iou for pair in alike), object_id)
            best[number] = max(best.get(number, mine), mine)
    return {number: object_id for number, (*_, object_id) in best.items()}


def _holding_both(
    existing: Existing,
    tracks: Mapping[int, Sightings],
    divisions: Iterable[ProposedDivision],
    known: Mapping[int, int],
    met: Meetings,
) -> dict[int, frozenset[int]]:
    """Return by mothers that are there already the frames on which their masks hold both daughters.

    On some only one daughter is seen, in a mask that is much larger. None if a person said on the last of
    these that it is one object.
    """
    holding: dict[int, frozenset[int]] = {}
    for one in divisions:
        mother = known.get(one.mother)
        if mother is None:
            continue
        first, second = (met.get((daughter, mother), {}) for daughter in one.daughters)
        inside = [{f for f, pair in pairs.items() if pair.of_one > _KNOWN} for pairs in (first, second)]
        two = tracks[one.daughters[0]].keys() & tracks[one.daughters[1]].keys()
        alone = (inside[0] ^ inside[1]) - two  # the other one is not seen there
        larger = {f for f in alone if max(p[f].iou for p in (first, second) if f in p) <= _KNOWN}
        both = frozenset(inside[0] & inside[1] | larger)
        if both and max(both) not in existing.confirmed[mother]:
            holding[mother] = holding.get(mother, frozenset()) | both
    return holding


def _mistaken(existing: Existing, object_id: int, both: Iterable[int]) -> frozenset[int]:
    """Return the frames after the last one on which a person said that it is one object."""
    said = max((frame for frame in both if frame in existing.confirmed[object_id]), default=-1)
    return frozenset(frame for frame in both if frame > said)


def _covered(
    met: Meetings, same: Callable[[Overlap], bool], mistaken: Mapping[int, frozenset[int]]
) -> dict[int, set[int]]:
    """Return by tracks the frames on which they lie on an object that is there rightly."""
    covered: dict[int, set[int]] = {}
    for (number, object_id), frames in met.items():
        wrong = mistaken.get(object_id, ())
        here = {frame for frame, pair in frames.items() if same(pair) and frame not in wrong}
        covered.setdefault(number, set()).update(here)
    return covered
