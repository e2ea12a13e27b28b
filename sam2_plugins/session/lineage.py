"""The lineage of objects, and corrections of their identity: divide, merge, split, swap, delete from here on.

The rules are those of the Cell Tracking Challenge: a mother ends before her daughters begin, and no object
descends from itself. A fusion (several parents) is allowed here; formats without it say so on export.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np

from sam2_engine.errors import InputError
from sam2_engine.masks import CompressedMask
from sam2_engine.prompts import Prompt
from sam2_plugins.session.annotations import Annotations
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

    def __init__(self, annotations: Annotations, edit: Edit) -> None:
        self.annotations = annotations
        self._edit = edit

    def children_of(self, object_id: int) -> tuple[int, ...]:
        """Return the ids of the objects that came from one, sorted."""
        return tuple(one.id for one in self.annotations.objects().values() if object_id in one.parents)

    def set_parents(self, object_id: int, parents: Iterable[int], undo_group: object = None) -> None:
        """Say which objects one came from: none, one (a division) or several (a fusion).

        Calls one after the other with the same ``undo_group`` are undone as one.

        Raises
        ------
        InputError
            If an id is unknown, a parent has not ended before the object begins, or it would descend from
            itself.
        """
        chosen = tuple(sorted({int(i) for i in parents}))
        call = {"do": "lineage.set_parents", "object_id": object_id, "parents": list(chosen)}
        with self._edit(f"parents of object {object_id}", call, undo_group):
            self._set_parents(object_id, chosen)

    def divide(self, mother: int, frame: int, daughters: int = 2) -> tuple[int, ...]:
        """Let an object end before ``frame`` and new ones, its daughters, begin; return their ids.

        What was known of the mother from ``frame`` on is removed.

        Raises
        ------
        InputError
            If the object is unknown or nothing is known of it before ``frame``.
        """
        call = {"do": "lineage.divide", "mother": mother, "frame": frame, "daughters": daughters}
        with self._edit(f"divide object {mother}", call):
            divided = self.annotations.objects()[self.annotations.require(mother)]
            if not any(f < frame for f in self.annotations.frames_of(mother)):
                raise InputError(
                    f"Nothing is known of object {mother} before frame {frame}, where it divides."
                )
            self._clear_from(mother, frame)
            made = [
                self.annotations.new_object(f"{divided.name}.{number}", divided.label, None)
                for number in range(1, daughters + 1)
            ]
            for daughter in made:
                self.annotations.set_object(daughter.id, replace(daughter, parents=(mother,)))
            return tuple(daughter.id for daughter in made)

    def merge(self, keep: int, other: int) -> None:
        """Make two objects one: where both have a mask, it is the union; ``other`` is removed.

        Raises
        ------
        InputError
            If an object is unknown or both are the same.
        """
        call = {"do": "lineage.merge", "keep": keep, "other": other}
        with self._edit(f"merge object {other} into {keep}", call):
            self._require_two(keep, other)
            for frame in self._annotated_frames(other):
                self._unite(keep, other, frame)
            for child in self.children_of(other):
                if child != keep:
                    parents = {keep if i == other else i for i in self.annotations.objects()[child].parents}
                    self._change_parents(child, tuple(sorted(parents)))
            merged = self.annotations.objects()[keep]
            self._change_parents(keep, tuple(i for i in merged.parents if i != other))
            self.annotations.set_object(other, None)

    def split(self, object_id: int, frame: int) -> int:
        """Let what is known of an object from ``frame`` on belong to a new one; return its id.

        Children belong to the later part. The new object is not a daughter, but another object.

        Raises
        ------
        InputError
            If the object is unknown, or nothing is known of it before or from ``frame`` on.
        """
        call = {"do": "lineage.split", "object_id": object_id, "frame": frame}
        with self._edit(f"split object {object_id}", call):
            whole = self.annotations.objects()[self.annotations.require(object_id)]
            frames = self._annotated_frames(object_id)
            if not frames or not min(frames) < frame <= max(frames):
                raise InputError(
                    f"Object {object_id} cannot be split at frame {frame}: one side would be empty."
                )
            made = self.annotations.new_object(None, whole.label, None)
            for later in frames:
                if later >= frame:
                    self._move(object_id, made.id, later)
            for child in self.children_of(object_id):
                parents = self.annotations.objects()[child].parents
                self._change_parents(child, tuple(sorted(made.id if i == object_id else i for i in parents)))
            return made.id

    def swap(self, one: int, other: int, frame: int) -> None:
        """Exchange two objects from ``frame`` on, as after an identity switch; children change as well.

        Raises
        ------
        InputError
            If an object is unknown or both are the same.
        """
        call = {"do": "lineage.swap", "one": one, "other": other, "frame": frame}
        with self._edit(f"swap objects {one} and {other}", call):
            self._require_two(one, other)
            for later in sorted({*self._annotated_frames(one), *self._annotated_frames(other)}):
                if later >= frame:
                    self._exchange(one, other, later)
            swapped = {one: other, other: one}
            for child in {*self.children_of(one), *self.children_of(other)} - {one, other}:
                if min(self._annotated_frames(child), default=frame) >= frame:
                    parents = {swapped.get(i, i) for i in self.annotations.objects()[child].parents}
                    self._change_parents(child, tuple(sorted(parents)))

    def delete_from(self, object_id: int, frame: int) -> None:
        """Remove what is known of an object from ``frame`` on.

        Raises
        ------
        InputError
            If the object is unknown.
        """
        call = {"do": "lineage.delete_from", "object_id": object_id, "frame": frame}
        with self._edit(f"delete object {object_id} from frame {frame} on", call):
            self.annotations.require(object_id)
            self._clear_from(object_id, frame)

    # ------------------------------------------------------------------ how

    def _require_two(self, one: int, other: int) -> None:
        self.annotations.require(one)
        self.annotations.require(other)
        if one == other:
            raise InputError(f"These are not two objects: {one} and {other}.")

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
                raise InputError(f"Object {object_id} cannot come from {parent}, which itself comes from it.")
            ends, begins = self._visible_frames(parent), self._visible_frames(object_id)
            if ends and begins and ends[-1] >= begins[0]:
                raise InputError(
                    f"Object {parent} is still there on frame {ends[-1]}, so object {object_id}, which "
                    f"begins on {begins[0]}, cannot have come from it; delete or split one of them first."
                )
        self._change_parents(object_id, parents)

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

    def _clear_from(self, object_id: int, frame: int) -> None:
        for later in self._annotated_frames(object_id):
            if later >= frame:
                self._set(object_id, later, (), None, False)

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
