"""One object of a video session: its prompts, their outputs, and the ranges in which it was tracked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam2_engine.modeling.grid_window import GridWindow
from sam2_engine.prompts import Prompt
from sam2_engine.video.choosing import ABSENT, Past
from sam2_engine.video.memory_bank import MemoryBank
from sam2_engine.video.memory_policies.policy import FrameNote
from sam2_engine.video.object_window import paste

__all__ = ["FramePrompts", "ObjectOutput", "TrackedObject", "TrackedRange", "exchange_back"]


@dataclass(frozen=True)
class ObjectOutput:
    """One object on one frame, as tensors on the model's device.

    Attributes
    ----------
    values
        (4 G * 4 G + 2,) float32: all that is fetched of it, in one piece.
    pointer
        (C,) object pointer.
    """

    values: Tensor
    pointer: Tensor

    @classmethod
    def of(
        cls, low_res_logits: Tensor, iou: Tensor, presence_logit: Tensor, pointers: Tensor
    ) -> "list[ObjectOutput]":
        """Return the outputs of N objects: (N, 4 G, 4 G), (N,), (N,) and (N, C)."""
        parts = low_res_logits.flatten(1), iou[:, None], presence_logit[:, None]
        values = torch.cat([part.float() for part in parts], dim=1)
        return [cls(*one) for one in zip(values, pointers, strict=True)]

    def pasted(self, window: GridWindow, grid: int) -> "ObjectOutput":
        """Return the output on a whole grid, of one that is of a window."""
        logits = paste(self.low_res_logits, window, grid)
        return replace(self, values=torch.cat((logits.flatten(), self.values[-2:])))

    @property
    def low_res_logits(self) -> Tensor:
        """(4 G, 4 G) float32."""
        side = math.isqrt(len(self.values))
        return self.values[:-2].view(side, side)

    @property
    def iou(self) -> Tensor:
        """() float32."""
        return self.values[-2]

    @property
    def presence_logit(self) -> Tensor:
        """() float32."""
        return self.values[-1]


@dataclass
class FramePrompts:
    """All prompts of one object on one frame.

    Attributes
    ----------
    with_memory
        True for the correction of a tracked frame: its prediction attends to memory.
    reverse
        Direction in which that frame was tracked.
    prompt
        What they say together; empty before the first.
    mask
        Its mask at the model's input size, (1, 1, S, S), 0 or 1; None where it is clicks or a box.
    mask_given
        Whether a mask was given on the frame, before any clicks that correct it now.
    output
        What the model made of the prompts; its logits are fed back with the next click.
    memory_encoded
        Whether the memory of ``output`` is in the bank.
    """

    with_memory: bool
    reverse: bool
    prompt: Prompt = field(default_factory=Prompt)
    mask: Tensor | None = None
    mask_given: bool = False
    output: ObjectOutput | None = None
    memory_encoded: bool = False

    @property
    def positive_clicks(self) -> NDArray[np.float32]:
        """(P, 2) clicks inside the object, in the frame's pixels."""
        points = self.prompt.points
        return np.zeros((0, 2), np.float32) if points is None else points.coordinates[points.labels == 1]

    def encoded_points(self) -> tuple[NDArray[np.float32], NDArray[np.int32]] | None:
        """(P, 2) frame coordinates and (P,) labels, the box first as two corners; None without either."""
        parts = []
        if self.prompt.box is not None:
            parts.append((self.prompt.box.corners, np.array([2, 3], np.int32)))
        if self.prompt.points is not None:
            parts.append((self.prompt.points.coordinates, self.prompt.points.labels))
        if not parts:
            return None
        coordinates, labels = zip(*parts)
        return np.concatenate(coordinates), np.concatenate(labels)


@dataclass(frozen=True)
class TrackedRange:
    """Consecutive frames that were tracked in one go, and how to track them again.

    Attributes
    ----------
    first, last
        In the direction of the propagation, both inclusive.
    reverse
        That direction.
    conditioning
        Frames that were conditioning frames at the time.
    """

    first: int
    last: int
    reverse: bool
    conditioning: frozenset[int]

    def __contains__(self, frame: int) -> bool:
        low, high = sorted((self.first, self.last))
        return low <= frame <= high


