"""Keyframes of a video rectangle, a person's told apart from the model's without any state.

Label Studio stores extra keys of a keyframe and gives them back, or copies them to a keyframe that a person
makes beside it. So every keyframe of the model carries what it was when it was made; one that still is what
it says is the model's and can be made anew, any other is a person's and is a prompt.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

from labelstudio_backend.schema.regions import Region, number, shown
from sam2_engine.errors import InputError

__all__ = ["SIDES", "Keyframe", "Track", "model_item", "was_never_tracked"]

MARK = "sam2"
SIDES = ("x", "y", "width", "height")
_MAX_FRAME = 10**7
_TOLERANCE = 1e-3
"""In percent of the image: above what rounding changes, below what a hand can."""


@dataclass(frozen=True)
class Keyframe:
    """One keyframe of a video rectangle.

    Attributes
    ----------
    frame
        Label Studio's frame number, from 1.
    enabled
        Whether the person left the object visible after this frame.
    made_by_model
        Whether it is the model's, unchanged by a person.
    item
        As it came, in percent.
    """

    frame: int
    enabled: bool
    made_by_model: bool
    item: Mapping[str, Any]

    @classmethod
    def of(cls, item: object) -> Self:
        """Read an item of a sequence.

        Raises
        ------
        InputError
            If it has no frame number from 1 on, or no rectangle.
        """
        frame = item.get("frame") if isinstance(item, Mapping) else None
        counted = isinstance(frame, int) and not isinstance(frame, bool) and 1 <= frame <= _MAX_FRAME
        if not isinstance(item, Mapping) or not isinstance(frame, int) or not counted:
            raise InputError(
                f"A keyframe has {shown(frame)} for its frame, but frames are counted from 1; draw it again."
            )
        enabled, mark = item.get("enabled") is not False, item.get(MARK)
        untouched = _same(mark, [frame, *(number(item, side) for side in SIDES), int(enabled)])
        return cls(frame, enabled or _same(mark, [frame]), untouched and not item.get("rotation"), item)

    @property
    def is_copied(self) -> bool:
        """Whether the page made it from another one of the model, of which it took over ``enabled``."""
        mark = self.item.get(MARK)
        return isinstance(mark, list) and mark[:1] != [self.frame]

    @property
    def ended_by_model(self) -> bool:
        """Whether it is the model that hid the object after it."""
        return self.item.get("enabled") is False and (self.made_by_model or self.enabled)

    def as_drawn(self) -> dict[str, Any]:
        """Return the item as the person left it."""
        return {**{key: value for key, value in self.item.items() if key != MARK}, "enabled": self.enabled}

    def closed_by_model(self) -> dict[str, Any]:
        """Return the item with the object hidden after it, marked as done by the model."""
        return {**self.item, "enabled": False, MARK: [self.frame]}


def model_item(
    frame: int, seconds: float, rectangle: Mapping[str, float], *, enabled: bool
) -> dict[str, Any]:
    """Return a keyframe of the model, marked as such, from a rectangle in percent."""
    mark = [frame, *(rectangle[side] for side in SIDES), int(enabled)]
    return {"frame": frame, "time": seconds, "enabled": enabled, "rotation": 0, **rectangle, MARK: mark}


def was_never_tracked(region: object) -> bool:
    """Whether a labeled video rectangle is as a person drew it: one keyframe, which lasts to the end.

    It was submitted before the answer came, and stands still; what was tracked ends where it is told to.

    Examples
    --------
    >>> box = {"frame": 1, "enabled": True, "x": 1, "y": 1, "width": 9, "height": 9}
    >>> region = {"type": "videorectangle", "value": {"labels": ["Car"], "sequence": [box]}}
    >>> was_never_tracked(region)
    True
    """
    if not isinstance(region, Mapping) or region.get("type") != "videorectangle":
        return False
    value = region.get("value")
    sequence = value.get("sequence") if isinstance(value, Mapping) and value.get("labels") else None
    if not isinstance(sequence, list) or len(sequence) != 1 or not isinstance(sequence[0], Mapping):
        return False
    return sequence[0].get("enabled") is not False and MARK not in sequence[0]


@dataclass(frozen=True)
class Track:
    """One video rectangle with the keyframes that a person made (or its first, if none is left).

    Attributes
    ----------
    region
        As it came.
    keyframes
        By frame number, in order; at least one.
    """

    region: Region
    keyframes: Mapping[int, Keyframe]

    @classmethod
    def of(cls, region: Mapping[str, Any]) -> Self:
        """Read a region.

        Raises
        ------
        InputError
            If there is no keyframe, or one is not usable.
        """
        sequence = region["value"].get("sequence")
        found = [Keyframe.of(item) for item in sequence] if isinstance(sequence, list) else []
        if not found:
            raise InputError("The rectangle to track has no keyframe; draw it again on one frame.")
        found.sort(key=lambda keyframe: keyframe.frame)
        # Who draws where the model saw nothing says that the object is there, whatever the page copied.
        before = [False, *(keyframe.ended_by_model for keyframe in found)]
        found = [
            replace(one, enabled=one.enabled or (gone and one.is_copied)) for one, gone in zip(found, before)
        ]
        drawn = [keyframe for keyframe in found if not keyframe.made_by_model]
        return cls(dict(region), {one.frame: one for one in drawn or [replace(found[0], enabled=True)]})

    @cached_property
    def _frames(self) -> tuple[int, ...]:
        return tuple(self.keyframes)

    @property
    def id(self) -> str:
        """Label Studio's id of the region."""
        return str(self.region.get("id"))

    @property
    def label(self) -> str:
        """The first label."""
        return str(self.region["value"]["labels"][0])

    @property
    def first_frame(self) -> int:
        """Label Studio's number of the first keyframe."""
        return self._frames[0]

    @property
    def last_frame(self) -> int:
        """Label Studio's number of the last keyframe."""
        return self._frames[-1]

    @property
    def prompts(self) -> Mapping[int, Keyframe]:
        """The keyframes that say where the object is.

        One that a person drew within a stretch in which the object is hidden, without showing it from there
        on, says nothing of other frames.
        """
        before = [True, *(keyframe.enabled for keyframe in self.keyframes.values())]
        return {
            frame: keyframe
            for shown, (frame, keyframe) in zip(before, self.keyframes.items())
            if shown or keyframe.enabled
        }

    def shown_after_keyframe(self, frame: int) -> bool:
        """Return whether the last keyframe before ``frame`` leaves the object visible."""
        return self.keyframes[self._frames[bisect_left(self._frames, frame) - 1]].enabled


def _same(mark: object, expected: list[float]) -> bool:
    return (
        isinstance(mark, list)
        and len(mark) == len(expected)
        and all(isinstance(value, int | float) for value in mark)
        and all(math.isclose(a, b, rel_tol=0, abs_tol=_TOLERANCE) for a, b in zip(mark, expected))
    )
