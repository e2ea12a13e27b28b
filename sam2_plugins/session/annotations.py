"""The annotations of a session: objects, prompts, accepted and verified masks, and the intensity window.

All values are immutable and every change goes through one of five ``set_`` methods, each of which
replaces one value by another or by none, and reports it as a ``Change``: all that undo and storage
need. Threads may read while another one writes, and never wait for it: what is read is copied from a
dict or a set in one step, which Python never interrupts.
"""

import colorsys
import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from sam2_engine.arguments import is_whole
from sam2_engine.errors import InputError
from sam2_engine.preprocessing import IntensityWindow
from sam2_engine.prompts import Prompt
from sam2_engine.wording import begun
from sam2_plugins.session.life import Life
from sam2_plugins.session.masks import AcceptedMask

__all__ = [
    "LARGEST_ID",
    "AnnotatedObject",
    "Annotations",
    "Change",
    "ChangeKind",
    "check_color",
    "check_words",
    "object_color",
]

LARGEST_ID = 2**32 - 1
"""Of an object; label images have at most 32 bits."""

_GOLDEN_RATIO = 0.618033988749895


def object_color(object_id: int) -> tuple[int, int, int]:
    """Return a bright RGB color (0..255) for an id; neighboring ids get colors far apart."""
    hue = object_id * _GOLDEN_RATIO % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75 if object_id % 2 else 0.6, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


@dataclass(frozen=True)
class AnnotatedObject:
    """One object, and what people say of it.

    Attributes
    ----------
    id
        From 1 to ``LARGEST_ID``, unique, not used again.
    name
        What people call it.
    label
        Its class, if it has one.
    color
        RGB, 0..255.
    parents
        Ids of the objects that it came from: one after a division, several after a fusion.
    life
        On which frames it can be, but for where those begin that came from it; see ``Annotations.lives``.
    """

    id: int
    name: str
    label: str | None
    color: tuple[int, int, int]
    parents: tuple[int, ...] = ()
    life: Life = field(default_factory=Life)

    @property
    def is_named(self) -> bool:
        """Whether somebody gave it a name; else it is called by its number."""
        return self.name != _nameless(self.id)

    @property
    def numbered(self) -> str:
        """What it is called where people need its number, too: ``object 3 (nucleus)``.

        Examples
        --------
        >>> AnnotatedObject(3, "nucleus", None, (255, 0, 0)).numbered
        'object 3 (nucleus)'
        """
        return f"{_nameless(self.id)} ({self.name})" if self.is_named else self.name


def _nameless(object_id: int) -> str:
    return f"object {object_id}"


def check_color(color: object) -> None:
    """Refuse what is no RGB color, which could be neither stored nor shown; None is none.

    Raises
    ------
    InputError
        If it is no three whole numbers from 0 to 255.
    """
    parts = tuple(color) if isinstance(color, Sequence | np.ndarray) else ()
    is_color = len(parts) == 3 and all(is_whole(part) and 0 <= part <= 255 for part in parts)
    if color is not None and not is_color:
        raise InputError(f"A color is red, green and blue from 0 to 255, not {color!r}.")


def check_words(*words: object) -> None:
    """Refuse names and classes that are no text, or none that a file can hold.

    Raises
    ------
    InputError
        If one is neither None nor such a text.
    """
    for word in words:
        try:
            if word is not None:
                str.encode(word, "utf-8")  # type: ignore[arg-type]  # what is no text fails here
        except (TypeError, UnicodeEncodeError):
            raise InputError(f"A name or a class is text, not {word!r}.") from None


class ChangeKind(Enum):
    """What a change is about: something of an object, or the stack's intensity window."""

    OBJECT = "object"
    PROMPTS = "prompts"
    MASK = "mask"
    VERIFIED = "verified"
    WINDOW = "window"


Value = AnnotatedObject | tuple[Prompt, ...] | AcceptedMask | IntensityWindow | bool | None


@dataclass(frozen=True, eq=False)
class Change:
    """One value replaced by another.

    Attributes
    ----------
    kind, object_id, frame
        Which value; ``frame`` is None for the object itself, and for the window, whose ``object_id`` is 0.
    before, after
        An ``AnnotatedObject``, a tuple of prompts, an ``AcceptedMask``, whether it is verified, or an
        ``IntensityWindow``; None (or an empty tuple, or False) where there is nothing.

    Examples
    --------
    >>> change = Change(ChangeKind.VERIFIED, object_id=1, frame=4, before=False, after=True)
    >>> change.inverse().after
    False
    """

    kind: ChangeKind
    object_id: int
    frame: int | None
    before: Value
    after: Value

    def inverse(self) -> "Change":
        """Return the change that takes this one back."""
        return Change(self.kind, self.object_id, self.frame, self.after, self.before)


