"""Which objects are followed over which frames, so that verified masks stay and nothing is done twice."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from sam2_engine.errors import InputError
from sam2_plugins.runtime.run_estimate import RunSize
from sam2_plugins.session.annotations import Annotations

__all__ = ["PropagationPlan"]


@dataclass(frozen=True)
class PropagationPlan:
    """A wish to follow objects, looked up in what is known at any moment.

    Each object goes from its first prompted or verified frame (reverse: from the last), or from ``start``
    if that comes later on the way, to ``stop``; given a start and no stop, to its next verified frame.
    Verified masks are left out.

    Attributes
    ----------
    annotations
        What is known.
    length
        Number of frames; None for an endless live stream.
    object_ids
        Which objects; None for all that there are.
    start, stop, reverse
        As for ``AnnotationSession.propagate``.
    missing_only
        Leave out what has a mask already.
    """

    annotations: Annotations
    length: int | None
    object_ids: tuple[int, ...] | None = None
    start: int | None = None
    stop: int | None = None
    reverse: bool = False
    missing_only: bool = False

    @property
    def step(self) -> int:
        """Direction of travel, 1 or -1."""
        return -1 if self.reverse else 1

    def active_on(self, frame: int) -> tuple[int, ...]:
        """Return the objects that are to be followed on a frame."""
        return tuple(
            object_id
            for object_id, (first, last) in self._travels().items()
            if first * self.step <= frame * self.step <= last * self.step
            and not self.annotations.is_verified(object_id, frame)
            and not (self.missing_only and self.annotations.mask(object_id, frame) is not None)
        )

    def bounds(self) -> tuple[int, float]:
        """Return the first and the last frame of all objects, in the direction of travel.

        Raises
        ------
        InputError
            If nothing is prompted, or ``start`` and ``stop`` leave no frame.
        """
        travels = self._travels().values()
        if not travels:
            raise InputError("There is nothing to track yet; give an object a click, a box or a mask first.")
        first, last = (
            min((one[0] for one in travels), key=lambda f: f * self.step),
            max((one[1] for one in travels), key=lambda f: f * self.step),
        )
        if first * self.step > last * self.step:
            raise InputError(
                f"There is nothing to follow {'backwards ' if self.reverse else ''}"
                f"from frame {first} to frame {last}; exchange start and stop, or change the direction."
            )
        return first, last

    def frames(self) -> list[int] | None:
        """Return the frames on which an object is to be followed, in order; None if there is no end.

        Raises
        ------
        InputError
            As ``bounds``.
        """
        first, last = self.bounds()
        if last == math.inf:
            return None
        return [f for f in range(first, int(last) + self.step, self.step) if self.active_on(f)]

    def size(self) -> RunSize:
        """Return how much there is to follow; of an endless live stream, one frame.

        Raises
        ------
        InputError
            As ``bounds``.
        """
        self.bounds()
        touched: set[int] = set()
        masks = 0
        for object_id, (first, last) in self._travels().items():
            end = first if last == math.inf else int(last)
            there = set(range(first, end + self.step, self.step)) - self.annotations.verified(object_id)
            if self.missing_only:
                there -= set(self.annotations.frames_of(object_id))
            touched |= there
            masks += len(there)
        return RunSize(len(touched), masks)

    def _travels(self) -> dict[int, tuple[int, float]]:
        """First and last frame by object, for all that were ever prompted or verified."""
        ids: Iterable[int] = self.annotations.objects() if self.object_ids is None else self.object_ids
        end: float = 0 if self.reverse else math.inf if self.length is None else self.length - 1
        nearest = max if self.reverse else min
        travels = {}
        for object_id in ids:
            verified = self.annotations.verified(object_id)
            anchors = {*self.annotations.prompts_of(object_id), *verified}
            if not anchors:
                continue
            first = nearest(anchors)
            if self.start is not None:  # before an object's first prompt there is nothing to follow
                first = (min if self.reverse else max)(first, self.start)
            last = end if self.stop is None else self.stop
            ahead = [f for f in verified if f * self.step > first * self.step]
            if self.start is not None and self.stop is None and ahead:
                last = nearest(ahead) - self.step
            travels[object_id] = (first, last)
        return travels
