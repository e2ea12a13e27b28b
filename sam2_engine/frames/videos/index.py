"""Index of a video: which frames are in the file, when they are shown, and what they build on."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

__all__ = ["VideoIndex"]


@dataclass(frozen=True)
class VideoIndex:
    """Frames of a video, by their numbers in the order they are shown.

    Attributes
    ----------
    length
        Number of frames, missing ones between others included.
    times
        Time stamps of the frames that are there, ascending; ``None`` where a container's time stamps cannot
        be relied on: frames are then counted from the first as they are decoded.
    numbers
        Their numbers: not all of them, if frames in the middle are missing.
    order
        Numbers of the frames that are there in the order they are decoded.
    keys
        Positions in ``order`` that decoding can start at.
    losses
        Positions in ``order`` before which frames are missing.
    unneeded
        Numbers of frames that no other builds on.
    damaged
        Numbers of frames of which the container says that their data are incomplete.
    time_at
        Time stamps of packets by their position in the file, where reading alone would tell wrong ones;
        ``None`` for those that are torn, or are shown nobody knows when.
    note
        What is missing, in words.
    """

    length: int
    times: Sequence[int] | None
    numbers: Sequence[int]
    order: Sequence[int]
    keys: Sequence[int] = (0,)
    losses: Sequence[int] = ()
    unneeded: frozenset[int] = frozenset()
    damaged: frozenset[int] = frozenset()
    time_at: Mapping[int, int | None] = field(default_factory=dict)
    note: str = ""

    _position: dict[int, int] = field(init=False, repr=False, default_factory=dict)
    _starts: list[int] = field(init=False, repr=False, default_factory=list)
    _bases: list[int] = field(init=False, repr=False, default_factory=list)
    _ahead: list[int] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        keys = set(self.keys)
        previous = base = newest = 0
        for at, number in enumerate(self.order):
            if at in keys:
                previous, base, newest = base, at, number
            newest = max(newest, number)
            self._position[number] = at
            # What is shown before the key frame that it follows builds on the group before, too.
            self._bases.append(base if number >= self.order[base] else previous)
            self._ahead.append(newest)
        if self.times is not None:
            self._starts.extend(sorted(self.order[key] for key in keys))

    def begun_at(self, frame: int, note: str) -> "VideoIndex":
        """Return the index without the frames before ``frame``, with a note that says so."""
        kept = [at for at, number in enumerate(self.order) if number >= frame]
        new_position = {at: new for new, at in enumerate(kept)}
        return VideoIndex(
            self.length - frame,
            self.times and [time for time, number in zip(self.times, self.numbers) if number >= frame],
            [number - frame for number in self.numbers if number >= frame],
            [self.order[at] - frame for at in kept],
            keys=[new_position[key] for key in self.keys if key in new_position],
            losses=[new_position[loss] for loss in self.losses if loss in new_position],
            unneeded=frozenset(number - frame for number in self.unneeded),
            damaged=frozenset(number - frame for number in self.damaged),
            time_at=self.time_at,
            note="; ".join(filter(None, (self.note, note))),
        )

    def __contains__(self, frame: int) -> bool:
        return frame in self._position

    def number_at(self, time: int) -> int | None:
        """Return the number of the frame that is shown at a time stamp, if there is one."""
        at = bisect_left(self.times or (), time)
        return self.numbers[at] if self.times and at < len(self.times) and self.times[at] == time else None

    def time_of(self, frame: int) -> int:
        """Return the time stamp of a frame that is there."""
        assert self.times is not None
        return self.times[bisect_left(self.numbers, frame)]

    def start_before(self, frame: int) -> int:
        """Return the latest frame at or before ``frame`` that decoding can start at."""
        at = bisect_right(self._starts, frame)
        return self._starts[at - 1] if at else 0

    @property
    def first_start(self) -> int:
        """The first frame that decoding can start at, as the container says; 0 if it says so of none."""
        return min((self.order[key] for key in self.keys), default=0)

    def is_start(self, frame: int) -> bool:
        """Whether decoding can start at a frame."""
        return self.start_before(frame) == frame

    def needed_for(self, frame: int) -> int:
        """Return the last of the frames that are decoded up to ``frame``, which may build on it."""
        return self._ahead[self._position[frame]]

    def builds_on_missing(self, frame: int) -> bool:
        """Whether a frame that this one may build on is missing from the file."""
        at = self._position[frame]
        after = bisect_right(self.losses, self._bases[at])
        return after < len(self.losses) and self.losses[after] <= at

    def builds_on_any(self, frame: int, damaged: AbstractSet[int]) -> bool:
        """Whether a frame, or one that it may build on, is damaged."""
        at = self._position[frame]
        if frame in damaged:
            return True
        before = self.order[self._bases[at] : at] if damaged else ()
        return any(number in damaged and number not in self.unneeded for number in before)

    def seconds(self, tick: Fraction | None) -> Sequence[float] | None:
        """Return when each frame is shown, in seconds; of missing ones, from their neighbors."""
        if self.times is None or not tick:
            return None
        times = [float(time * tick) for time in self.times]
        return (
            times
            if len(times) == self.length
            else np.interp(range(self.length), self.numbers, times).tolist()
        )