@dataclass
class TrackedObject:
    """Prompts and memories of one object.

    Attributes
    ----------
    bank
        Memories.
    prompts
        By frame.
    tracked_ranges
        Where it was tracked, the newest last.
    settled
        The candidate, or ``ABSENT``, on frames where it gave way to another object.
    """

    bank: MemoryBank
    prompts: dict[int, FramePrompts] = field(default_factory=dict)
    tracked_ranges: list[TrackedRange] = field(default_factory=list)
    settled: dict[int, int] = field(default_factory=dict)

    def started(self, frame: int, reverse: bool) -> bool:
        """Whether the object was prompted before ``frame`` (after it, if reverse)."""
        return any(f >= frame if reverse else f <= frame for f in self.prompts)

    def logits_on(self, frame: int) -> Tensor | None:
        """Return the (4 G, 4 G) logits of a frame that was prompted or tracked; None where they are gone."""
        prompts = self.prompts.get(frame)
        if prompts is not None and prompts.output is not None:
            return prompts.output.low_res_logits
        memory = self.bank.tracked.get(frame)
        return None if memory is None else memory.low_res_logits

    def past(self, frame: int, reverse: bool, conditioning: frozenset[int] | None = None) -> Past:
        """Return what is known of the object before a frame, given all conditioning frames or some."""
        step, bank = -1 if reverse else 1, self.bank
        prompted = frozenset(bank.conditioning) if conditioning is None else conditioning
        start = min((f * step for f in prompted), default=frame * step)
        last = bank.last_before(frame, reverse, prompted)
        settled = None if conditioning is None else self.settled.get(frame)
        if last is None:
            return Past(None, 1, frame * step, start, settled, step)
        return Past(bank.tracked[last].note, abs(frame - last), frame * step, start, settled, step)

    def range_of(self, frame: int) -> TrackedRange | None:
        """Return the newest range that covers ``frame``."""
        return next((one for one in reversed(self.tracked_ranges) if frame in one), None)

    def record(self, frame: int, reverse: bool, note: FrameNote | None = None) -> None:
        """Record that ``frame`` was tracked, given all conditioning frames of now, and what was noted."""
        self.settled.pop(frame, None)
        if note is not None and note.rivals:
            self.settled[frame] = note.candidate if note.area else ABSENT
        conditioning = frozenset(self.bank.conditioning)
        step = -1 if reverse else 1
        if self.tracked_ranges:
            newest = self.tracked_ranges[-1]
            is_next = newest.last + step == frame and newest.reverse == reverse
            if is_next and newest.conditioning == conditioning:
                self.tracked_ranges[-1] = replace(newest, last=frame)
                return
        self.tracked_ranges.append(TrackedRange(frame, frame, reverse, conditioning))
        self.tracked_ranges = [one for i, one in enumerate(self.tracked_ranges) if not self._tracked_again(i)]

    def exchange(self, other: "TrackedObject", since: int, frame: int, reverse: bool) -> None:
        """Exchange what is remembered of the frames tracked since one, up to another, with another object."""
        self.bank.exchange(other.bank, since, frame, reverse)
        low, high = sorted((since, frame))
        mine, theirs = (
            {f: one.settled.pop(f) for f in range(low, high + 1) if f in one.settled} for one in (self, other)
        )
        self.settled |= theirs
        other.settled |= mine

    def _tracked_again(self, index: int) -> bool:
        """Whether a later range covers all of this one."""
        one = self.tracked_ranges[index]
        return any(one.first in later and one.last in later for later in self.tracked_ranges[index + 1 :])

    def forget(self, from_frame: int) -> None:
        """Forget that anything was tracked at or after ``from_frame``."""
        self.bank.forget(from_frame)
        self.settled = {f: candidate for f, candidate in self.settled.items() if f < from_frame}
        remaining = []
        for tracked_range in self.tracked_ranges:
            low, high = sorted((tracked_range.first, tracked_range.last))
            if low < from_frame:
                high = min(high, from_frame - 1)
                first, last = (high, low) if tracked_range.reverse else (low, high)
                remaining.append(replace(tracked_range, first=first, last=last))
        self.tracked_ranges = remaining


def exchange_back(objects: Mapping[int, TrackedObject], frame: int, reverse: bool) -> dict[int, int]:
    """Give objects back what they remember as each other, where their notes of a frame say so.

    Parameters
    ----------
    objects
        By id, all tracked on the frame.
    frame, reverse
        That was tracked last, and in which direction.

    Returns
    -------
    dict
        With whom they were exchanged, by id.
    """
    taken: dict[int, int] = {}
    for one, tracked in objects.items():
        note = tracked.bank.tracked[frame].note
        if note is not None and note.exchanged is not None and one not in taken:
            other, since = note.exchanged
            tracked.exchange(objects[other], since, frame, reverse)
            taken |= {one: other, other: one}
    return taken
