"""Contract of a memory policy, and the official one.

A policy has no state: what it knows of an object lies in the notes of the frames, beside their memories. So
tracking from several places, both ways, again after a correction or from a checkpoint needs nothing more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sam2_engine.video.crossings import Course, Meeting

__all__ = [
    "ABSENT_LOGIT",
    "GIVEN",
    "REACH",
    "Candidates",
    "Choice",
    "Exchange",
    "FrameNote",
    "MemoryPolicy",
    "MotionState",
    "iou_of_boxes",
]

ABSENT_LOGIT = -10.0
"""Presence logit of an object that is surely not there."""
REACH = 64
"""Frames that a policy looks back for recent memories, at most."""

Box = tuple[float, float, float, float]


class Exchange(NamedTuple):
    """Two objects each of which was the other one since a frame, and is itself again.

    Attributes
    ----------
    other
        Id of the other one.
    since
        The first frame on which their masks, as they were given, are each other's.
    """

    other: int
    since: int


class MotionState(NamedTuple):
    """What is known of an object's motion: center, width by height, and height, each with its velocity.

    Attributes
    ----------
    mean
        (4, 2) values and velocities, in input pixels and per frame.
    covariance
        (4, 2, 2): the four do not depend on each other.
    steady
        Frames in a row on which the object was found well.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    steady: int


@dataclass(frozen=True)
class FrameNote:
    """What is known of one object on one tracked frame, for the frames after it.

    Attributes
    ----------
    predicted_iou
        Of its mask, 0..1.
    presence_logit
        Above 0 the object is there.
    area
        Of its mask, in cells of the low-resolution grid; 0 where it is absent.
    box
        Of its mask, ``x0, y0, x1, y1`` in input pixels, the last two exclusive; zeros where it is absent.
    candidate
        Which of the model's masks it is.
    motion
        State after this frame; None of a policy that looks at none, or has none yet.
    motion_iou
        IoU of the mask's box with the one that was expected; None where none was.
    anchors
        Tracked frames that are remembered for long, oldest first, this one included where it became one.
    areas
        The last areas above 0, oldest first, this one included.
    rivals
        Ids of the objects that it gave way to, or was exchanged with, on this frame.
    course
        Where it was seen on the last frames, apart from others, this one included; in cells.
    meetings
        What is known of its meetings with objects of higher ids, by these, that are not over.
    exchanged
        With which object it was exchanged back after this frame; None of most frames.
    is_remembered
        Whether later frames may read it; not where another shot begins, nor blank frames.
    """

    predicted_iou: float
    presence_logit: float
    area: int
    box: Box
    candidate: int = 0
    motion: MotionState | None = None
    motion_iou: float | None = None
    anchors: tuple[int, ...] = ()
    areas: tuple[int, ...] = ()
    rivals: tuple[int, ...] = ()
    course: Course = ()
    meetings: tuple[tuple[int, Meeting], ...] = ()
    exchanged: Exchange | None = None
    is_remembered: bool = True

    def forgotten(self, position: int, keeps_course: bool) -> "FrameNote":
        """Return the note of a frame that is not remembered; an object may keep its course over it."""
        anchors = tuple(p for p in self.anchors if p != position)
        motion = self.motion if keeps_course else None
        forgotten = replace(self, is_remembered=False, anchors=anchors, motion=motion)
        return forgotten if keeps_course else replace(forgotten, course=(), meetings=())


GIVEN = FrameNote(1.0, 10.0, 1, (0.0, 0.0, 0.0, 0.0))
"""Of a frame that a person prompted, where it is read as a recent one."""


@dataclass(frozen=True)
class Candidates:
    """The masks that the model offers for one object on one frame: M = 3, or 1.

    Attributes
    ----------
    predicted_iou
        (M,), 0..1.
    presence_logit
        Above 0 the object is there.
    boxes
        (M, 4) ``x0, y0, x1, y1`` in input pixels, the last two exclusive; zeros for an empty mask.
    areas
        (M,) cells of the low-resolution grid.
    fetch_masks
        Returns them, (M, 4 G, 4 G) bool; a GPU is waited for.
    """

    predicted_iou: NDArray[np.float32]
    presence_logit: float
    boxes: NDArray[np.float32]
    areas: NDArray[np.int64]
    fetch_masks: Callable[[], NDArray[np.bool_]]

    def only(self, index: int) -> "Candidates":
        """Return one of them alone."""
        part, fetch = slice(index, index + 1), self.fetch_masks
        numbers = self.predicted_iou[part], self.presence_logit, self.boxes[part], self.areas[part]
        return Candidates(*numbers, lambda: fetch()[part])

    def absent(self) -> "Candidates":
        """Return the same of an object that is not there."""
        return replace(self, presence_logit=min(self.presence_logit, ABSENT_LOGIT))


