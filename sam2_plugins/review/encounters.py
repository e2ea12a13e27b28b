"""Encounters of objects after which one may be another: both on the same pixels, or exchanged.

A mask alone shows nothing of it: the model is sure, the outline is clear, only it is another object's. The
review asks once: where two come to lie on the same pixels, and where two part, each on the other's course.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np

from sam2_engine.video.crossings import (
    LONGEST_MEETING,
    MOST_SIGHTINGS,
    NEAR,
    Meeting,
    Sighting,
    are_together,
    meet,
)
from sam2_plugins.review.mask_features import MaskFeatures, Overlap

__all__ = ["Encounter", "Encounters"]

SAME = 0.8
"""Part of both masks that is shared, from which two objects lie on the same pixels."""
ASKED_AGAIN = 8
"""Frames apart after which it is asked again."""
_GAP = 4
"""Frames apart over which two objects are still near each other."""
_AFTER = 20
"""Frames after that on which they are looked at."""

Place = tuple[int, int]
"""Object id and frame."""
_Pair = tuple[int, int]
_Run = tuple[int, int]


class Encounter(NamedTuple):
    """What is asked of a mask: whether it is another object's.

    Attributes
    ----------
    other
        Id of that one.
    since
        Frame on which they came together; None where both lie on the same pixels.
    """

    other: int
    since: int | None = None


class Track(Protocol):
    """What is known of one object."""

    features: dict[int, MaskFeatures]
    frames: list[int]
    reviewed: list[int]


class Encounters:
    """What is asked of pairs of objects, judged anew where their masks change."""

    def __init__(self) -> None:
        self._same: dict[_Pair, list[int]] = {}
        self._near: dict[_Pair, list[int]] = {}
        self._pairs_of: dict[int, set[_Pair]] = {}
        self._asked: dict[_Pair, dict[Place, Encounter]] = {}
        self._by_place: dict[Place, dict[_Pair, Encounter]] = {}
        self._meetings: dict[_Pair, dict[_Run, list[Meeting]]] = {}
        self._outdated: dict[_Pair, set[int]] = {}

    def touch(self, object_id: int, frame: int) -> None:
        """Take over that a mask of an object is another one, or that a person confirmed it."""
        for pair in self._pairs_of.get(object_id, ()):
            self._outdated.setdefault(pair, set()).add(frame)

    def meet(self, frame: int, features: Mapping[int, MaskFeatures], overlaps: Mapping[int, Overlap]) -> None:
        """Take over which objects are near each other on a frame, and which lie on the same pixels."""
        same = {
            (one, other.other_id)
            for one, other in overlaps.items()
            if one < other.other_id
            and other.fraction >= SAME
            and overlaps[other.other_id].other_id == one
            and overlaps[other.other_id].fraction >= SAME
        }
        for known, now in ((self._same, same), (self._near, _near(frame, features))):
            self._exchange(known, frame, now)

    def _exchange(self, known: dict[_Pair, list[int]], frame: int, now: set[_Pair]) -> None:
        before = {pair for pair, frames in known.items() if _holds(frames, frame)}
        for pair in before - now:
            known[pair].remove(frame)
        for pair in now - before:
            frames = known.setdefault(pair, [])
            frames.insert(bisect_left(frames, frame), frame)
            for one in pair:
                self._pairs_of.setdefault(one, set()).add(pair)
        for pair in before | now:
            self._outdated.setdefault(pair, set()).add(frame)

    def asked(self, object_id: int, frame: int) -> Encounter | None:
        """Return what is asked of a mask."""
        return next(iter(self._by_place.get((object_id, frame), {}).values()), None)

    def update(self, objects: Mapping[int, Track]) -> set[Place]:
        """Judge what has changed; return the places of which what is asked there may have."""
        changed: set[Place] = set()
        for pair, frames in self._outdated.items():
            before, now = self._asked.get(pair, {}), dict(self._questions(pair, objects, frames))
            for place in before.keys() | now.keys():
                if before.get(place) == now.get(place):
                    continue
                changed.add(place)
                there = self._by_place.setdefault(place, {})
                there.pop(pair, None)
                if place in now:
                    there[pair] = now[place]
            self._asked[pair] = now
        self._outdated.clear()
        return changed

    def _questions(
        self, pair: _Pair, objects: Mapping[int, Track], changed: Collection[int]
    ) -> Iterator[tuple[Place, Encounter]]:
        """Yield what is asked of two objects, and where: nothing where a person said who is who."""
        tracks = [objects[one] for one in pair]
        for frame, _ in _runs(self._same.get(pair, ()), ASKED_AGAIN):
            asked, other = pair if _holds(tracks[1].reviewed, frame) else pair[::-1]
            yield (asked, frame), Encounter(other)
        known, now = self._meetings.get(pair, {}), {}
        for run in _runs(self._near.get(pair, ()), _GAP):
            first, last = run[0] - MOST_SIGHTINGS, run[1] + _AFTER
            if run not in known or any(first <= frame <= last for frame in changed):
                is_short = run[1] - run[0] <= LONGEST_MEETING
                now[run] = list(_exchanges(first, last, tracks)) if is_short else []
            else:
                now[run] = known[run]
        self._meetings[pair] = now
        for meeting in chain.from_iterable(now.values()):
            end = meeting.after[0][-1].time
            if not any(_holds(track.reviewed, meeting.since, end) for track in tracks):
                yield (pair[0], meeting.parted), Encounter(pair[1], meeting.since)


def _runs(frames: Sequence[int], gap: int) -> list[_Run]:
    """Return the first and last frames of runs, between which more than some frames are missing."""
    if not frames:
        return []
    ends = np.flatnonzero(np.diff(frames) > gap).tolist()
    return [(frames[first], frames[last]) for first, last in zip([0, *(e + 1 for e in ends)], [*ends, -1])]


def _exchanges(first: int, last: int, tracks: Sequence[Track]) -> Iterator[Meeting]:
    """Yield the meetings of two objects in a range of frames after which each goes on as the other."""
    meeting: Meeting | None = None
    before: tuple[list[Sighting], list[Sighting]] = [], []
    known = tracks[0].frames
    for frame in known[bisect_left(known, first) : bisect_right(known, last)]:
        if frame not in tracks[1].features:
            continue
        one, other = (_seen_on(track, frame) for track in tracks)
        courses = tuple(before[0][-MOST_SIGHTINGS:]), tuple(before[1][-MOST_SIGHTINGS:])
        if meeting is None and meet(courses, one, other):
            meeting, before = Meeting(courses, frame), ([], [])
        if meeting is not None:
            meeting = meeting.then(frame, one, other)
            if meeting is not None and meeting.is_exchange:
                yield meeting
                meeting = None
        if meeting is None and one is not None and other is not None and not are_together(one, other):
            before[0].append(one)
            before[1].append(other)


def _seen_on(track: Track, frame: int) -> Sighting | None:
    features = track.features[frame]
    return Sighting(frame, features.x, features.y, features.area) if features.area else None


def _near(frame: int, features: Mapping[int, MaskFeatures]) -> set[_Pair]:
    """Return the pairs that are near each other on a frame."""
    seen = {i: Sighting(frame, one.x, one.y, one.area) for i, one in sorted(features.items()) if one.area}
    ids = [*seen]
    x, y, area = np.array([one[1:] for one in seen.values()]).reshape(-1, 3).T
    radius = NEAR * np.sqrt(area / np.pi)
    near = np.hypot(x[:, None] - x, y[:, None] - y) < radius[:, None] + radius
    return {(ids[one], ids[other]) for one, other in np.argwhere(np.triu(near, 1)).tolist()}


def _holds(frames: Sequence[int], first: int, last: int | None = None) -> bool:
    """Whether a frame, or one of several, is among sorted ones."""
    index = bisect_left(frames, first)
    return index < len(frames) and frames[index] <= (first if last is None else last)
