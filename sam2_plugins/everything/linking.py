"""Linking of what is found on one frame with what was followed to it: tracks that go on, begin and end."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sam2_plugins.everything.following import Followed
from sam2_plugins.everything.sightings import Sighting, assign, overlaps

__all__ = ["Linker", "Track", "worth_keeping"]

LEAST_IOU = 0.3
"""Of a followed mask with a found one, to be the same object."""
COVERED = 0.5
"""What shares more than this part of the smaller one with something surer is no object of its own."""
MAX_GAP = 2
"""Frames of those looked at on which an object may be missed."""
LEAST_CARRIED = 0.5
"""Least score of a mask that was followed to a frame on which nothing was found there."""


@dataclass(eq=False)
class Track:
    """One object over time.

    Attributes
    ----------
    sightings
        By frame.
    missed
        Frames since it was last found.
    """

    sightings: dict[int, Sighting] = field(default_factory=dict)
    missed: int = 0

    @property
    def first(self) -> int:
        """The first frame."""
        return min(self.sightings)

    @property
    def last(self) -> int:
        """The last frame."""
        return max(self.sightings)

    @property
    def num_found(self) -> int:
        """Frames on which it was found by itself."""
        return sum(one.found for one in self.sightings.values())

    @property
    def score(self) -> float:
        """Mean score of where it was found."""
        scores = [one.score for one in self.sightings.values() if one.found]
        return sum(scores) / len(scores) if scores else 0.0

    def trim(self) -> None:
        """Let it end where it was found last."""
        found = [frame for frame, one in self.sightings.items() if one.found]
        last = max(found, default=-1)
        self.sightings = {frame: one for frame, one in self.sightings.items() if frame <= last}


class Linker:
    """Tracks that grow frame by frame of those that are looked at.

    Attributes
    ----------
    tracks
        All of them, in the order in which they began.
    active
        Those that may go on.
    """

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self.active: list[Track] = []

    def to_follow(self, frame: int) -> list[Sighting]:
        """Return the sightings on a frame that are to be followed to the next one, one per active track."""
        return [track.sightings[frame] for track in self.active]

    def advance(self, frame: int, followed: Followed, found: Sequence[Sighting]) -> None:
        """Go on to a frame.

        Parameters
        ----------
        frame
            On which objects were looked for.
        followed
            What became of :meth:`to_follow` on the way to it, the frame included.
        found
            What was found there.
        """
        here = followed.get(frame, [])
        scores = {(one.one, one.other): one.iou for one in overlaps(here, found) if one.iou >= LEAST_IOU}
        partners = assign(scores)
        chosen = [found[j] for j in partners.values()]
        taken = set(partners.values())
        new = [one for j, one in enumerate(found) if j not in taken]
        carried = self._carried(here, partners, [*chosen, *new])
        going_on: list[Track] = []
        for i, track in enumerate(self.active):
            if i not in partners and i not in carried:
                continue
            between = {other: on[i] for other, on in followed.items() if other != frame}
            track.sightings |= {other: one for other, one in between.items() if one is not None}
            if i in partners:
                track.sightings[frame], track.missed = found[partners[i]], 0
            else:
                track.sightings[frame] = carried[i]
                track.missed += 1
            going_on.append(track)
        begun = [Track({frame: one}) for one in new]
        self.tracks += begun
        self.active = going_on + begun

    def _carried(
        self, here: Sequence[Sighting | None], partners: dict[int, int], seen: Sequence[Sighting]
    ) -> dict[int, Sighting]:
        """Return the followed masks, by their positions, that stand for objects that were not found."""
        left = {
            i: one
            for i, one in enumerate(here)
            if one is not None
            and i not in partners
            and one.score >= LEAST_CARRIED
            and self.active[i].missed < MAX_GAP
        }
        ranked = sorted(left, key=lambda i: -left[i].score)
        kept: list[int] = []
        covered = {o.one for o in overlaps([left[i] for i in ranked], seen) if o.of_smaller > COVERED}
        for number, i in enumerate(ranked):
            if number in covered:
                continue
            others = overlaps([left[i]], [left[j] for j in kept])
            if not any(o.of_smaller > COVERED for o in others):
                kept.append(i)
        return {i: left[i] for i in kept}


def worth_keeping(track: Track, num_looked: int, confidence: float) -> bool:
    """Whether a track is an object: found more than once, wherever that could be, and surely enough."""
    return track.score >= confidence and (track.num_found > 1 or num_looked < 3)
