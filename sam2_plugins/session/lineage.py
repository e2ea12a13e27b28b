"""The lineage of objects, and corrections of their identity: divide, merge, split, swap, delete from here on.

The rules are those of the Cell Tracking Challenge: a mother ends before her daughters begin, and no object
descends from itself. A fusion (several parents) is allowed here; formats without it say so on export.
Where an object begins, ends or is absent is decided here: its life, which all later tracking obeys.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np

from sam2_engine.arguments import is_whole
from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource
from sam2_engine.masks import CompressedMask
from sam2_engine.prompts import Prompt
from sam2_engine.video.tracking_session import check_frame
from sam2_plugins.session.annotations import Annotations, Change, ChangeKind
from sam2_plugins.session.life import Life
from sam2_plugins.session.masks import AcceptedMask

__all__ = ["Lineage"]

Edit = Callable[..., AbstractContextManager[None]]


class Lineage:
    """Changes of identity and descent; each is one action, undone as a whole.

    Parameters
    ----------
    annotations
        What is known.
    edit
        Opens an action of the session, by its name, its call and perhaps a token.
    frames
        Those of the session: what is said of a frame that does not exist is refused.

    Examples
    --------
    A cell that divides before frame 2:

    >>> from sam2_plugins import AnnotationSession, ModelStore
    >>> session = AnnotationSession(np.zeros((4, 64, 80), np.uint8), ModelStore())
    >>> cell = np.zeros((64, 80), bool)
    >>> cell[20:30, 20:30] = True
    >>> for frame in range(4):
    ...     session.import_masks(frame, {1: cell})
    >>> session.lineage.divide(1, frame=2)
    (2, 3)
    >>> session.frames_of(1), session.objects[2].parents
    ([0, 1], (1,))
    >>> session.lineage.children_of(1)
    (2, 3)
    """

    def __init__(self, annotations: Annotations, edit: Edit, frames: FrameSource) -> None:
        self.annotations = annotations
        self._edit = edit
        self._frames = frames

    def children_of(self, object_id: int) -> tuple[int, ...]:
        """Return the ids of the objects that came from one, sorted."""
        return tuple(one.id for one in self.annotations.objects().values() if object_id in one.parents)

    def _named(self, ids: Iterable[int]) -> str:
        """Name some objects within a sentence."""
        return " and ".join(map(self.annotations.called, sorted(ids)))

    def set_parents(self, object_id: int, parents: int | Iterable[int], undo_group: object = None) -> None:
        """Say which objects one came from: none, one (a division) or several (a fusion).

        It begins on the first frame on which it is visible, and parents end before that.

        Calls one after the other with the same ``undo_group`` are undone as one.

        Raises
        ------
        InputError
            If an id is unknown, a parent has not ended before the object begins, or it would descend from
            itself.
        """
        if not isinstance(parents, Iterable):
            parents = [parents]
        chosen = tuple(sorted({self.annotations.require(i) for i in parents}))
        call = {"do": "lineage.set_parents", "object_id": object_id, "parents": list(chosen)}
        with self._edit(f"parents of {self.annotations.called(object_id)}", call, undo_group):
            self._set_parents(object_id, chosen)

    def divide(self, mother: int, frame: int, daughters: int = 2) -> tuple[int, ...]:
        """Let an object end before ``frame`` and new ones, its daughters, begin; return their ids.

        What was known of the mother from ``frame`` on is removed.

        Raises
        ------
        InputError
            If the object or the frame is unknown, nothing is known of the object before ``frame``, it
            would have no daughters, or it has divided already.
        """
        frame = self._existing(frame)
        if not is_whole(daughters) or daughters < 1:
            raise InputError(f"An object divides into at least one daughter, not {daughters!r}.")
        call = {"do": "lineage.divide", "mother": mother, "frame": frame, "daughters": daughters}
        with self._edit(f"divide {self.annotations.called(mother)}", call):
            divided = self.annotations.objects()[self.annotations.require(mother)]
            if former := self.children_of(mother):
                raise InputError(
                    f"{self.annotations.called(mother, begins=True)} "
                    f"has divided already, into {self._named(former)}; undo that, or remove or "
                    f"unlink {'it' if len(former) == 1 else 'them'} (parents) before it divides again."
                )
            if not any(f < frame for f in self.annotations.frames_of(mother)):
                raise InputError(
                    f"Nothing is known of {self.annotations.called(mother)} before frame {frame}, "
                    "where it divides."
                )
            self._live(mother, divided.life.without(first=frame))
            made = [
                self.annotations.new_object(f"{divided.name}.{number}", divided.label, None)
                for number in range(1, daughters + 1)
            ]
            for daughter in made:
                born = replace(daughter, parents=(mother,), life=Life(first=frame))
                self.annotations.set_object(daughter.id, born)
            return tuple(daughter.id for daughter in made)

    def merge(self, keep: int, other: int) -> None:
        """Make two objects one: where both have a mask, it is the union; ``other`` is removed.

        Raises
        ------
        InputError
            If an object is unknown or both are the same.
        """
        call = {"do": "lineage.merge", "keep": keep, "other": other}
        with self._edit(f"merge {self.annotations.called(other)} into {self.annotations.called(keep)}", call):
            self._require_two(keep, other)
            for frame in self._annotated_frames(other):
                self._unite(keep, other, frame)
            for child in self.children_of(other):
                if child != keep:
                    parents = {keep if i == other else i for i in self.annotations.objects()[child].parents}
                    self._change_parents(child, tuple(sorted(parents)))
            merged = self.annotations.objects()[keep]
            self._change_parents(keep, tuple(i for i in merged.parents if i != other))
            self._change_life(keep, merged.life.united(self.annotations.objects()[other].life))
            self.annotations.set_object(other, None)
            self._release_children(keep)

    def split(self, object_id: int, frame: int, undo_group: object = None) -> int:
        """Let what is known of an object from ``frame`` on belong to a new one; return its id.

        Children belong to the later part. The new object is not a daughter, but another object.
        ``undo_group``: as for :meth:`set_parents`.

        Raises
        ------
        InputError
            If the object is unknown, or nothing is known of it before or from ``frame`` on.
        """
        call = {"do": "lineage.split", "object_id": object_id, "frame": frame}
        with self._edit(f"split {self.annotations.called(object_id)}", call, undo_group):
            whole = self.annotations.objects()[self.annotations.require(object_id)]
            frames = self._annotated_frames(object_id)
            if not frames or not min(frames) < frame <= max(frames):
                raise InputError(
                    f"{self.annotations.called(object_id, begins=True)} "
                    f"cannot be split at frame {frame}: one side would be empty."
                )
            self._existing(frame)
            made = self.annotations.new_object(None, whole.label, None)
            for later in frames:
                if later >= frame:
                    self._move(object_id, made.id, later)
            self._change_life(object_id, whole.life.without(first=frame))
            self._change_life(made.id, whole.life.without(last=frame - 1))
            for child in self.children_of(object_id):
                parents = self.annotations.objects()[child].parents
                self._change_parents(child, tuple(sorted(made.id if i == object_id else i for i in parents)))
            return made.id

    def swap(self, one: int, other: int, frame: int) -> None:
        """Exchange two objects from ``frame`` on, as after an identity switch; children change as well.

        Raises
        ------
        InputError
            If an object or the frame is unknown or both objects are the same.
        """
        frame = self._existing(frame)
        call = {"do": "lineage.swap", "one": one, "other": other, "frame": frame}
        with self._edit(f"swap {self._named((one, other))}", call):
            self._require_two(one, other)
            for later in sorted({*self._annotated_frames(one), *self._annotated_frames(other)}):
                if later >= frame:
                    self._exchange(one, other, later)
            lives = {i: self.annotations.objects()[i].life for i in (one, other)}
            self._change_life(one, lives[one].until(frame, lives[other]))
            self._change_life(other, lives[other].until(frame, lives[one]))
            swapped = {one: other, other: one}
            for child in {*self.children_of(one), *self.children_of(other)} - {one, other}:
                if (self._begin(child) or frame) >= frame:
                    parents = {swapped.get(i, i) for i in self.annotations.objects()[child].parents}
                    self._change_parents(child, tuple(sorted(parents)))

    def delete_from(
        self, object_id: int, frame: int, *, all_of_it: bool = False, undo_group: object = None
    ) -> None:
        """Remove what is known of an object from ``frame`` on: it ends there, unless it is marked later.

        ``undo_group``: as for :meth:`set_parents`.

        Raises
        ------
        InputError
            If the object or the frame is unknown, or nothing would be left of it; ``all_of_it`` allows that.
        """
        frame = self._existing(frame)
        call = {"do": "lineage.delete_from", "object_id": object_id, "frame": frame}
        name = f"end {self.annotations.called(object_id)} before frame {frame}"
        with self._edit(name, call, undo_group):
            self.annotations.require(object_id)
            known = (*self._visible_frames(object_id), *self.annotations.prompts_of(object_id))
            begins = min(known, default=-1)
            if begins >= frame and not all_of_it:
                raise InputError(
                    f"{self.annotations.called(object_id, begins=True)} begins on frame {begins}, so it "
                    f"cannot end before frame {frame}; remove it, if it is none."
                )
            self._live(object_id, self.annotations.objects()[object_id].life.without(first=frame))

    def mark_absent(self, object_id: int, frame: int, last: int | None = None) -> None:
        """Say that an object is not there on a frame, or up to ``last``, inclusive; what was known goes.

        Raises
        ------
        InputError
            If the object or a frame is unknown, or ``last`` comes before ``frame``.
        """
        frame = self._existing(frame)
        last = frame if last is None else self._existing(last)
        call = {"do": "lineage.mark_absent", "object_id": object_id, "frame": frame, "last": last}
        with self._edit(f"{self.annotations.called(object_id)} absent", call):
            self.annotations.require(object_id)
            if last < frame:
                raise InputError(f"An absence from frame {frame} to frame {last} ends before it begins.")
            self._live(object_id, self.annotations.objects()[object_id].life.without(frame, last))

    def set_life(self, object_id: int, life: Life, undo_group: object = None) -> None:
        """Say where an object begins, ends and is absent; what was known outside of that goes.

        Calls one after the other with the same ``undo_group`` are undone as one.

        Raises
        ------
        InputError
            If the object is unknown, or a parent has not ended before it begins.
        """
        call = {"do": "lineage.set_life", "object_id": object_id, "life": life.to_json()}
        with self._edit(f"life of {self.annotations.called(object_id)}", call, undo_group):
            self.annotations.require(object_id)
            self._live(object_id, life)

    def check_place(self, object_id: int, frame: int) -> None:
        """Refuse a frame where an object cannot be by its descent: after it divided, before it was born.

        Raises
        ------
        InputError
            If it cannot be there.
        """
        known = self.annotations.objects()[object_id]
        children = {i: first for i in self.children_of(object_id) if (first := self._begin(i)) is not None}
        if children and frame >= (begin := min(children.values())):
            raise InputError(
                f"{self.annotations.called(object_id, begins=True)} "
                f"ended before frame {begin}, where {self._named(children)} began, so it "
                f"cannot be marked on frame {frame}; mark one of those, or change their parents first."
            )
        if known.parents and known.life.first is not None and frame < known.life.first:
            raise InputError(
                f"{self.annotations.called(object_id, begins=True)} "
                f"came from {self._named(known.parents)} on frame {known.life.first}, so it "
                f"cannot be marked on frame {frame}; change its parents first."
            )
        if self._is_unborn(object_id):
            self._check_ended(known.parents, object_id, frame)

    def admit(self, object_id: int, frame: int) -> None:
        """Let an object be there on a frame on which somebody marks it; within an action.

        Raises
        ------
        InputError
            As :meth:`check_place`.
        """
        self.check_place(object_id, frame)
        known = self.annotations.objects()[object_id]
        if self._is_unborn(object_id):
            self._change_life(object_id, replace(known.life, first=frame))
        elif frame not in known.life:
            self._change_life(object_id, known.life.seen_on(frame))

    def births(self) -> list[Change]:
        """Return the changes that let daughters begin where they do, where that was not stored yet."""
        changes = []
        for object_id, known in self.annotations.objects().items():
            begins = self._visible_frames(object_id)
            ends = [f for parent in known.parents for f in self._visible_frames(parent)]
            if known.parents and known.life.first is None and begins and max(ends, default=-1) < begins[0]:
                born = replace(known, life=replace(known.life, first=begins[0]))
                changes.append(Change(ChangeKind.OBJECT, object_id, None, known, born))
        return changes

    # ------------------------------------------------------------------ how

    def _existing(self, frame: int) -> int:
        """Refuse a frame that does not exist: as the end of a life, -3 would delete all of an object."""
        return check_frame(self._frames, frame)

    def _require_two(self, one: int, other: int) -> None:
        self.annotations.require(one)
        self.annotations.require(other)
        if one == other:
            raise InputError(
                f"{self.annotations.called(one, begins=True)} is one object, not two; choose another one."
            )

    def _annotated_frames(self, object_id: int) -> list[int]:
        return sorted({*self.annotations.frames_of(object_id), *self.annotations.prompts_of(object_id)})

    def _visible_frames(self, object_id: int) -> list[int]:
        masks = {
            frame: self.annotations.mask(object_id, frame) for frame in self.annotations.frames_of(object_id)
        }
        return [frame for frame, mask in masks.items() if mask is not None and not mask.mask.is_empty]

    def _set_parents(self, object_id: int, parents: tuple[int, ...]) -> None:
        self.annotations.require(object_id)
        for parent in parents:
            self.annotations.require(parent)
            if object_id in self._ancestors(parent):
                raise InputError(
                    f"{self.annotations.called(object_id, begins=True)} "
                    f"cannot come from {self.annotations.called(parent)}, which itself comes from it."
                )
        begins = self._visible_frames(object_id)
        if begins:
            self._check_ended(parents, object_id, begins[0])
        before = self.annotations.objects()[object_id]
        self._change_parents(object_id, parents)
        if parents and begins:
            self._change_life(object_id, before.life.without(last=begins[0] - 1))
        elif before.parents and not parents:
            self._change_life(object_id, replace(before.life, first=None))

    def _check_ended(self, parents: Iterable[int], object_id: int, begin: int) -> None:
        """Refuse parents that are still there where an object begins."""
        for parent in parents:
            ends = self._visible_frames(parent)
            if ends and ends[-1] >= begin:
                raise InputError(
                    f"{self.annotations.called(parent, begins=True)} "
                    f"is still there on frame {ends[-1]}, so {self.annotations.called(object_id)}, which "
                    f"begins on {begin}, cannot have come from it; delete or split one of them first."
                )

    def _is_unborn(self, object_id: int) -> bool:
        """Whether the first frame on which an object will be marked is where it comes from its parents."""
        known = self.annotations.objects()[object_id]
        return bool(known.parents) and known.life.first is None and not self._annotated_frames(object_id)

    def _begin(self, object_id: int) -> int | None:
        """The frame on which an object begins, None where that is not known yet."""
        first = self.annotations.objects()[object_id].life.first
        return min(self._annotated_frames(object_id), default=None) if first is None else first

    def _release_children(self, object_id: int) -> None:
        """Take an object's children from it that begin before it ends: it did not divide after all.

        They begin where they did.
        """
        last = max(self._visible_frames(object_id), default=-1)
        for child in self.children_of(object_id):
            if (begin := self._begin(child)) is not None and begin <= last:
                parents = self.annotations.objects()[child].parents
                self._change_parents(child, tuple(i for i in parents if i != object_id))

    def _ancestors(self, object_id: int) -> set[int]:
        found: set[int] = set()
        waiting = [object_id]
        while waiting:
            one = waiting.pop()
            if one not in found and one in self.annotations.objects():
                found.add(one)
                waiting += self.annotations.objects()[one].parents
        return found

    def _change_parents(self, object_id: int, parents: tuple[int, ...]) -> None:
        self.annotations.set_object(
            object_id, replace(self.annotations.objects()[object_id], parents=parents)
        )

    def _change_life(self, object_id: int, life: Life) -> None:
        self.annotations.set_object(object_id, replace(self.annotations.objects()[object_id], life=life))

    def _live(self, object_id: int, life: Life) -> None:
        """Give an object a life, and clear what is known of it outside."""
        self._change_life(object_id, life)
        for frame in self._annotated_frames(object_id):
            if frame not in life:
                self._set(object_id, frame, (), None, False)

    def _get(self, object_id: int, frame: int) -> tuple[tuple[Prompt, ...], AcceptedMask | None, bool]:
        return (
            self.annotations.prompts_of(object_id).get(frame, ()),
            self.annotations.mask(object_id, frame),
            self.annotations.is_verified(object_id, frame),
        )

    def _set(
        self,
        object_id: int,
        frame: int,
        prompts: tuple[Prompt, ...],
        mask: AcceptedMask | None,
        verified: bool,
    ) -> None:
        self.annotations.set_prompts(object_id, frame, prompts)
        self.annotations.set_mask(object_id, frame, mask)
        self.annotations.set_verified(object_id, frame, verified)

    def _move(self, source: int, target: int, frame: int) -> None:
        self._set(target, frame, *self._get(source, frame))
        self._set(source, frame, (), None, False)

    def _exchange(self, one: int, other: int, frame: int) -> None:
        first, second = self._get(one, frame), self._get(other, frame)
        self._set(one, frame, *second)
        self._set(other, frame, *first)

    def _unite(self, keep: int, other: int, frame: int) -> None:
        first, second = self.annotations.mask(keep, frame), self.annotations.mask(other, frame)
        if first is None or first.mask.is_empty:
            self._move(other, keep, frame)
        elif second is not None and not second.mask.is_empty:
            union = CompressedMask.from_array(np.asarray(first.mask.to_array() | second.mask.to_array()))
            both = self.annotations.is_verified(keep, frame) and self.annotations.is_verified(other, frame)
            self._set(keep, frame, (Prompt(mask=union),), AcceptedMask.painted(union), both)
