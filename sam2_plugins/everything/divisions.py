"""Divisions: who may have come from whom, and how probably, by sizes and positions of masks."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from sam2_plugins.everything.sightings import Sighting, overlaps

__all__ = [
    "ASKED",
    "LIKELY",
    "Place",
    "ProposedDivision",
    "candidates",
    "divided",
    "division_between",
    "division_features",
    "division_probability",
    "is_near",
    "late_probability",
    "propose_divisions",
    "under_parts",
]

LIKELY = 0.5
"""From this probability on a division is taken for one."""
ASKED = 0.3
"""From this probability on the review asks about it: a third of those below ``LIKELY`` are divisions."""
LATE = 3
"""Frames before both daughters are seen on which the mother may have been as she was."""
LEAST = 0.1
"""What is less probable is not proposed."""
_NEAR = 1.5
"""Radii of the mother from her center within which daughters lie."""

BIAS, WEIGHTS = 2.0, (-3.3, 1.6, -3.2, 1.6, -6.2)
"""Of the logistic regression over :func:`division_features`; by ``benchmarks/everything/weights.py``."""

Sightings = Mapping[int, Sighting]
"""Sightings of one object by frame."""

Place = tuple[float, float]
"""Row and column."""

Seen = Callable[[int, int], tuple[int, Sighting] | None]
"""Returns where an object is seen first (1) or last (-1): the frame, and how; None if it is nowhere."""


@dataclass(frozen=True)
class ProposedDivision:
    """A mother, who she may have divided into, and how probably.

    Attributes
    ----------
    mother
        Id of the object that may have divided; it may go on as one of the daughters.
    daughters
        Ids of two; the mother's own if she goes on.
    frame
        The first frame of the daughters.
    probability
        0..1.
    """

    mother: int
    daughters: tuple[int, int]
    frame: int
    probability: float


def division_probability(mother: Sighting, daughters: tuple[Sighting, Sighting]) -> float:
    """Return how probably two sightings are what another one, seen just before, has divided into."""
    total = BIAS + sum(weight * value for weight, value in zip(WEIGHTS, division_features(mother, daughters)))
    return 1 / (1 + math.exp(-total))


def division_between(mother: int, daughters: Sequence[int], seen: Seen) -> ProposedDivision | None:
    """Return a division that a lineage says, with its probability; None unless two daughters are seen."""
    if len(daughters) != 2:
        return None
    before, first, second = seen(mother, -1), seen(daughters[0], 1), seen(daughters[1], 1)
    if before is None or first is None or second is None:
        return None
    probability = division_probability(before[1], (first[1], second[1]))
    return ProposedDivision(mother, (daughters[0], daughters[1]), min(first[0], second[0]), probability)


def late_probability(mother: Sightings, frame: int, daughters: tuple[Sighting, Sighting]) -> float:
    """Return how probably a mother had divided when both daughters were seen, perhaps frames later.

    Her mask may have held only one of them meanwhile, so they are compared with her last masks: the very
    last one, and those before it that were found, as what was only followed may have grown into another one.
    """
    last, *earlier = sorted((other for other in mother if other < frame), reverse=True)[:LATE]
    compared = [last, *(other for other in earlier if mother[other].found)]
    return max(division_probability(mother[other], daughters) for other in compared)


def division_features(mother: Sighting, daughters: tuple[Sighting, Sighting]) -> tuple[float, ...]:
    """Return what speaks for a division, and against it.

    How much the area changes altogether (a logarithm), the smaller daughter as a part of the larger one, how
    many of the mother's radii the middle of both is from her, whether they lie on two sides of her, and the
    IoU of one of them alone with her: who is still where she was has not divided.
    """
    one, other = daughters
    radius = math.sqrt(mother.area / math.pi)
    center, first, second = (np.array(each.center) for each in (mother, one, other))
    middle = (first * one.area + second * other.area) / (one.area + other.area)
    alone = max((pair.iou for pair in overlaps([mother], daughters)), default=0.0)
    sides = float((first - center) @ (second - center) < 0)
    return (
        min(abs(math.log((one.area + other.area) / mother.area)), 2.0),
        min(one.area, other.area) / max(one.area, other.area),
        min(float(np.linalg.norm(middle - center)) / radius, 3.0),
        sides,
        alone,
    )


def propose_divisions(tracks: Mapping[int, Sightings]) -> list[ProposedDivision]:
    """Return divisions that may have been, the most probable first; each object has one part in them.

    Who was found and followed back from there may begin on two frames: on the first of them that is likely.

    Parameters
    ----------
    tracks
        Sightings by object and frame.
    """
    found = list(candidates(tracks))
    first = {
        (one.mother, one.daughters): one.frame
        for one in sorted(found, key=lambda one: -one.frame)
        if one.probability >= LIKELY
    }
    found = [one for one in found if one.frame <= first.get((one.mother, one.daughters), one.frame)]
    ranked = sorted(found, key=lambda one: (-one.probability, one.frame, one.mother))
    proposed: list[ProposedDivision] = []
    divided: set[tuple[int, int]] = set()
    born: set[int] = set()
    for one in ranked:
        new = [daughter for daughter in one.daughters if daughter != one.mother]
        if (one.mother, one.frame) in divided or born.intersection(new):
            continue
        divided.add((one.mother, one.frame))
        born.update(new)
        proposed.append(one)
    return proposed


def divided(
    tracks: Mapping[int, Sightings], proposed: Iterable[ProposedDivision]
) -> tuple[dict[int, Sightings], list[ProposedDivision]]:
    """Return tracks of which each mother ends where her daughters begin, and the divisions under their ids.

    A mother that goes on as one of her daughters is cut in two there. What was followed back beyond the
    beginning of a daughter is part of the mother, and left out.
    """
    parts = {number: dict(track) for number, track in tracks.items()}
    now = {number: number for number in parts}  # who goes on with a track that was cut
    done: list[ProposedDivision] = []
    for one in sorted(proposed, key=lambda one: one.frame):
        mother = now[one.mother]
        if one.mother in one.daughters:
            later = max(parts) + 1
            parts[later] = {frame: seen for frame, seen in parts[mother].items() if frame >= one.frame}
            now[one.mother] = later
        parts[mother] = {frame: seen for frame, seen in parts[mother].items() if frame < one.frame}
        for born in (now[each] for each in one.daughters if each != one.mother):
            parts[born] = {frame: seen for frame, seen in parts[born].items() if frame >= one.frame}
        daughters = now[one.daughters[0]], now[one.daughters[1]]
        done.append(replace(one, mother=mother, daughters=daughters))
    return dict(parts), done


def under_parts(
    unlikely: Iterable[ProposedDivision], tracks: Mapping[int, Sightings], parts: Mapping[int, Sightings]
) -> Iterator[ProposedDivision]:
    """Yield divisions of tracks under the numbers of the parts that :func:`divided` has made of these.

    One that lay where another begins now is left out.
    """
    owner = {(frame, id(one)): number for number, part in parts.items() for frame, one in part.items()}
    for one in unlikely:
        before = max(frame for frame in tracks[one.mother] if frame < one.frame)
        mother = owner.get((before, id(tracks[one.mother][before])))
        first, second = (owner.get((one.frame, id(tracks[each][one.frame]))) for each in one.daughters)
        if mother is not None and first is not None and second is not None:
            yield replace(one, mother=mother, daughters=(first, second))


def candidates(tracks: Mapping[int, Sightings], least: float = LEAST) -> Iterator[ProposedDivision]:
    """Yield every mother with two daughters that are near her, one of which begins there, if probable."""
    present: dict[int, list[int]] = {}
    for object_id, sightings in tracks.items():
        for frame in sightings:
            present.setdefault(frame, []).append(object_id)
    order = sorted(present)
    beginning: dict[int, list[int]] = {}
    for object_id, sightings in tracks.items():
        for frame in _beginnings(sightings):
            beginning.setdefault(frame, []).append(object_id)
    for before, frame in pairwise(order):
        new = beginning.get(frame, [])
        for mother in present[before] if new else ():
            seen = tracks[mother][before]
            near = [one for one in new if one != mother and _is_near(seen, tracks[one][frame])]
            ends = frame not in tracks[mother]
            others: Sequence[int] = near if ends else [mother]
            pairs = {(min(one, other), max(one, other)) for one in near for other in others if one != other}
            for pair in pairs:
                daughters = tracks[pair[0]][frame], tracks[pair[1]][frame]
                probability = late_probability(tracks[mother], frame, daughters)
                if probability >= least:
                    yield ProposedDivision(mother, pair, frame, probability)


def _beginnings(sightings: Sightings) -> set[int]:
    """Return the first frame, and the first on which it was found: in between it was followed back.

    A daughter that is followed back may be left with a few pixels of what is still her mother.
    """
    found = (frame for frame, one in sightings.items() if one.found)
    return {min(sightings), min(found, default=min(sightings))} if sightings else set()


def is_near(mother: Place, area: float, daughter: Place, other_area: float) -> bool:
    """Whether a daughter lies near enough to a mother, by their middles (row, column) and areas."""
    reach = _NEAR * math.sqrt(area / math.pi) + math.sqrt(other_area / math.pi)
    return math.dist(mother, daughter) <= reach


def _is_near(mother: Sighting, daughter: Sighting) -> bool:
    """Whether the middles of their boxes are: many are asked, and few remain."""
    return is_near(_middle(mother), mother.area, _middle(daughter), daughter.area)


def _middle(sighting: Sighting) -> Place:
    rows, columns = sighting.mask.box
    return (rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2
