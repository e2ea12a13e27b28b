"""Linking of what is found on one frame with what was followed to it: tracks that go on, begin and end."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sam2_plugins.everything.following import Followed
from sam2_plugins.everything.sightings import Overlap, Sighting, assign, overlaps

__all__ = ["Linker", "Track", "found_by_frame", "merged", "uncovered"]

LEAST_IOU = 0.3
"""Of a followed mask with a found one, to be the same object."""
COVERED = 0.5
"""What shares more than this part of the smaller one with something surer is no object of its own."""
MOSTLY = 0.7
"""What lies in another mask to this part is inside of it; two of which that makes this much are all of it."""
SURER = 0.7
"""Several followed masks stand for one found if each has at least so many times its score."""
MAX_GAP = 4
"""Frames of those looked at on which an object may be missed."""
LEAST_CARRIED = 0.5
"""Least score of a mask that was followed to a frame on which nothing was found there."""
SAME_OUTLINE = 0.7
"""What was found, has a smaller IoU with what was followed, and is less sure, may be something else."""
MAX_UNSURE = 4
"""Frames of those looked at on which an unsure track is also followed from where it was sure."""


@dataclass(eq=False)
class Track:
    """One object over time.

    Attributes
    ----------
    sightings
        By frame.
    missed
        Frames since it was last found.
    sure_on
        The last frame on which it was found as it had been followed.
    unsure
        Frames since then; 0 if that was the last one.
    agreement
        IoU of what was followed with what was found, wherever both were.
    """

    sightings: dict[int, Sighting] = field(default_factory=dict)
    missed: int = 0
    sure_on: int = 0
    unsure: int = 0
    agreement: list[float] = field(default_factory=list)

    @property
    def num_found(self) -> int:
        """Frames on which it was found by itself."""
        return sum(one.found for one in self.sightings.values())

    @property
    def score(self) -> float:
        """Mean score of where it was found."""
        scores = [one.score for one in self.sightings.values() if one.found]
        return sum(scores) / len(scores) if scores else 0.0


class Linker:
    """Tracks that grow frame by frame of those that are looked at.

    Attributes
    ----------
    tracks
        All of them, in the order in which they began.
    active
        Those that may go on.
    begun
        Those that began on the last frame.
    """

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self.active: list[Track] = []
        self.begun: list[Track] = []

    def to_follow(self, frame: int) -> list[tuple[int, Sighting]]:
        """Return what is to be followed to the next frame: from which one, and how it was seen there.

        Each active track from a frame; after these, those that are unsure also from where they were sure.
        """
        here = [(frame, track.sightings[frame]) for track in self.active]
        return here + [(t.sure_on, t.sightings[t.sure_on]) for t in self.active if t.unsure]

    def advance(self, frame: int, followed: Followed, found: Sequence[Sighting]) -> None:
        """Go on to a frame.

        Parameters
        ----------
        frame
            On which objects were looked for.
        followed
            What became of :meth:`to_follow` on the way from the last one to it, the frame included.
        found
            What was found there.
        """
        followed = {other: self._as_remembered(ones) for other, ones in followed.items()}
        here = followed.get(frame, [])
        pairs = list(overlaps(here, found))
        as_one = merged(here, found, pairs)
        apart = {i for several in as_one.values() for i in several}
        scores = {
            (one.one, one.other): one.iou
            for one in pairs
            if one.iou >= LEAST_IOU and one.other not in as_one and one.one not in apart
        }
        partners = assign(scores)
        chosen = [found[j] for j in partners.values()]
        taken = {*partners.values(), *as_one}
        new = [one for j, one in enumerate(found) if j not in taken]
        kept = {i: one for i in apart if (one := here[i]) is not None}
        carried = kept | self._carried(here, {*partners, *apart}, [*chosen, *new, *kept.values()])
        going_on: list[Track] = []
        for i, track in enumerate(self.active):
            track.sightings |= _until_gone({other: on[i] for other, on in followed.items() if other != frame})
            if i not in partners and i not in carried:
                continue  # it ended on the way
            if i in partners:
                j, iou = partners[i], scores[i, partners[i]]
                track.sightings[frame], track.missed = found[j], 0
                track.agreement.append(iou)
                sure = iou >= SAME_OUTLINE or found[j].score >= _score(here[i])
            else:
                track.sightings[frame] = carried[i]
                track.missed += i not in apart
                sure = i in apart
            track.unsure = 0 if sure or track.unsure == MAX_UNSURE else track.unsure + 1
            track.sure_on = track.sure_on if track.unsure else frame
            going_on.append(track)
        self.begun = [Track({frame: one}, sure_on=frame) for one in new]
        self.tracks += self.begun
        self.active = going_on + self.begun

    def extend_back(self, followed: Followed) -> None:
        """Let the tracks that began on the last frame begin where they entered before it.

        Parameters
        ----------
        followed
            What became of their first sightings on the frames before, the nearest first.
        """
        for i, track in enumerate(self.begun):
            track.sightings |= _until_gone({frame: on[i] for frame, on in followed.items()})

    def _as_remembered(self, followed: Sequence[Sighting | None]) -> list[Sighting | None]:
        """Return what became of each active track on a frame.

        Nothing where an unsure one is not seen from where it was sure: what goes on there is something else.
        """
        here = list(followed[: len(self.active)])
        unsure = [i for i, track in enumerate(self.active) if track.unsure]
        for i, one in zip(unsure, followed[len(here) :]):
            here[i] = None if one is None else here[i]
        return here

    def _carried(
        self, here: Sequence[Sighting | None], settled: set[int], seen: Sequence[Sighting]
    ) -> dict[int, Sighting]:
        """Return the followed masks, by their positions, that stand for objects that were not found."""
        left = {
            i: one
            for i, one in enumerate(here)
            if one is not None and i not in settled and self.active[i].missed < MAX_GAP
        }
        return uncovered(left, seen)


def _score(one: Sighting | None) -> float:
    return 0.0 if one is None else one.score


def _until_gone(sightings: Mapping[int, Sighting | None]) -> dict[int, Sighting]:
    """Return the sightings up to the first frame on which there is none."""
    seen: dict[int, Sighting] = {}
    for frame, one in sightings.items():
        if one is None:
            break
        seen[frame] = one
    return seen


def uncovered(followed: Mapping[int, Sighting], seen: Sequence[Sighting]) -> dict[int, Sighting]:
    """Return which of the followed masks on a frame stand for objects that were not found there.

    Parameters
    ----------
    followed
        By numbers of their own.
    seen
        What else is on the frame; what mostly shares its pixels with that, or with a surer one, is left out.
    """
    sure = [number for number, one in followed.items() if one.score >= LEAST_CARRIED]
    ranked = sorted(sure, key=lambda number: -followed[number].score)
    covered = {o.one for o in overlaps([followed[i] for i in ranked], seen) if o.of_smaller > COVERED}
    kept: dict[int, Sighting] = {}
    for place, number in enumerate(ranked):
        others = () if place in covered else overlaps([followed[number]], list(kept.values()))
        if place not in covered and not any(o.of_smaller > COVERED for o in others):
            kept[number] = followed[number]
    return kept


def found_by_frame(tracks: Sequence[Track]) -> Iterator[tuple[int, list[int]]]:
    """Yield each frame with the numbers of the tracks that were found on it."""
    there: dict[int, list[int]] = {}
    for number, track in enumerate(tracks):
        for frame, one in track.sightings.items():
            if one.found:
                there.setdefault(frame, []).append(number)
    yield from sorted(there.items())


def merged(
    here: Sequence[Sighting | None], found: Sequence[Sighting], pairs: Sequence[Overlap]
) -> dict[int, list[int]]:
    """Return the found masks that are several followed ones, as touching objects are found at times."""
    inside: dict[int, list[Overlap]] = {}
    for pair in pairs:
        if pair.of_one > MOSTLY:
            inside.setdefault(pair.other, []).append(pair)
    as_one: dict[int, list[int]] = {}
    for j, parts in inside.items():
        whole = sum(part.of_other for part in parts)
        scores = [one.score for part in parts if (one := here[part.one]) is not None]
        is_one = max(part.iou for part in parts) > MOSTLY
        if len(parts) > 1 and whole > MOSTLY and not is_one and min(scores) > SURER * found[j].score:
            as_one[j] = [part.one for part in parts]
    return as_one
