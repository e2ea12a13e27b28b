"""What is known of objects on a sequence of frames, and every change of it that needs no model."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.masks import CompressedMask
from sam2_engine.preprocessing import IntensityWindow
from sam2_plugins.runtime.jobs import DeviceLock
from sam2_plugins.session.annotations import AnnotatedObject, Annotations, Change, Prompt
from sam2_plugins.session.history import Action, History
from sam2_plugins.session.label_image import compose_labels
from sam2_plugins.session.lineage import Lineage
from sam2_plugins.session.masks import AcceptedMask, MaskScores

__all__ = ["EditableAnnotations"]


class EditableAnnotations:
    """Objects, prompts, masks and verified masks, with undo and redo of everything.

    Methods may be called from any thread. Those that read never wait.

    Parameters
    ----------
    shape
        (H, W) of every frame in pixels.
    lock
        Of the device: a change that the engine must hear of waits for the frame in work.
    undo_bytes
        Cap of what undo keeps.
    window
        Intensities that a model sees, at first; None where pixels pass as they are.

    Attributes
    ----------
    shape
        (H, W) of every frame in pixels.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        lock: DeviceLock,
        undo_bytes: int,
        window: IntensityWindow | None = None,
    ) -> None:
        self.shape = shape
        self._lock = lock
        self.annotations = Annotations(window)
        self._history = History(self.annotations, undo_bytes)

    @property
    def lineage(self) -> Lineage:
        """Divisions and fusions, and changes of identity."""
        return Lineage(self.annotations, self._edit)  # not kept: a session that nobody uses is freed at once

    # ------------------------------------------------------------------ objects

    @property
    def objects(self) -> Mapping[int, AnnotatedObject]:
        """All objects of now, sorted by id."""
        return self.annotations.objects()

    def add_object(
        self,
        name: str | None = None,
        label: str | None = None,
        *,
        object_id: int | None = None,
        undo_group: object = None,
    ) -> int:
        """Make an object and return its id.

        Parameters
        ----------
        name
            What people call it; None for "object 3".
        label
            Its class.
        object_id
            An id that was never used in this session; None for the next one.
        undo_group
            Actions one after the other with the same token are undone as one.

        Raises
        ------
        InputError
            If the id was used before or is no positive whole number of 32 bits.
        """
        call: dict[str, Any] = {"do": "add_object", "name": name, "label": label}
        with self.annotations.lock:
            call["object_id"] = self.annotations.next_id if object_id is None else object_id
            with self._history.action("new object", call, undo_group):
                return self.annotations.new_object(name, label, object_id).id

    def edit_object(
        self,
        object_id: int,
        *,
        name: str | None = None,
        label: str | None = None,
        color: tuple[int, int, int] | None = None,
        undo_group: object = None,
    ) -> None:
        """Rename an object, or give it another class or RGB color (0..255); None leaves each as it is.

        Calls one after the other with the same ``undo_group`` are undone as one.

        Raises
        ------
        InputError
            If there is no such object.
        """
        changed: dict[str, Any] = {"name": name, "label": label, "color": color}
        given = {key: value for key, value in changed.items() if value is not None}
        if color is not None:
            given["color"] = tuple(color)
        call = {"do": "edit_object", "object_id": object_id, **given}
        with self.annotations.lock, self._history.action(f"edit object {object_id}", call, undo_group):
            before = self.annotations.objects()[self.annotations.require(object_id)]
            self.annotations.set_object(object_id, replace(before, **given))

    def remove_object(self, object_id: int) -> None:
        """Remove an object with its prompts and masks; its id is not used again.

        Raises
        ------
        InputError
            If there is no such object.
        """
        call = {"do": "remove_object", "object_id": object_id}
        with self._edit(f"remove object {object_id}", call):
            self.annotations.require(object_id)
            self.annotations.set_object(object_id, None)

    # ------------------------------------------------------------------ prompts

    def prompts_of(self, object_id: int) -> dict[int, tuple[Prompt, ...]]:
        """Return an object's prompts by frame, each in the order in which they were given."""
        self.annotations.require(object_id)
        return self.annotations.prompts_of(object_id)

    def clear_prompts(self, object_id: int, frame: int | None = None) -> None:
        """Remove an object's prompts, and the masks made from them, from one frame or from all.

        Masks that were tracked from them on other frames stay until the next propagation.

        Raises
        ------
        InputError
            If the object is unknown or has no prompt on the frame.
        """
        call = {"do": "clear_prompts", "object_id": object_id, "frame": frame}
        with self._edit(f"clear prompts of object {object_id}", call):
            self.annotations.require(object_id)
            prompted = self.annotations.prompts_of(object_id)
            if frame is not None and frame not in prompted:
                raise InputError(f"Object {object_id} has no prompt on frame {frame}.")
            for one in prompted if frame is None else (frame,):
                self.annotations.set_verified(object_id, one, False)
                self.annotations.set_prompts(object_id, one, ())
                self.annotations.set_mask(object_id, one, None)

    def single_frame_prompts(self) -> list[tuple[int, int]]:
        """Return the (object id, frame) whose masks come of clicks or a box alone, without memories.

        Those are objects that were prompted on one frame and verified on no other. Where an object was
        corrected on further frames, a click there says only what was to be mended.
        """
        places = []
        for object_id in self.annotations.objects():
            prompted, verified = self.annotations.prompts_of(object_id), self.annotations.verified(object_id)
            if len(prompted) == 1 and not verified:
                places += [(object_id, frame) for frame, given in prompted.items() if given[-1].mask is None]
        return places

    # ------------------------------------------------------------------ masks

    def mask(self, object_id: int, frame: int) -> NDArray[np.bool_] | None:
        """Return an object's (H, W) mask, empty where it is absent, None where nothing is known yet."""
        accepted = self.annotations.mask(object_id, frame)
        return None if accepted is None else accepted.mask.to_array()

    def accepted(self, object_id: int, frame: int) -> AcceptedMask | None:
        """Return an object's mask as it is kept: packed, with its origin and scores."""
        return self.annotations.mask(object_id, frame)

    def score(self, object_id: int, frame: int) -> MaskScores | None:
        """Return what the model said of an object's mask, or None where nothing is known yet."""
        accepted = self.annotations.mask(object_id, frame)
        return None if accepted is None else accepted.scores

    def frames_of(self, object_id: int) -> list[int]:
        """Return the frames on which something is known of an object, sorted; it may be absent there."""
        return self.annotations.frames_of(object_id)

    def label_image(self, frame: int) -> NDArray[Any]:
        """Return the (H, W) label image of a frame: object ids, 0 is background.

        Where masks overlap, painted ones win over those from clicks, and these over tracked ones; among
        equals the higher logit wins, and last the newer object. uint16, or uint32 if an id needs it.
        """
        return compose_labels(
            self.shape, self.annotations.masks_on(frame), max(self.annotations.objects(), default=0)
        )

    def import_masks(
        self,
        frame: int,
        masks: Mapping[int, NDArray[np.bool_] | CompressedMask],
        undo_group: object = None,
        *,
        as_prompts: bool = False,
    ) -> None:
        """Take over masks that another tool made on a frame, as if they had been painted.

        They are kept to the pixel, but are no prompts unless asked for: objects are followed from them once
        they are verified or corrected. What a person prompted or verified there stays.

        Parameters
        ----------
        frame
            Which frame.
        masks
            (H, W) by object id; ids that are not known become objects, also those of removed ones.
        undo_group
            Calls one after the other with the same token are undone as one; see also ``UndoGroup``.
        as_prompts
            Whether objects are to be followed from these masks as they are.

        Raises
        ------
        InputError
            If a mask has another size, or an id is no positive whole number of 32 bits.
        """
        packed = {
            int(object_id): mask
            if isinstance(mask, CompressedMask)
            else CompressedMask.from_array(np.asarray(mask, bool))
            for object_id, mask in masks.items()
        }
        for object_id, mask in packed.items():
            if mask.shape != self.shape:
                raise InputError(
                    f"The mask of object {object_id} is {mask.shape}, the frames are {self.shape}."
                )
        self._check_frame(frame)
        call = {"do": "take_masks", "frame": frame, "masks": packed, "as_prompts": as_prompts}
        with self._edit("import masks", call, undo_group):
            for object_id, mask in packed.items():
                if object_id not in self.annotations.objects():
                    self.annotations.new_object(None, None, object_id, again=True)
                prompted = frame in self.annotations.prompts_of(object_id)
                if not prompted and not self.annotations.is_verified(object_id, frame):
                    if as_prompts:
                        self.annotations.set_prompts(object_id, frame, (Prompt(mask=mask),))
                    self.annotations.set_mask(object_id, frame, AcceptedMask.painted(mask))

    # ------------------------------------------------------------------ verified masks

    def verified(self, object_id: int) -> frozenset[int]:
        """Return the frames on which an object's mask is verified: no propagation changes it."""
        return self.annotations.verified(self.annotations.require(object_id))

    def verify(
        self, object_id: int, frames: Iterable[int], verified: bool = True, undo_group: object = None
    ) -> None:
        """Lock (or unlock) an object's masks on some frames.

        Calls one after the other with the same ``undo_group`` are undone as one.

        Raises
        ------
        InputError
            If the object is unknown or has no mask on one of the frames.
        """
        chosen = sorted({int(frame) for frame in frames})
        call = {"do": "verify", "object_id": object_id, "frames": chosen, "verified": verified}
        with self._edit(f"{'verify' if verified else 'unlock'} object {object_id}", call, undo_group):
            self.annotations.require(object_id)
            for frame in chosen:
                if self.annotations.mask(object_id, frame) is None:
                    raise InputError(f"Object {object_id} has no mask on frame {frame} to verify.")
                self.annotations.set_verified(object_id, frame, verified)

    # ------------------------------------------------------------------ intensities

    @property
    def window(self) -> IntensityWindow | None:
        """The intensities that the model sees, one window for all frames; None: 8 bits as they are."""
        return self.annotations.window

    # ------------------------------------------------------------------ undo

    @property
    def undo_name(self) -> str | None:
        """What :meth:`undo` would take back, in words; None if there is nothing."""
        return self._history.undo_name

    @property
    def redo_name(self) -> str | None:
        """What :meth:`redo` would do again, in words; None if there is nothing."""
        return self._history.redo_name

    @property
    def interruptions(self) -> int:
        """Counts undo and redo: long work that notices a new number has been overtaken, and ends."""
        return self._history.interruptions

    def undo(self) -> tuple[Change, ...]:
        """Take the last action back, whatever it was; a running propagation ends first.

        Returns
        -------
        changes
            What has changed by that; none if there was nothing to undo.
        """
        with self._lock:
            changes = self._history.undo()
            self._reconcile(changes)
            return changes

    def redo(self) -> tuple[Change, ...]:
        """Do again what was undone last; returns as :meth:`undo`."""
        with self._lock:
            changes = self._history.redo()
            self._reconcile(changes)
            return changes

    def subscribe(self, listener: Callable[[Action], None]) -> None:
        """Call ``listener`` with every action that changed something, undo and redo among them.

        It is called in the thread that acted, before anything else can change: it should be quick.
        """
        self._history.listeners.append(listener)

    def unsubscribe(self, listener: Callable[[Action], None]) -> None:
        """Call ``listener`` no more."""
        self._history.listeners.remove(listener)

    # ------------------------------------------------------------------ storage

    @property
    def highest_used_id(self) -> int:
        """The highest id that an object has or had; 0 before the first."""
        return self.annotations.highest_used_id

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Let nothing change during a ``with`` block."""
        with self.annotations.lock:
            yield

    def restore(self, changes: Iterable[Change], highest_used_id: int) -> None:
        """Bring an empty session to a state that was kept; it cannot be undone."""
        self._history.make(changes)
        self.annotations.use_ids_up_to(highest_used_id)

    # ------------------------------------------------------------------ how

    def grouped_with(self, steps: int = 1) -> AbstractContextManager[None]:
        """Let what is done in a ``with`` block be undone together with what was done some steps before."""
        return self._history.grouped_with(steps)

    @contextmanager
    def _edit(self, name: str, call: Mapping[str, Any], undo_group: object = None) -> Iterator[None]:
        """Change the truth as one action, and tell the engine."""
        with self._lock:
            with self._history.action(name, call, undo_group) as changes:
                yield
            self._reconcile(changes)

    def _check_frame(self, frame: int) -> None:
        """Refuse a frame that does not exist."""
        if frame < 0:
            raise InputError(f"There is no frame {frame}.")

    def _reconcile(self, changes: Iterable[Change]) -> None:
        """Tell whoever computes from the truth what has changed in it; called with the device held."""