@dataclass(frozen=True)
class Choice:
    """Which candidate is taken, and what it says of motion.

    Attributes
    ----------
    index
        Of the candidate.
    motion, motion_iou
        As in ``FrameNote``.
    """

    index: int
    motion: MotionState | None = None
    motion_iou: float | None = None


class MemoryPolicy:
    """What an object's session remembers, and how it chooses; this one is SAM 2's own rule, ``recent``.

    A policy of one's own is a subclass that overrides some of the methods. Frames are counted in the
    direction of the tracking: backwards, a ``position`` is the negative of the frame's number.

    Attributes
    ----------
    name
        By which it is chosen.
    takes_notes
        Whether frames are to have notes; without, none of the methods is asked, and the official rule holds.
    presence_threshold
        Presence logit up to which an object counts as absent, so that its mask is emptied.
    lets_overlap
        Whether objects may share pixels where nobody says so.

    Examples
    --------
    A policy that forgets frames on which the object was hardly seen:

    >>> class Sure(MemoryPolicy):
    ...     name = "sure"
    ...     takes_notes = True
    ...
    ...     def recents(self, position, notes, count, num_long_term, start):
    ...         sure = [p for p in sorted(notes, reverse=True) if notes[p].predicted_iou > 0.7]
    ...         return list(enumerate(sure[:count], start=1))
    """

    name = "recent"
    takes_notes = False
    presence_threshold = 0.0
    lets_overlap = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), self.name))

    def choose(self, candidates: Candidates, before: FrameNote | None, elapsed: int = 1) -> Choice:
        """Choose one of the candidates: that of the highest predicted IoU.

        Parameters
        ----------
        candidates
            Of one object on one frame.
        before
            Note of the last frame before it on which it was tracked; None if it was prompted since.
        elapsed
            Frames since then: more than 1 after frames that could not be read.
        """
        return Choice(int(candidates.predicted_iou.argmax()))

    def anchors(
        self, position: int, candidates: Candidates, note: FrameNote, before: FrameNote | None, start: int
    ) -> tuple[int, ...]:
        """Return the tracked positions that are remembered for long from now on, oldest first: none.

        Parameters
        ----------
        position
            Of the frame that was tracked; it is in what is returned if it is to be one of them.
        candidates, before
            As for ``choose``.
        note
            Of the frame, so far.
        start
            Position of the first prompted frame.
        """
        return ()

    def read_anchors(self, position: int, anchors: tuple[int, ...], num_prompted: int) -> list[int]:
        """Return which anchors a frame reads, beside so many prompted frames and in the same way: all."""
        return list(anchors)

    def recents(
        self, position: int, notes: Mapping[int, FrameNote], count: int, num_long_term: int, start: int
    ) -> list[tuple[int, int]]:
        """Return which recent memories a frame reads: slots (1 is the newest) and positions, newest first.

        Parameters
        ----------
        position
            Of the frame.
        notes
            By position, of what was tracked before it in this direction, but for anchors that are read.
        count
            Slots that there are.
        num_long_term
            Prompted frames and anchors that are read beside.
        start
            Position of the first prompted frame.
        """
        return [(slot, position - slot) for slot in range(1, count + 1) if position - slot in notes]

    def reads_pointer(self, note: FrameNote) -> bool:
        """Whether the object pointer of a recent frame is read: always."""
        return True


def iou_of_boxes(box: NDArray[np.float64], boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the IoU of a box (4,) with each of (M, 4) boxes, the ends exclusive; 0 for empty ones.

    Examples
    --------
    >>> iou_of_boxes(np.array([0.0, 0, 4, 4]), np.float32([[2, 0, 6, 4], [0, 0, 0, 0]])).round(2).tolist()
    [0.33, 0.0]
    """
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = (high - low).clip(0).prod(1)
    union = (box[2:] - box[:2]).clip(0).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - shared
    return np.asarray(np.divide(shared, union, out=np.zeros(len(boxes)), where=union > 0), np.float64)
