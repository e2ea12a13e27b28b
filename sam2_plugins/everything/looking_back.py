"""Divisions placed where they begin, though both daughters are found as one mask for some frames."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sam2_plugins.everything.divisions import Place, ProposedDivision, Sightings
from sam2_plugins.everything.linking import LEAST_IOU, merged
from sam2_plugins.everything.sightings import Sighting, overlaps

__all__ = ["BegunDivision", "begun_earlier", "look_back"]

LOOK_BACK = 4
"""Frames before two daughters are found on which they may have been found as one."""

Pair = tuple[Sighting, Sighting]
Apart = Callable[
    [int, Sequence[tuple[Place, Place]]], Generator[object, None, list[tuple[Sighting | None, ...]]]
]
"""Returns what is seen on a frame at each place of pairs that is not what is at the other one."""


@dataclass(eq=False)
class BegunDivision:
    """A division, and what is seen of both daughters before they were found.

    Attributes
    ----------
    division
        From the first frame on which they are two.
    seen
        Both by frame, from that one up to where they were found.
    """

    division: ProposedDivision
    seen: dict[int, Pair] = field(default_factory=dict)


def look_back(
    tracks: Mapping[int, Sightings], proposed: Iterable[ProposedDivision], apart: Apart
) -> Generator[object, None, list[BegunDivision]]:
    """Return divisions from the frame on which the mother's mask first holds two daughters.

    From where both were found, frame by frame back: each half of her mask is asked for without the other one.
    As long as two masks lie side by side in hers, make most of her, and are as sure, she has divided already.

    Parameters
    ----------
    tracks, proposed
        Sightings by object and frame, and divisions of them.
    apart
        Asks the model.
    """
    found = [BegunDivision(one) for one in proposed]
    firsts = {id(one): _first_of_mother(tracks, one.division, found) for one in found}
    latest = max((one.division.frame for one in found), default=0)
    asked = list(found)
    for frame in range(latest - 1, 0, -1):
        open_ones = [one for one in asked if one.division.frame == frame + 1]
        pairs = {}
        for one in open_ones:
            mother = tracks[one.division.mother].get(frame)
            near = len(one.seen) < LOOK_BACK and frame > firsts[id(one)]
            halves = _halves(mother, _daughters(tracks, one)) if near and mother is not None else None
            if halves is None:
                asked.remove(one)
            else:
                pairs[id(one)] = halves
        two = dict(zip(pairs, (yield from apart(frame, list(pairs.values()))))) if pairs else {}
        for one in open_ones:
            if id(one) in two and not _begin_at(tracks, one, frame, two[id(one)]):
                asked.remove(one)
    return found


def begun_earlier(tracks: Mapping[int, Sightings], begun: Iterable[BegunDivision]) -> dict[int, Sightings]:
    """Return tracks with what was seen of daughters before they were found, a mother's own included."""
    parts = {number: dict(track) for number, track in tracks.items()}
    for one in begun:
        for frame, pair in one.seen.items():
            for daughter, sighting in zip(one.division.daughters, pair, strict=True):
                parts[daughter][frame] = sighting
    return dict(parts)


def _first_of_mother(
    tracks: Mapping[int, Sightings], division: ProposedDivision, all_of_them: Iterable[BegunDivision]
) -> int:
    """Return the frame on which the mother begins, or on which she divided before."""
    frames = [one.division.frame for one in all_of_them if one.division.mother == division.mother]
    return max([min(tracks[division.mother]), *(one for one in frames if one < division.frame)])


def _daughters(tracks: Mapping[int, Sightings], begun: BegunDivision) -> tuple[Sighting, Sighting] | None:
    """Return both on the first frame on which they are two, if they are seen there."""
    division = begun.division
    if division.frame in begun.seen:
        return begun.seen[division.frame]
    first, second = (tracks[one].get(division.frame) for one in division.daughters)
    return None if first is None or second is None else (first, second)


def _halves(mother: Sighting, daughters: tuple[Sighting, Sighting] | None) -> tuple[Place, Place] | None:
    """Return the centers of what is nearer to each of the daughters, were they about the mother's center."""
    if daughters is None:
        return None
    first, second = (np.array(one.center) for one in daughters)
    rows, columns = np.nonzero(mother.mask.crop())
    pixels = np.stack([rows + mother.mask.box[0].start, columns + mother.mask.box[1].start], 1)
    beyond = (pixels - pixels.mean(0)) @ (second - first) > 0
    if beyond.all() or not beyond.any():
        return None
    one, other = pixels[~beyond].mean(0), pixels[beyond].mean(0)
    return (float(one[0]), float(one[1])), (float(other[0]), float(other[1]))


def _begin_at(
    tracks: Mapping[int, Sightings], begun: BegunDivision, frame: int, two: Sequence[Sighting | None]
) -> bool:
    """Let a division begin on a frame, if the mother is two there; return whether she is."""
    mother = tracks[begun.division.mother]
    first, second = two
    if first is None or second is None:
        return False
    same = any(pair.iou >= LEAST_IOU for pair in overlaps([first], [second]))
    if same or not merged(two, [mother[frame]], list(overlaps(two, [mother[frame]]))):
        return False
    begun.seen[frame] = first, second
    begun.division = replace(begun.division, frame=frame)
    return True
