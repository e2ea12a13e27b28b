"""The plan of a propagation: which objects over which frames, so that verified masks stay."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sam2_engine.errors import InputError
from sam2_plugins.runtime.run_estimate import RunSize
from sam2_plugins.session.annotations import Annotations
from sam2_plugins.session.life import Life

__all__ = ["Direction", "PropagateArguments", "PropagationPlan", "count_frames", "runs_in"]

PropagateArguments = dict[str, Any]
"""Arguments of ``AnnotationSession.iter_propagate``."""


class Direction(Enum):
    """Direction in which objects are tracked."""

    BACKWARD = "backward"
    BOTH = "both"
    FORWARD = "forward"

    @classmethod
    def of(cls, name: "str | Direction") -> "Direction":
        """Return a direction by its name.

        Raises
        ------
        InputError
            If there is no such direction.
        """
        try:
            return cls(name)
        except ValueError:
            known = ", ".join(one.value for one in cls)
            raise InputError(f"There is no direction {name!r}; give one of {known}.") from None


def runs_in(
    direction: Direction, object_ids: tuple[int, ...] | None = None, start: int | None = None
) -> list[PropagateArguments]:
    """Return the runs of a propagation, one or two, each the arguments of ``AnnotationSession.propagate``.

    Without a start, each object goes both ways from its own prompts: backwards from the first of them, since
    between them forwards has been already.

    Examples
    --------
    >>> forward, backward = runs_in(Direction.BOTH, object_ids=(2,))
    >>> backward
    {'object_ids': (2,), 'start': None, 'reverse': True, 'from_first': True}
    """
    forward: PropagateArguments = {"object_ids": object_ids, "start": start}
    backward: PropagateArguments = {**forward, "reverse": True}
    if direction is Direction.BOTH:
        return [forward, {**backward, "from_first": start is None}]
    return [forward if direction is Direction.FORWARD else backward]


@dataclass(frozen=True)
class PropagationPlan:
    """What is to be tracked, looked up in the annotations at any moment.

    Each object is tracked from its first prompted or verified frame (reverse: from the last), or from
    ``start`` if that comes later, to ``stop``; given a start and no stop, to its next verified frame.
    Verified masks are left out, and frames outside of the object's life: after it divided or was deleted,
    before it was born, where it is absent. :meth:`left_out` says so in words.

    Attributes
    ----------
    annotations
        The session's.
    length
        Number of frames; None for an endless live stream.
    object_ids
        Which objects; None for all that there are.
    start, stop, reverse
        As for ``AnnotationSession.propagate``.
    missing_only
        Leave out what has a mask already.
    from_first
        Backwards, from each object's first prompted or verified frame instead of its last one.
    """

    annotations: Annotations
    length: int | None
    object_ids: tuple[int, ...] | None = None
    start: int | None = None
    stop: int | None = None
    reverse: bool = False
    missing_only: bool = False
    from_first: bool = False

    @property
    def step(self) -> int:
        """From one frame to the next, 1 or -1."""
        return -1 if self.reverse else 1

    def active_on(self, frame: int) -> tuple[int, ...]:
        """Return the objects that are to be tracked on a frame."""
        return tuple(
            object_id
            for object_id, (first, last, life) in self._ranges().items()
            if first * self.step <= frame * self.step <= last * self.step
            and frame in life
            and not self.annotations.is_verified(object_id, frame)
            and not (self.missing_only and self.annotations.mask(object_id, frame) is not None)
        )

    def bounds(self) -> tuple[int, float]:
        """Return the first and the last frame of all objects, in the direction of the propagation.

        Raises
        ------
        InputError
            If nothing is prompted, or ``start`` and ``stop`` leave no frame.
        """
        ranges = self._ranges().values()
        if not ranges:
            left_out = self.left_out()
            raise InputError(
                f"There is nothing to track. {left_out}"
                if left_out
                else "There is nothing to track yet; give an object a click, a box or a mask first."
            )
        first, last = (
            min((first for first, _, _ in ranges), key=lambda f: f * self.step),
            max((last for _, last, _ in ranges), key=lambda f: f * self.step),
        )
        if first * self.step > last * self.step:
            raise InputError(
                f"There is nothing to track {'backwards ' if self.reverse else ''}"
                f"from frame {first} to frame {last}; exchange start and stop, or change the direction."
            )
        return first, last

    def frames(self) -> list[int] | None:
        """Return the frames on which an object is to be tracked, in order; None if there is no end.

        Raises
        ------
        InputError
            As ``bounds``.
        """
        _, last = self.bounds()
        if last == math.inf:
            return None
        return sorted(set().union(*self.frames_by_object().values()), reverse=self.reverse)

    def has_frames(self) -> bool:
        """Whether there is a frame on which an object is to be tracked."""
        return any(self.frames_by_object().values())

    def size(self) -> RunSize:
        """Return how much there is to track; of an endless live stream, one frame.

        Raises
        ------
        InputError
            As ``bounds``.
        """
        self.bounds()
        each = self.frames_by_object().values()
        return RunSize(len(set().union(*each)), sum(map(len, each)))

    def frames_by_object(self) -> dict[int, set[int]]:
        """Return the frames on which each object is to be tracked; of an endless live stream, one."""
        found = {}
        for object_id, (first, last, life) in self._ranges().items():
            end = first if last == math.inf else int(last)
            tracked = {frame for frame in range(first, end + self.step, self.step) if frame in life}
            tracked -= self.annotations.verified(object_id)
            if self.missing_only:
                tracked -= set(self.annotations.frames_of(object_id))
            found[object_id] = tracked
        return found

    def left_out(self) -> str:
        """Say in a sentence where objects are not tracked because of their lives; empty if everywhere."""
        objects, lives, parts = self.annotations.objects(), self.annotations.lives(), []
        for object_id, (first, last) in self._asked().items():
            low, high = sorted((first, last))
            if gaps := lives[object_id].describe_gaps(int(low), high):
                divides = any(object_id in one.parents for one in objects.values())
                parts.append(f"{objects[object_id].name} {gaps}{' (it divides)' if divides else ''}")
        return f"Not tracked: {'; '.join(parts)}." if parts else ""

    def _ranges(self) -> dict[int, tuple[int, float, Life]]:
        """First and last frame by object within its life, and that life."""
        lives, ranges = self.annotations.lives(), {}
        for object_id, (first, last) in self._asked().items():
            life = lives[object_id]
            if first * self.step > last * self.step:
                ranges[object_id] = first, last, life
            elif self.reverse and (living := life.within(int(last), first)):
                ranges[object_id] = int(living[1]), living[0], life
            elif not self.reverse and (living := life.within(first, last)):
                ranges[object_id] = *living, life
        return ranges

    def _asked(self) -> dict[int, tuple[int, float]]:
        """First and last frame by object, wherever it lives, for all that were ever prompted or verified."""
        ids: Iterable[int] = self.annotations.objects() if self.object_ids is None else self.object_ids
        end: float = 0 if self.reverse else math.inf if self.length is None else self.length - 1
        earliest = max if self.reverse else min  # on the way
        begin = min if self.from_first else earliest
        ranges = {}
        for object_id in ids:
            verified = self.annotations.verified(object_id)
            anchors = {*self.annotations.prompts_of(object_id), *verified}
            if not anchors:
                continue
            first = begin(anchors)
            if self.start is not None:  # before an object's first prompt there is nothing to track
                first = (min if self.reverse else max)(first, self.start)
            last = end if self.stop is None else self.stop
            ahead = [f for f in verified if f * self.step > first * self.step]
            if self.start is not None and self.stop is None and ahead:
                last = earliest(ahead) - self.step
            ranges[object_id] = (first, last)
        return ranges


def count_frames(plans: Iterable[PropagationPlan]) -> int | None:
    """Return how many frames propagations one after the other take; None of an endless live stream.

    What an earlier one tracks is there for a later one that leaves out what has a mask.

    Raises
    ------
    InputError
        As ``PropagationPlan.bounds``.
    """
    total = 0
    tracked: dict[int, set[int]] = {}
    for plan in plans:
        if plan.frames() is None:
            return None
        each = plan.frames_by_object()
        if plan.missing_only:
            each = {object_id: frames - tracked.get(object_id, set()) for object_id, frames in each.items()}
        total += len(set().union(*each.values()))
        for object_id, frames in each.items():
            tracked[object_id] = tracked.get(object_id, set()) | frames
    return total
