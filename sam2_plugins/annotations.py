"""The truth of a session: objects, their prompts and their accepted masks.

All values are immutable and every change goes through one of three ``set_`` methods, each of which
replaces one value by another or by none. Threads may read while another one writes.
"""

import colorsys
import threading
from dataclasses import dataclass

from sam2_engine.errors import InputError
from sam2_engine.prompts import Box, Points
from sam2_plugins.accepted_mask import AcceptedMask, CompressedMask

__all__ = ["AnnotatedObject", "Annotations", "Prompt", "object_color"]

_GOLDEN_RATIO = 0.618033988749895


def object_color(object_id: int) -> tuple[int, int, int]:
    """Return a bright RGB colour (0..255) for an id; neighbouring ids get colours far apart."""
    hue = object_id * _GOLDEN_RATIO % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75 if object_id % 2 else 0.6, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


@dataclass(frozen=True)
class AnnotatedObject:
    """One thing that is followed.

    Attributes
    ----------
    id
        Positive, unique, never used again.
    name
        What people call it.
    label
        Its class, if it has one.
    color
        RGB, 0..255.
    """

    id: int
    name: str
    label: str | None
    color: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Prompt:
    """One thing that a person did for an object on a frame: clicks, a box, both at once, or a mask.

    Attributes
    ----------
    points, box
        In the pixels of the frame.
    mask
        Taken as it is, instead of anything else on the frame.
    """

    points: Points | None = None
    box: Box | None = None
    mask: CompressedMask | None = None

    def after(self, earlier: tuple["Prompt", ...]) -> tuple["Prompt", ...]:
        """Return the prompts that hold on a frame once this one has followed ``earlier`` ones."""
        if self.mask is not None:
            return (self,)
        if self.box is not None:  # there is one box, and a box takes the place of a mask
            earlier = tuple(Prompt(points=one.points) for one in earlier if one.points is not None)
        return (*earlier, self)


class Annotations:
    """Objects, prompts by (object, frame), accepted masks by (object, frame)."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._objects: dict[int, AnnotatedObject] = {}
        self._prompts: dict[int, dict[int, tuple[Prompt, ...]]] = {}
        self._masks: dict[int, dict[int, AcceptedMask]] = {}
        self._used_ids: set[int] = set()

    # ------------------------------------------------------------------ changing

    def new_object(self, name: str | None, label: str | None, object_id: int | None) -> AnnotatedObject:
        """Make an object with the next free id, or with one that was never used.

        Raises
        ------
        InputError
            If the id was used before or is not a positive whole number.
        """
        with self._lock:
            if object_id is None:
                object_id = max(self._used_ids, default=0) + 1
            if object_id <= 0:
                raise InputError(f"An object's id is a positive whole number, not {object_id}.")
            if object_id in self._used_ids:
                raise InputError(
                    f"Object id {object_id} was used before in this session; ids are never used again."
                )
            made = AnnotatedObject(object_id, name or f"object {object_id}", label, object_color(object_id))
            self.set_object(object_id, made)
            return made

    def set_object(self, object_id: int, value: AnnotatedObject | None) -> None:
        """Replace an object; None removes it with its prompts and masks."""
        with self._lock:
            if value is not None:
                self._used_ids.add(object_id)
                self._objects[object_id] = value
                return
            self._objects.pop(object_id, None)
            self._prompts.pop(object_id, None)
            self._masks.pop(object_id, None)

    def set_prompts(self, object_id: int, frame: int, value: tuple[Prompt, ...]) -> None:
        """Replace the prompts of an object on a frame, in the order they were given; empty removes them."""
        with self._lock:
            frames = self._prompts.setdefault(object_id, {})
            if value:
                frames[frame] = value
            else:
                frames.pop(frame, None)

    def set_mask(self, object_id: int, frame: int, value: AcceptedMask | None) -> None:
        """Replace the mask of an object on a frame; None removes it."""
        with self._lock:
            frames = self._masks.setdefault(object_id, {})
            if value is not None:
                frames[frame] = value
            else:
                frames.pop(frame, None)

    # ------------------------------------------------------------------ reading

    def objects(self) -> dict[int, AnnotatedObject]:
        """Return all objects by id, in the order in which they were made."""
        with self._lock:
            return dict(self._objects)

    def require(self, object_id: int) -> int:
        """Return the id of a known object.

        Raises
        ------
        InputError
            If there is no such object.
        """
        objects = self.objects()
        if object_id not in objects:
            known = ", ".join(map(str, objects)) or "none yet"
            raise InputError(f"There is no object {object_id} in this session; its objects are: {known}.")
        return object_id

    def prompts_of(self, object_id: int) -> dict[int, tuple[Prompt, ...]]:
        """Return an object's prompts by frame, in the order in which the frames were prompted."""
        with self._lock:
            return dict(self._prompts.get(object_id, {}))

    def mask(self, object_id: int, frame: int) -> AcceptedMask | None:
        """Return an object's mask on a frame, or None where nobody said anything of it yet."""
        with self._lock:
            return self._masks.get(object_id, {}).get(frame)

    def masks_on(self, frame: int) -> dict[int, AcceptedMask]:
        """Return the masks of a frame by object."""
        with self._lock:
            return {i: frames[frame] for i, frames in self._masks.items() if frame in frames}

    def frames_of(self, object_id: int) -> list[int]:
        """Return the frames on which an object has a mask (possibly an empty one), sorted."""
        with self._lock:
            return sorted(self._masks.get(object_id, {}))
