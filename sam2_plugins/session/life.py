"""The life of an object: its first and last frame and where it is absent, as people decided."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["Life"]

Interval = tuple[float, float]


@dataclass(frozen=True)
class Life:
    """On which frames an object can be: what a division, a deletion or "absent here" says of it.

    Nothing is tracked or stored outside of it. What nobody decided is open: an object without a first frame
    may be there from the beginning.

    Attributes
    ----------
    first, last
        Of its frames; None where nobody said.
    absences
        First and last frame of each gap between them, ascending.

    Examples
    --------
    >>> life = Life(last=9).without(4, 5)
    >>> life
    Life(first=None, last=9, absences=((4, 5),))
    >>> [frame for frame in range(12) if frame in life]
    [0, 1, 2, 3, 6, 7, 8, 9]
    >>> life.within(4, 20)
    (6, 9)
    >>> print(life.describe_gaps(0, 11))
    on frames 4 to 5 and from frame 10 on
    """

    first: int | None = None
    last: int | None = None
    absences: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of_gaps(cls, gaps: Iterable[Interval]) -> Self:
        """Return the life with some gaps, first and last frame of each; the ends may be infinite."""
        merged: list[list[float]] = []
        for first, last in sorted(
            gap for gap in gaps if gap[0] <= gap[1] and math.inf not in (gap[0], -gap[1])
        ):
            if merged and first <= merged[-1][1] + 1:
                merged[-1][1] = max(merged[-1][1], last)
            else:
                merged.append([first, last])
        if merged == [[-math.inf, math.inf]]:
            return cls(0, -1)
        begins = next((int(last) + 1 for first, last in merged if first == -math.inf), None)
        ends = next((int(first) - 1 for first, last in merged if last == math.inf), None)
        inner = [(int(a), int(b)) for a, b in merged if math.isfinite(a) and math.isfinite(b)]
        return cls(begins, ends, tuple(inner))

    @property
    def gaps(self) -> list[Interval]:
        """First and last frame of each span where the object is not; infinite at the ends."""
        before = [] if self.first is None else [(-math.inf, self.first - 1.0)]
        after = [] if self.last is None else [(self.last + 1.0, math.inf)]
        return [*before, *self.absences, *after]

    def __contains__(self, frame: float) -> bool:
        return not any(first <= frame <= last for first, last in self.gaps)

    def without(self, first: float = -math.inf, last: float = math.inf) -> Self:
        """Return the life of an object that is not there from ``first`` to ``last``, both inclusive."""
        return self.of_gaps([*self.gaps, (first, last)])

    def with_frames(self, first: float, last: float) -> Self:
        """Return the life of an object that may be there from ``first`` to ``last``, both inclusive."""
        parts = [part for a, b in self.gaps for part in ((a, min(b, first - 1)), (max(a, last + 1), b))]
        return self.of_gaps(parts)

    def seen_on(self, frame: int) -> Self:
        """Return the life of an object that somebody sees on a frame, up to the end of the gap it lies in.

        What was deleted from frame 5 on and is seen on 8 was away on 5 to 7 and is back.
        """
        end = next((last for first, last in self.gaps if first <= frame <= last), None)
        return self if end is None else self.with_frames(frame, end)

    def until(self, frame: int, then: "Life") -> Self:
        """Return this life before a frame, and another one from it on."""
        before = [(first, min(last, frame - 1.0)) for first, last in self.gaps]
        after = [(max(first, float(frame)), last) for first, last in then.gaps]
        return self.of_gaps([*before, *after])

    def united(self, other: "Life") -> Self:
        """Return the life of an object that is there wherever one of two is."""
        return self.of_gaps((max(a, c), min(b, d)) for a, b in self.gaps for c, d in other.gaps)

    def within(self, low: int, high: float) -> tuple[int, float] | None:
        """Return the first and the last frame of the life between two frames, None if there is none."""
        for first, last in self.gaps:
            if first <= low <= last:
                if last == math.inf:
                    return None
                low = int(last) + 1
        for first, last in reversed(self.gaps):
            if first <= high <= last:
                high = first - 1
        return None if low > high else (low, high if high == math.inf else int(high))

    def describe_gaps(self, low: int, high: float) -> str:
        """Say where between two frames the object is not, in words; empty if it may be everywhere."""
        parts = []
        for first, last in self.gaps:
            if last < low or first > high:
                continue
            if last == math.inf:
                parts.append(f"from frame {int(first)} on")
            elif first == -math.inf:
                parts.append(f"before frame {int(last) + 1}")
            else:
                several = f"frames {int(first)} to {int(last)}"
                parts.append(f"on {several if first < last else f'frame {int(first)}'}")
        return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)

    def to_json(self) -> dict[str, Any]:
        """Return the life as a value."""
        return {"first": self.first, "last": self.last, "absences": [list(gap) for gap in self.absences]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> Self:
        """Return the life that a value stands for; None: nobody has decided anything."""
        if value is None:
            return cls()
        return cls(value["first"], value["last"], tuple((a, b) for a, b in value["absences"]))
