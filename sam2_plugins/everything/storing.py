"""Storing of tracks in a session: as masks that a model made, which the review looks at, and as a lineage."""

from collections import Counter
from collections.abc import Generator, Mapping, Sequence

from sam2_engine.masks import CompressedMask, PackedMask
from sam2_plugins.everything.divisions import ProposedDivision, division_between
from sam2_plugins.everything.sightings import Overlap, Sighting, overlaps
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import MaskRemark, MaskScores

__all__ = ["divisions_of", "known_already", "seen_beyond", "sightings_of", "store"]

_KNOWN = 0.5
"""What shares more than this part with an object, on half of the frames on which both are, is that object."""


def known_already(session: AnnotationSession, tracks: Mapping[int, Mapping[int, Sighting]]) -> dict[int, int]:
    """Return by the numbers of tracks the objects of a session that they are; new ones are left out."""
    known = {object_id: sightings_of(session, object_id) for object_id in session.objects}
    shared: Counter[tuple[int, int]] = Counter()
    for frame in {frame for seen in known.values() for frame in seen}:
        here = {number: track[frame] for number, track in tracks.items() if frame in track}
        there = {object_id: seen[frame] for object_id, seen in known.items() if frame in seen}
        numbers, ids = list(here), list(there)
        for pair in overlaps(list(here.values()), list(there.values())):
            shared[numbers[pair.one], ids[pair.other]] += pair.of_smaller > _KNOWN
    return {
        number: object_id
        for (number, object_id), count in sorted(shared.items(), key=lambda item: item[1])
        if 2 * count >= len(tracks[number].keys() & known[object_id].keys())
    }


def seen_beyond(
    session: AnnotationSession, tracks: Mapping[int, Mapping[int, Sighting]]
) -> dict[int, tuple[int, ...]]:
    """Return by objects that a session has the frames on which they were seen, too, and have no mask."""
    beyond: dict[int, set[int]] = {}
    for number, object_id in known_already(session, tracks).items():
        missing = tracks[number].keys() - set(session.frames_of(object_id))
        beyond[object_id] = beyond.get(object_id, set()) | missing
    return {object_id: tuple(sorted(frames)) for object_id, frames in sorted(beyond.items()) if frames}


def sightings_of(session: AnnotationSession, object_id: int) -> dict[int, Sighting]:
    """Return an object's masks by frame, where it is there."""
    sightings: dict[int, Sighting] = {}
    for frame in session.frames_of(object_id):
        accepted = session.accepted(object_id, frame)
        if accepted is not None and not accepted.mask.is_empty:
            sightings[frame] = Sighting.of(accepted)
    return sightings


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


def store(
    session: AnnotationSession,
    tracks: Mapping[int, Mapping[int, Sighting]],
    divisions: Sequence[ProposedDivision],
    undo_group: object,
    unlikely: Sequence[ProposedDivision] = (),
) -> Generator[int, None, dict[int, int]]:
    """Make objects of tracks, one action each, so that one is stored whole or not at all.

    Parameters
    ----------
    session
        Where to; what is an object there already stays as it is.
    tracks
        Sightings of each by frame, by numbers of their own.
    divisions
        Who came from whom, by the same numbers; each mother ends before her daughters begin.
    undo_group
        By which all of it is undone as one.
    unlikely
        Divisions that might be, by the same numbers; the review asks about them.

    Yields
    ------
    int
        The number of each track that is stored.

    Returns
    -------
    dict
        Ids of the new objects by the numbers of their tracks.
    """
    known = known_already(session, tracks)
    parents = {daughter: one.mother for one in divisions for daughter in one.daughters}
    perhaps = {daughter for one in unlikely for daughter in one.daughters if daughter != one.mother}
    masks = _masks_apart({number: track for number, track in tracks.items() if number not in known})
    ids: dict[int, int] = {}
    for number in sorted(masks, key=lambda one: (min(tracks[one]), one)):  # mothers first
        if masks[number]:
            scores = {f: MaskScores(1.0, tracks[number][f].score, 1.0) for f in masks[number]}
            mother = (known | ids).get(parents.get(number, -1))
            mothers = [mother] if mother is not None and _ended(session, mother, min(masks[number])) else []
            asked = number in perhaps and not mothers and min(masks[number]) == min(tracks[number])
            ids[number] = session.import_track(
                masks[number],
                scores,
                parents=mothers,
                remark=MaskRemark.PERHAPS_BORN if asked else MaskRemark.NONE,
                undo_group=undo_group,
                action="find everything",
            )
        yield number
    return ids


def _ended(session: AnnotationSession, object_id: int, frame: int) -> bool:
    """Whether an object is not seen from a frame on, so that it may have divided there."""
    return max(sightings_of(session, object_id), default=-1) < frame


def _masks_apart(tracks: Mapping[int, Mapping[int, Sighting]]) -> dict[int, dict[int, CompressedMask]]:
    """Return the masks of tracks by number and frame, without what they share."""
    masks: dict[int, dict[int, CompressedMask]] = {number: {} for number in tracks}
    for frame in sorted({frame for track in tracks.values() for frame in track}):
        here = {number: track[frame] for number, track in tracks.items() if frame in track}
        for number, mask in _apart(here).items():
            masks[number][frame] = mask
    return masks


def _apart(here: Mapping[int, Sighting]) -> dict[int, CompressedMask]:
    """Return the masks of a frame without what they share, which is the surer one's."""
    ids = sorted(here, key=lambda i: (-here[i].score, i))
    ordered = [here[i] for i in ids]
    shared: dict[int, list[Overlap]] = {}
    for pair in overlaps(ordered, ordered):
        if pair.one > pair.other:
            shared.setdefault(pair.one, []).append(pair)
    masks: dict[int, CompressedMask] = {}
    for place, object_id in enumerate(ids):
        mask = ordered[place].mask
        if place in shared:
            pixels = mask.crop()
            for pair in shared[place]:
                pixels &= ~ordered[pair.other].mask.within(mask.box)
            corner = (mask.box[0].start, mask.box[1].start)
            mask = PackedMask.from_array(pixels, mask.shape, corner)
        if not mask.is_empty:
            masks[object_id] = mask.compress()
    return masks
