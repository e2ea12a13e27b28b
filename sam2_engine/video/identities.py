"""Identities of tracked objects, watched from frame to frame: who meets whom, and who was exchanged."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import torch
from torch import Tensor

from sam2_engine.video.crossings import MOST_SIGHTINGS, Meeting, Sighting, meet
from sam2_engine.video.memory_policies.policy import Exchange, FrameNote
from sam2_engine.video.settlement import Overlapping

__all__ = ["sightings_of", "watch"]


def sightings_of(logits: Tensor, time: int) -> list[Sighting | None]:
    """Return where each of N masks (N, h, w) is, in cells; None of an empty one.

    Examples
    --------
    >>> sightings_of(torch.tensor([[[-1.0, 2.0], [-1.0, 2.0]], [[-1.0, -1.0], [-1.0, -1.0]]]), time=3)
    [Sighting(time=3, x=1.0, y=0.5, area=2.0), None]
    """
    inside = (logits > 0).float()
    columns, rows = inside.sum(1), inside.sum(2)
    places = [part @ torch.arange(part.shape[1], device=part.device).float() for part in (columns, rows)]
    found = torch.stack([*places, columns.sum(1)], dim=1).cpu().tolist()
    return [Sighting(time, x / area, y / area, area) if area else None for x, y, area in found]


def watch(
    notes: Mapping[int, FrameNote],
    before: Mapping[int, FrameNote | None],
    seen: Mapping[int, Sighting | None],
    time: int,
    step: int,
    overlapping: Overlapping,
) -> dict[int, FrameNote]:
    """Return the notes of a frame with courses and meetings, and with the exchanges that are to be undone.

    Parameters
    ----------
    notes
        Of the objects that were tracked on the frame, by id.
    before
        Their notes of the last frame; None of who was prompted since: a person said who that is.
    seen
        Where they are.
    time, step
        Position of the frame, and 1 forwards or -1 backwards.
    overlapping
        Who may share pixels: these are parts of each other, and always together.
    """
    courses = {i: () if note is None else note.course for i, note in before.items()}
    known = {(i, j): one for i, note in before.items() if note is not None for j, one in note.meetings}
    now: dict[tuple[int, int], Meeting] = {}
    for pair in combinations(sorted(notes), 2):
        one, other = pair
        met = known.get(pair) if before[other] is not None else None
        if met is None and not overlapping.allows(one, other):
            both = courses[one], courses[other]
            met = Meeting(both, time) if meet(both, seen[one], seen[other]) else None
        if met is not None and (met := met.then(time, seen[one], seen[other])) is not None:
            now[pair] = met
    exchanges: dict[int, Exchange] = {}
    for (one, other), met in now.items():
        if met.is_exchange and one not in exchanges and other not in exchanges:
            since = (met.since + met.parted) // 2 * step
            exchanges |= {one: Exchange(other, since), other: Exchange(one, since)}
    together = {one for pair, met in now.items() if not met.after[0] for one in pair}
    result = {}
    for i, note in notes.items():
        place = seen[i]
        course = () if i in together else courses[i] if place is None else (*courses[i], place)
        meetings = tuple(
            (other, met)
            for (one, other), met in now.items()
            if one == i and one not in exchanges and other not in exchanges
        )
        result[i] = replace(
            note, course=course[-MOST_SIGHTINGS:], meetings=meetings, exchanged=exchanges.get(i)
        )
    return result
