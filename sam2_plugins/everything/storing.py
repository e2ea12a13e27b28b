"""Storing of tracks in a session: as masks that a model made, which the review looks at, and as a lineage."""

from collections.abc import Generator, Mapping, Sequence

import numpy as np

from sam2_engine.masks import CompressedMask, PackedMask
from sam2_plugins.everything.divisions import ProposedDivision, division_probability
from sam2_plugins.everything.linking import Track
from sam2_plugins.everything.sightings import Overlap, Sighting, overlaps
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import MaskScores

__all__ = ["divisions_of", "not_known_yet", "sightings_of", "store"]

_KNOWN = 0.5
"""What shares more than this part with an object of the session, on half of its frames, is that object."""


def not_known_yet(session: AnnotationSession, tracks: Sequence[Track]) -> list[Track]:
    """Return the tracks of objects that a session does not have yet."""
    if not session.objects:
        return list(tracks)
    known = {frame: ones for frame, ones in _by_frame(session).items() if ones}
    hits = dict.fromkeys(range(len(tracks)), 0)
    for frame, ones in known.items():
        here = [track.sightings.get(frame) for track in tracks]
        for i in {pair.one for pair in overlaps(here, ones) if pair.of_smaller > _KNOWN}:
            hits[i] += 1
    return [track for i, track in enumerate(tracks) if 2 * hits[i] < len(track.sightings)]


def _by_frame(session: AnnotationSession) -> dict[int, list[Sighting]]:
    by_frame: dict[int, list[Sighting]] = {}
    for object_id in session.objects:
        for frame, one in sightings_of(session, object_id).items():
            by_frame.setdefault(frame, []).append(one)
    return by_frame


def sightings_of(session: AnnotationSession, object_id: int) -> dict[int, Sighting]:
    """Return an object's masks by frame, where it is there."""
    sightings: dict[int, Sighting] = {}
    for frame in session.frames_of(object_id):
        accepted = session.accepted(object_id, frame)
        if accepted is not None and not accepted.mask.is_empty:
            mask = accepted.mask.decompress()
            area = int(np.count_nonzero(mask.crop()))
            sightings[frame] = Sighting(mask, area, accepted.scores.predicted_iou)
    return sightings


def divisions_of(session: AnnotationSession) -> list[ProposedDivision]:
    """Return the divisions of a session into two, as they are now, the least probable first: to look at.

    Whoever linked them, and however masks were corrected since.
    """
    children: dict[int, list[int]] = {}
    for one in session.objects.values():
        if len(one.parents) == 1:
            children.setdefault(one.parents[0], []).append(one.id)
    found: list[ProposedDivision] = []
    for mother, daughters in children.items():
        seen = sightings_of(session, mother)
        born = [sightings_of(session, one) for one in daughters]
        if len(daughters) == 2 and seen and all(born):
            first, second = (one[min(one)] for one in born)
            sure = division_probability(seen[max(seen)], (first, second))
            found.append(ProposedDivision(mother, (daughters[0], daughters[1]), min(map(min, born)), sure))
    return sorted(found, key=lambda one: (one.probability, one.mother))


def store(
    session: AnnotationSession,
    tracks: Mapping[int, Mapping[int, Sighting]],
    divisions: Sequence[ProposedDivision],
    undo_group: object,
) -> Generator[int, None, dict[int, int]]:
    """Make objects of tracks, one action each, so that one is stored whole or not at all.

    Parameters
    ----------
    session
        Where to.
    tracks
        Sightings of each by frame, by numbers of their own.
    divisions
        Who came from whom, by the same numbers; each mother ends before her daughters begin.
    undo_group
        By which all of it is undone as one.

    Yields
    ------
    int
        The number of each track that is stored.

    Returns
    -------
    dict
        Ids of the objects by the numbers of the tracks.
    """
    parents = {daughter: one.mother for one in divisions for daughter in one.daughters}
    masks: dict[int, dict[int, CompressedMask]] = {number: {} for number in tracks}
    for frame in sorted({frame for track in tracks.values() for frame in track}):
        here = {number: track[frame] for number, track in tracks.items() if frame in track}
        for number, mask in _apart(here).items():
            masks[number][frame] = mask
    ids: dict[int, int] = {}
    for number in sorted(tracks, key=lambda one: (min(tracks[one]), one)):  # mothers first
        if masks[number]:
            scores = {f: MaskScores(1.0, tracks[number][f].score, 1.0) for f in masks[number]}
            mothers = [ids[parents[number]]] if parents.get(number) in ids else []
            ids[number] = session.import_track(masks[number], scores, parents=mothers, undo_group=undo_group)
        yield number
    return ids


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
