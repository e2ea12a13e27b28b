"""Result of a propagation: which objects were tracked on which frames."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, overload

from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.frame_steps import describe_passed_over
from sam2_engine.wording import counted, in_ranges

__all__ = ["TrackedFrame", "TrackedFrames"]


@dataclass(frozen=True)
class TrackedFrame:
    """One frame on which objects were tracked.

    Attributes
    ----------
    frame
        Its number, from 0.
    object_ids
        Those that were tracked; their masks are the session's.
    problem
        Why it could not be read and was passed over, in a sentence; empty where it was read.
    """

    frame: int
    object_ids: tuple[int, ...]
    problem: str = ""

    @classmethod
    def of(cls, result: FrameResult) -> "TrackedFrame":
        """Keep of a frame's result what is small."""
        return cls(result.frame, result.object_ids, result.problem)


class TrackedFrames(Sequence[TrackedFrame]):
    """What a propagation has done, in its order.

    Parameters
    ----------
    frames
        All of them; iterating is what does the work.

    Examples
    --------
    >>> done = TrackedFrames([TrackedFrame(3, (1, 2)), TrackedFrame(4, (1,))])
    >>> done, len(done), done.object_ids
    (<TrackedFrames: frames 3 to 4, 2 objects>, 2, (1, 2))
    >>> [one.frame for one in done]
    [3, 4]
    """

    def __init__(self, frames: Iterable[TrackedFrame] = ()) -> None:
        self._frames = tuple(frames)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """All objects that were tracked on some frame, ascending."""
        return tuple(sorted({object_id for one in self._frames for object_id in one.object_ids}))

    @property
    def passed_over(self) -> str:
        """A sentence on the frames that could not be read; empty if all could."""
        return describe_passed_over({one.frame: one.problem for one in self._frames if one.problem})

    def __len__(self) -> int:
        return len(self._frames)

    @overload
    def __getitem__(self, index: int) -> TrackedFrame: ...
    @overload
    def __getitem__(self, index: slice) -> "TrackedFrames": ...
    def __getitem__(self, index: int | slice) -> "TrackedFrame | TrackedFrames":
        return TrackedFrames(self._frames[index]) if isinstance(index, slice) else self._frames[index]

    def __add__(self, other: Any) -> "TrackedFrames":
        return TrackedFrames((*self, *other)) if isinstance(other, TrackedFrames) else NotImplemented

    def __eq__(self, other: object) -> bool:
        return self._frames == other._frames if isinstance(other, TrackedFrames) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._frames)

    def __repr__(self) -> str:
        if not self._frames:
            return "<TrackedFrames: none>"
        numbers = {one.frame for one in self._frames}
        noun = "frame" if len(numbers) == 1 else "frames"
        return f"<TrackedFrames: {noun} {in_ranges(numbers)}, {counted(len(self.object_ids), 'object')}>"