class Annotations:
    """Objects, and by (object, frame) prompts, accepted masks and whether these are verified.

    Parameters
    ----------
    window
        Intensities that the model sees, at first; None where pixels pass as they are.

    Attributes
    ----------
    lock
        Held while something changes; entered again by the thread that holds it.
    on_change
        Called with every change, within the lock.
    window
        The intensities that the model sees now.

    See Also
    --------
    sam2_plugins.session.history.History : collects the changes as actions, for undo.

    Examples
    --------
    >>> annotations = Annotations()
    >>> annotations.on_change = lambda change: print(change.kind.value, change.object_id, change.frame)
    >>> cell = annotations.new_object("cell", label=None, object_id=None)
    object 1 None
    >>> annotations.set_verified(cell.id, frame=4, value=True)
    verified 1 4
    >>> annotations.set_verified(cell.id, frame=4, value=True)  # nothing changes
    >>> annotations.verified(cell.id)
    frozenset({4})
    """

    def __init__(self, window: IntensityWindow | None = None) -> None:
        self.window = window
        self.lock = threading.RLock()
        self.on_change: Callable[[Change], None] = lambda _: None
        self._objects: dict[int, AnnotatedObject] = {}
        self._prompts: dict[int, dict[int, tuple[Prompt, ...]]] = {}
        self._masks: dict[int, dict[int, AcceptedMask]] = {}
        self._verified: dict[int, set[int]] = {}
        self._used_ids: set[int] = set()
        self._used_up_to = 0

    # ------------------------------------------------------------------ changing

    def new_object(
        self, name: str | None, label: str | None, object_id: int | None, *, again: bool = False
    ) -> AnnotatedObject:
        """Make an object with the next free id, or with a given one.

        ``again`` allows the id of an object that was removed, or whose making was undone.

        Raises
        ------
        InputError
            If the id was used before, or is no positive whole number of 32 bits.
        """
        with self.lock:
            if object_id is None:
                object_id = self.next_id
            if not is_whole(object_id) or not 0 < int(object_id) <= LARGEST_ID:
                raise InputError(
                    f"An object's id is a positive whole number, at most {LARGEST_ID}, not {object_id!r}."
                )
            object_id = int(object_id)
            check_words(name, label)
            if object_id in self._objects or (not again and self._was_used(object_id)):
                used = "was used" if object_id in self._used_ids else "may have been used"
                raise InputError(
                    f"Object id {object_id} {used} before in this session, and ids are never used again; "
                    f"give another, for example {self.next_id}."
                )
            made = AnnotatedObject(object_id, name or _nameless(object_id), label, object_color(object_id))
            self.set_object(object_id, made)
            return made

    def set_object(self, object_id: int, value: AnnotatedObject | None) -> None:
        """Replace an object; None removes it with its prompts and masks."""
        with self.lock:
            before = self._objects.get(object_id)
            if value is None:
                for frame in tuple(self._verified.get(object_id, ())):
                    self.set_verified(object_id, frame, False)
                for frame in tuple(self._masks.get(object_id, ())):
                    self.set_mask(object_id, frame, None)
                for frame in tuple(self._prompts.get(object_id, ())):
                    self.set_prompts(object_id, frame, ())
                self._objects.pop(object_id, None)
            else:
                self._used_ids.add(object_id)
                self._objects[object_id] = value
            self._notify(Change(ChangeKind.OBJECT, object_id, None, before, value))

    def set_prompts(self, object_id: int, frame: int, value: tuple[Prompt, ...]) -> None:
        """Replace the prompts of an object on a frame, in the order they were given; empty removes them."""
        with self.lock:
            frames = self._prompts.setdefault(object_id, {})
            before = frames.get(frame, ())
            if value:
                frames[frame] = value
            else:
                frames.pop(frame, None)
            self._notify(Change(ChangeKind.PROMPTS, object_id, frame, before, value))

    def set_mask(self, object_id: int, frame: int, value: AcceptedMask | None) -> None:
        """Replace the mask of an object on a frame; None removes it."""
        with self.lock:
            frames = self._masks.setdefault(object_id, {})
            before = frames.get(frame)
            if value is not None:
                frames[frame] = value  # at no moment is there none, for threads that read meanwhile
            else:
                frames.pop(frame, None)
            self._notify(Change(ChangeKind.MASK, object_id, frame, before, value))

    def set_verified(self, object_id: int, frame: int, value: bool) -> None:
        """Verify or unverify the mask of an object on a frame."""
        with self.lock:
            frames = self._verified.setdefault(object_id, set())
            before = frame in frames
            (frames.add if value else frames.discard)(frame)
            self._notify(Change(ChangeKind.VERIFIED, object_id, frame, before, value))

    def set_window(self, value: IntensityWindow | None) -> None:
        """Let the model see other intensities."""
        with self.lock:
            before, self.window = self.window, value
            self._notify(Change(ChangeKind.WINDOW, 0, None, before, value))

    def apply(self, change: Change) -> None:
        """Make a change, for example one that takes another one back."""
        value, frame = change.after, change.frame
        if change.kind is ChangeKind.WINDOW:
            assert value is None or isinstance(value, IntensityWindow)
            self.set_window(value)
            return
        if change.kind is ChangeKind.OBJECT:
            assert value is None or isinstance(value, AnnotatedObject)
            self.set_object(change.object_id, value)
            return
        assert frame is not None
        if change.kind is ChangeKind.PROMPTS:
            assert isinstance(value, tuple)
            self.set_prompts(change.object_id, frame, value)
        elif change.kind is ChangeKind.MASK:
            assert value is None or isinstance(value, AcceptedMask)
            self.set_mask(change.object_id, frame, value)
        else:
            self.set_verified(change.object_id, frame, bool(value))

    def _notify(self, change: Change) -> None:
        if change.before is not change.after and change.before != change.after:
            self.on_change(change)

    def use_ids(self, up_to: int, removed: Iterable[int] | None) -> None:
        """Never give new objects the ids of removed ones; if these are not known, none up to the highest."""
        with self.lock:
            if removed is None:
                self._used_up_to = max(self._used_up_to, up_to)
            else:
                self._used_ids.update(removed)

    @property
    def next_id(self) -> int:
        """The id of the next object."""
        highest = self.highest_used_id
        if highest < LARGEST_ID:
            return highest + 1
        return next(i for i in itertools.count(1) if not self._was_used(i))  # another tool took the last one

    def _was_used(self, object_id: int) -> bool:
        # Earlier versions stored the highest id alone: if it is the largest of all, that says nothing.
        return object_id in self._used_ids or object_id <= self._used_up_to < LARGEST_ID

    # ------------------------------------------------------------------ reading

    def lives(self) -> dict[int, Life]:
        """Return by object on which frames it can be: its own life, up to where its children begin."""
        objects = self.objects()
        lives = {object_id: one.life for object_id, one in objects.items()}
        for one in objects.values():
            for parent in one.parents:
                if parent in lives and one.life.first is not None:
                    lives[parent] = lives[parent].without(first=one.life.first)
        return lives

    def objects(self) -> dict[int, AnnotatedObject]:
        """Return all objects by id, sorted by it."""
        return dict(sorted(self._objects.copy().items()))

    def called(self, object_id: int, *, begins: bool = False) -> str:
        """Return what people call an object, as it stands in a sentence or begins one."""
        known = self.objects().get(object_id)
        name = _nameless(object_id) if known is None else known.name
        return begun(name) if begins else name

    def require(self, object_id: int) -> int:
        """Return the id of a known object.

        Raises
        ------
        InputError
            If there is no such object.
        """
        objects = self.objects()
        if not is_whole(object_id) or int(object_id) not in objects:
            existing = f"its objects are: {', '.join(map(str, objects))}" if objects else "it has none yet"
            raise InputError(
                f"There is no object {object_id} in this session; {existing}. add_object() makes one."
            )
        return int(object_id)

    def prompts_of(self, object_id: int) -> dict[int, tuple[Prompt, ...]]:
        """Return an object's prompts by frame, sorted by it."""
        return dict(sorted(self._prompts.get(object_id, {}).copy().items()))

    def mask(self, object_id: int, frame: int) -> AcceptedMask | None:
        """Return an object's mask on a frame, or None where nothing is known yet."""
        return self._masks.get(object_id, {}).get(frame)

    def masks_of(self, object_id: int) -> dict[int, AcceptedMask]:
        """Return an object's masks by frame."""
        return self._masks.get(object_id, {}).copy()

    def masks_on(self, frame: int) -> dict[int, AcceptedMask]:
        """Return the masks of a frame by object."""
        masks = {i: frames.get(frame) for i, frames in self._masks.copy().items()}
        return {i: mask for i, mask in masks.items() if mask is not None}

    def frames_of(self, object_id: int) -> list[int]:
        """Return the frames on which an object has a mask (possibly an empty one), sorted."""
        return sorted(self._masks.get(object_id, {}).copy())

    def verified(self, object_id: int) -> frozenset[int]:
        """Return the frames on which an object's mask is verified."""
        return frozenset(self._verified.get(object_id, ()))

    def is_verified(self, object_id: int, frame: int) -> bool:
        """Whether an object's mask on a frame is verified."""
        return frame in self._verified.get(object_id, ())

    @property
    def num_masks(self) -> int:
        """How many masks there are, of all objects."""
        return sum(map(len, self._masks.copy().values()))

    @property
    def num_verified(self) -> int:
        """How many masks are verified, of all objects."""
        return sum(map(len, self._verified.copy().values()))

    def mean_mask_bytes(self) -> float | None:
        """Return the mean size of a stored mask, of a few per object; None if there is none."""
        sample = [mask for frames in self._masks.copy().values() for mask in list(frames.copy().values())[:8]]
        return sum(mask.num_bytes for mask in sample) / len(sample) if sample else None

    @property
    def removed_ids(self) -> tuple[int, ...] | None:
        """The ids that objects had and none has now; None where an earlier version did not store them."""
        with self.lock:
            return None if self._used_up_to else tuple(sorted(self._used_ids - self._objects.keys()))

    @property
    def highest_used_id(self) -> int:
        """The highest id that an object has or had; 0 before the first."""
        return max((self._used_up_to, *self._used_ids.copy()))
