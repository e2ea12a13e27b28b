"""The path of prompts from the layers to the session: only what differs, and never out of date."""

import threading
from collections.abc import Iterable, Mapping

from napari_plugin.layers import PromptKey
from sam2_engine.errors import InputError
from sam2_engine.prompts import Prompt
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.history import UndoGroup

__all__ = ["PromptSync"]


class PromptSync:
    """What the layers hold, and what of it the session has.

    The window's thread calls :meth:`want` and :meth:`settle`, the worker :meth:`apply`. Between the two,
    prompts that were overtaken by newer ones of the same object and frame are never computed.
    """

    def __init__(self, session: AnnotationSession) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._wanted: dict[PromptKey, Prompt] = {}
        self._applied: dict[PromptKey, Prompt] = {}
        self._begun_by: dict[int, UndoGroup] = {}

    def join(self, object_id: int, undo_group: UndoGroup) -> None:
        """Let the next prompt of an object be undone together with what was done in a group."""
        self._begun_by[object_id] = undo_group

    def wanted(self) -> dict[PromptKey, Prompt]:
        """Return what the layers were last known to hold."""
        with self._lock:
            return dict(self._wanted)

    @property
    def busy(self) -> bool:
        """Whether prompts of the layers wait for the session."""
        with self._lock:
            return self._wanted != {key: one for key, one in self._applied.items() if not one.is_empty}

    def want(self, prompts: Mapping[PromptKey, Prompt]) -> list[PromptKey]:
        """Take what the layers hold now and return the objects and frames for which this is news."""
        with self._lock:
            keys = dict.fromkeys([*prompts, *self._wanted])
            news = [key for key in keys if prompts.get(key) != self._wanted.get(key)]
            self._wanted = {key: held for key, held in prompts.items() if not held.is_empty}
        return news

    def settle(self, keys: Iterable[PromptKey], held: Mapping[PromptKey, Prompt]) -> None:
        """Take note that the session holds these prompts already: in the layers they are no news."""
        with self._lock:
            for key in keys:
                for known in (self._wanted, self._applied):
                    known.pop(key, None)
                    if key in held:
                        known[key] = held[key]

    def apply(self, key: PromptKey) -> bool:
        """Add to the session the prompts of an object on a frame; False if it has them already.

        Raises
        ------
        InputError
            If the session cannot take it.
        """
        object_id, frame = key
        with self._lock:
            wanted = self._wanted.get(key, Prompt())
            applied = self._applied.get(key, Prompt())
        if wanted == applied or object_id not in self._session.objects:
            return False
        if frame in self._session.verified(object_id):
            raise InputError(
                f"{self._session.annotations.called(object_id, begins=True)} "
                f"is verified on frame {frame}, so its clicks stay as they were; "
                "unverify it there first."
            )
        added = wanted.since(applied)
        if added is not None:
            self._add(key, added, replace=False)
        else:  # something was taken away or moved: begin anew, so that it leaves no trace in the mask
            self._add(key, wanted, replace=True)
        with self._lock:
            self._applied[key] = wanted
        return True

    def _add(self, key: PromptKey, added: Prompt, replace: bool) -> None:
        object_id, frame = key
        prompts = self._session.prompts_of(object_id).get(frame, ())
        painted = next((one.mask for one in prompts if one.mask is not None), None) if replace else None
        if painted is not None:  # clicks on a painted mask are taken away, but the mask stays
            self._session.add_prompt(frame, object_id, Prompt(mask=painted))
            replace = False
        if not added.is_empty:
            group = self._begun_by.pop(object_id, None)
            self._session.add_prompt(frame, object_id, added, replace, group)
        elif painted is None and prompts:
            self._session.clear_prompts(object_id, frame)
