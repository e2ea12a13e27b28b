"""Beginnings of tracks before the frame on which each was first found, as far as the model sees it there."""

from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

from sam2_plugins.everything.divisions import Sightings
from sam2_plugins.everything.following import Followed
from sam2_plugins.everything.linking import MAX_GAP, uncovered
from sam2_plugins.everything.sightings import Sighting

__all__ = ["begun_before"]

Follow = Callable[[int, Sequence[Sighting], int], Generator[object, None, Followed]]
"""Follows sightings from a frame to another one."""


def begun_before(
    tracks: Mapping[int, Sightings], numbers: Iterable[int], looked: Sequence[int], follow: Follow
) -> Generator[object, None, dict[int, Sightings]]:
    """Return tracks with what is seen of some of them before they were first found.

    What is found late was there, as what is found no more goes on: on up to as many of the frames looked at,
    where it is as sure and lies on nothing else.

    Parameters
    ----------
    tracks
        Sightings by object and frame.
    numbers
        Those that may have begun before: nobody's daughters.
    looked
        The frames on which objects were looked for, in order.
    follow
        Asks the model.
    """
    parts = {number: dict(track) for number, track in tracks.items()}
    beginning: dict[int, list[int]] = {}
    for number in numbers:
        beginning.setdefault(min(parts[number]), []).append(number)
    for frame, here in sorted(beginning.items()):
        stop = looked[max(bisect_left(looked, frame) - MAX_GAP, 0)]
        if stop >= frame:
            continue
        followed = yield from follow(frame, [parts[number][frame] for number in here], stop)
        going_on = set(here)
        for other in sorted(followed, reverse=True):
            known = [track[other] for track in parts.values() if other in track]
            pairs = zip(here, followed[other], strict=True)
            there = {number: one for number, one in pairs if one is not None and number in going_on}
            kept = uncovered(there, known)
            for number, one in kept.items():
                parts[number][other] = one
            going_on = set(kept)
    return dict(parts)
