"""Crossings of two objects, after which each may be taken for the other: their courses tell.

While two that look alike are together, one in front of the other, a model may mix them up. Who goes on
straight is the same one. It is decided here for tracking, which exchanges them back, and for the review,
which asks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import NamedTuple, TypeAlias

__all__ = [
    "LONGEST_MEETING",
    "MOST_SIGHTINGS",
    "NEAR",
    "Course",
    "Meeting",
    "Sighting",
    "are_together",
    "exchange_gain",
    "meet",
]

MOST_SIGHTINGS, LEAST_SIGHTINGS = 6, 3
"""Of each of two objects before and after they were together, to tell its course by."""
TOGETHER, PARTED, NEAR = 1.0, 1.25, 1.5
"""Distances of two centers, in mean diameters: below the first they are together, from the second on apart;
who vanishes nearer than the third is behind the other one."""
LATELY = 2
"""Frames since which an object has vanished, at most, where it vanishes beside another one."""
EXCHANGED = 0.4
"""Gain from which two objects count as exchanged, twice in a row."""
OTHER_SIZE = 0.5
"""Doublings by which sizes fit worse once they are exchanged, from which they were not."""
LONGEST_MEETING, LOOKS = 40, 12
"""Frames after which a course says nothing any more, and on how many after it both are looked at."""


class Sighting(NamedTuple):
    """Where an object was seen, at a time in frames, and its area in pixels."""

    time: int
    x: float
    y: float
    area: float


Course: TypeAlias = tuple[Sighting, ...]
"""Sightings of one object, ascending in time."""


def are_together(one: Sighting, other: Sighting, limit: float = TOGETHER) -> bool:
    """Whether two objects are nearer to each other than discs of their sizes that touch, or a limit.

    Examples
    --------
    >>> are_together(Sighting(0, 10, 10, 78.5), Sighting(0, 19, 10, 78.5))
    True
    """
    diameter = (math.sqrt(one.area) + math.sqrt(other.area)) / math.sqrt(math.pi)
    return math.dist(one[1:3], other[1:3]) < limit * diameter


def meet(before: tuple[Course, Course], one: Sighting | None, other: Sighting | None) -> bool:
    """Whether two objects come together, or one of them vanishes beside the other."""
    if not before[0] or not before[1] or (one is None and other is None):
        return False
    if one is not None and other is not None:
        return are_together(one, other)
    there = one or before[0][-1], other or before[1][-1]
    return abs(there[0].time - there[1].time) <= LATELY and are_together(*there, NEAR)


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two objects from when they meet until their courses have told whether they are exchanged.

    Attributes
    ----------
    before
        Sightings of each before it.
    since
        Time when they came together.
    after
        The last sightings of each since they parted; empty while they are together.
    parted
        Time when they did.
    looks, sure
        How often their courses were compared, and how often in a row they spoke for an exchange.

    Examples
    --------
    Two come together, and each seems to turn back, as they were taken for each other.

    >>> def at(t, x):
    ...     return Sighting(t, x, 50, 400)
    >>> left, right = (tuple(at(t, x + speed * t) for t in range(4)) for x, speed in ((0, 10), (100, -10)))
    >>> meeting = Meeting((left, right), since=4)
    >>> for t in range(4, 11):
    ...     meeting = meeting.then(t, at(t, min(10 * t, 100 - 10 * t)), at(t, max(10 * t, 100 - 10 * t)))
    >>> meeting.is_exchange, meeting.parted
    (True, 7)
    """

    before: tuple[Course, Course]
    since: int
    after: tuple[Course, Course] = ((), ())
    parted: int = 0
    looks: int = 0
    sure: int = 0

    @property
    def is_exchange(self) -> bool:
        """Whether each of both is surely the other one since."""
        return self.sure >= 2

    def then(self, time: int, one: Sighting | None, other: Sighting | None) -> "Meeting | None":
        """Return the meeting once both were looked for again; None when it is over and says nothing."""
        if one is None or other is None or are_together(one, other):
            is_over = self.looks >= LEAST_SIGHTINGS or time - self.since > LONGEST_MEETING
            return None if is_over else replace(self, after=((), ()))
        if self.looks >= LOOKS:
            return None
        first, second = ((*seen, now)[-MOST_SIGHTINGS:] for seen, now in zip(self.after, (one, other)))
        now = replace(self, after=(first, second), parted=self.parted if self.after[0] else time)
        if len(first) < LEAST_SIGHTINGS or are_together(one, other, PARTED):
            return now
        gain = exchange_gain(self.before, now.after)
        return replace(now, looks=self.looks + 1, sure=self.sure + 1 if gain > EXCHANGED else 0)


def exchange_gain(before: tuple[Course, Course], after: tuple[Course, Course]) -> float:
    """Return how much better two objects go on as each other: 1, perfectly; 0, no better; -1, as themselves.

    Their courses before they met are drawn on to where they were seen after it, and those after it back; the
    weaker of both says. It is -1 where their sizes speak against it, or too little was seen.

    Examples
    --------
    >>> def course(times, x, speed):
    ...     return tuple(Sighting(t, x + speed * t, 50, 400) for t in times)
    >>> before = course(range(4), 0, 10), course(range(4), 100, -10)
    >>> after = course(range(7, 10), 100, -10), course(range(7, 10), 0, 10)
    >>> round(exchange_gain(before, after), 2), round(exchange_gain(before, after[::-1]), 2)
    (1.0, -1.0)
    """
    if min(len(seen) for seen in (*before, *after)) < LEAST_SIGHTINGS:
        return -1.0
    sizes = [[_size(seen) for seen in pair] for pair in (before, after)]
    if _misfit(sizes[0], sizes[1][::-1]) > _misfit(*sizes) + OTHER_SIZE:
        return -1.0
    gains = []
    for time, drawn_on, seen in ((after[0][0].time, before, after), (before[0][-1].time, after, before)):
        expected = [_on_course(one, time) for one in drawn_on]
        there = [_on_course(one, time) for one in seen]
        apart = math.dist(*there)
        as_themselves = math.dist(expected[0], there[0]) + math.dist(expected[1], there[1])
        as_each_other = math.dist(expected[0], there[1]) + math.dist(expected[1], there[0])
        gains.append((as_themselves - as_each_other) / (2 * apart) if apart else -1.0)
    return min(gains)


def _on_course(seen: Course, time: int) -> tuple[float, float]:
    """Return where an object on a straight course is at a time."""
    count = len(seen)
    middle = sum(one.time for one in seen) / count
    spread = sum((one.time - middle) ** 2 for one in seen)
    x, y = (
        sum(one[axis] for one in seen) / count
        + (time - middle) * sum((one.time - middle) * one[axis] for one in seen) / spread
        for axis in (1, 2)
    )
    return x, y


def _size(seen: Course) -> float:
    return median(math.log2(max(one.area, 1.0)) for one in seen)


def _misfit(before: Sequence[float], after: Sequence[float]) -> float:
    return sum(abs(one - other) for one, other in zip(before, after, strict=True))
