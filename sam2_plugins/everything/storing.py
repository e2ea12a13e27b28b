"""Storing of tracks in a session: as masks that a model made, which the review looks at, and as a lineage."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from sam2_engine.masks import CompressedMask, PackedMask
from sam2_plugins.everything.divisions import ProposedDivision, division_between
from sam2_plugins.everything.existing import FINDING, Beside, Existing, is_inside, sightings_of
from sam2_plugins.everything.sightings import Overlap, Sighting, overlaps
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import MaskRemark, MaskScores

__all__ = ["ToStore", "divisions_of", "store"]


def divisions_of(session: AnnotationSession) -> list[ProposedDivision]:
    """Return the divisions of a session into two, as they are now, the least probable first: to look at.

    Whoever linked them, and however masks were corrected since.
    """
    children: dict[int, list[int]] = {}
    for one in session.objects.values():
        if len(one.parents) == 1:
            children.setdefault(one.parents[0], []).append(one.id)

    def seen(object_id: int, step: int) -> tuple[int, Sighting] | None:
        for frame in session.frames_of(object_id)[::step]:
            accepted = session.accepted(object_id, frame)
            if accepted is not None and not accepted.mask.is_empty:
                return frame, Sighting.of(accepted)
        return None

    found = [division_between(mother, daughters, seen) for mother, daughters in children.items()]
    known = [one for one in found if one is not None]
    return sorted(known, key=lambda one: (one.probability, one.mother))


@dataclass(frozen=True)
class ToStore:
    """What is to be stored, by numbers of its own.

    Attributes
    ----------
    existing, found
        What is there, and what is new beside it.
    linked
        Who came from whom; each mother ends before her daughters begin.
    asked
        Divisions that might be, and are not taken for one: the review asks about them.
    """

    existing: Existing
    found: Beside
    linked: Sequence[ProposedDivision] = ()
    asked: Sequence[ProposedDivision] = ()


def store(
    session: AnnotationSession, given: ToStore, undo_group: object
) -> Generator[int, None, dict[int, int]]:
    """Make objects of tracks, one action each, so that one is stored whole or not at all.

    What is there already stays as it is, but for whom it came from.

    Parameters
    ----------
    session
        Where to.
    given
        What.
    undo_group
        By which all of it is undone as one.

    Yields
    ------
    int
        The number of each track that is stored.

    Returns
    -------
    dict
        Ids of the new objects by the numbers of their tracks.
    """
    found = given.found
    parents = {daughter: one.mother for one in given.linked for daughter in one.daughters}
    perhaps = {daughter for one in given.asked for daughter in one.daughters if daughter != one.mother}
    masks = _masks_apart(given.existing, found)
    ids: dict[int, int] = {}
    for number in sorted(masks, key=lambda one: (min(found.new[one]), one)):  # mothers first
        if masks[number]:
            first = min(masks[number])
            scores = {f: MaskScores(1.0, found.new[number][f].score, 1.0) for f in masks[number]}
            mother = None if number in found.known else {**ids, **found.known}.get(parents.get(number, -1))
            mothers = [mother] if mother is not None and _ended(session, mother, first) else []
            asked = number in perhaps and number not in found.known and not mothers
            ids[number] = session.import_track(
                masks[number],
                scores,
                parents=mothers,
                remark=MaskRemark.PERHAPS_BORN if asked else MaskRemark.NONE,
                undo_group=undo_group,
                action=FINDING,
            )
        yield number
    named = {**ids, **found.known}
    for daughter in sorted(parents.keys() & found.known.keys()):
        mother, known = named.get(parents[daughter]), found.known[daughter]
        first = min(sightings_of(session, known), default=-1)
        if mother is not None and not session.objects[known].parents and _ended(session, mother, first):
            session.lineage.set_parents(known, mother, undo_group)
    return ids


def _ended(session: AnnotationSession, object_id: int, frame: int) -> bool:
    """Whether an object is not seen from a frame on, so that it may have divided there."""
    return max(sightings_of(session, object_id), default=-1) < frame


def _masks_apart(existing: Existing, found: Beside) -> dict[int, dict[int, CompressedMask]]:
    """Return the masks of new objects by number and frame, without what they share, or others have already.

    Nothing is taken from them for a mask that holds both daughters of a division.
    """
    masks: dict[int, dict[int, CompressedMask]] = {number: {} for number in found.new}
    for frame in sorted({frame for track in found.new.values() for frame in track}):
        here = {number: track[frame] for number, track in found.new.items() if frame in track}
        taken = [
            seen[frame]
            for object_id, seen in existing.objects.items()
            if frame in seen and frame not in found.mistaken.get(object_id, ()) and not existing.nested
        ]
        for number, mask in _apart(here, taken).items():
            masks[number][frame] = mask
    return masks


def _apart(here: Mapping[int, Sighting], taken: Sequence[Sighting]) -> dict[int, CompressedMask]:
    """Return the masks of a frame without what they share, which is the surer one's, or what is taken."""
    ids = sorted(here, key=lambda i: (-here[i].score, i))
    ordered = [here[i] for i in ids]
    before = [*taken, *ordered]
    shared: dict[int, list[Overlap]] = {}
    for pair in overlaps(ordered, before):
        nested = pair.other < len(taken) and is_inside(pair)
        if pair.other < len(taken) + pair.one and not nested:
            shared.setdefault(pair.one, []).append(pair)
    masks: dict[int, CompressedMask] = {}
    for place, object_id in enumerate(ids):
        mask = ordered[place].mask
        if place in shared:
            pixels = mask.crop()
            for pair in shared[place]:
                pixels &= ~before[pair.other].mask.within(mask.box)
            corner = (mask.box[0].start, mask.box[1].start)
            mask = PackedMask.from_array(pixels, mask.shape, corner)
        if not mask.is_empty:
            masks[object_id] = mask.compress()
    return masks
