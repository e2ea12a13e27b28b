"""Prompts as they stand in the layers, given to the session: only what differs, and never out of date."""

import threading
from collections.abc import Mapping

from napari_plugin.layers import FramePrompts, PromptKey
from sam2_plugins.annotation_session import AnnotationSession

__all__ = ["PromptSync"]


class PromptSync:
    """What the layers ask for, and what the session has been told of it.

    The window's thread calls :meth:`want`, the worker :meth:`apply`. Between the two, prompts that were
    overtaken by newer ones of the same object and frame are never computed.
    """

    def __init__(self, session: AnnotationSession) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._wanted: dict[PromptKey, FramePrompts] = {}
        self._applied: dict[PromptKey, FramePrompts] = {}

    def want(self, prompts: Mapping[PromptKey, FramePrompts]) -> list[PromptKey]:
        """Take what the layers hold now and return the objects and frames for which this is news."""
        with self._lock:
            keys = dict.fromkeys([*prompts, *self._wanted])
            news = [key for key in keys if prompts.get(key) != self._wanted.get(key)]
            self._wanted = dict(prompts)
        return news

    def apply(self, key: PromptKey) -> bool:
        """Tell the session what is wanted of an object on a frame; False if it has been told already.

        Raises
        ------
        InputError
            If the session cannot take it.
        """
        object_id, frame = key
        with self._lock:
            wanted = self._wanted.get(key, FramePrompts())
        applied = self._applied.get(key, FramePrompts())
        if wanted == applied or object_id not in self._session.objects:
            return False
        added = wanted
        if applied and wanted.continues(applied):
            added = FramePrompts(wanted.points[len(applied.points) :], wanted.labels[len(applied.points) :])
        elif applied:  # something was taken away or moved: begin anew, so that it leaves no trace in the mask
            self._session.clear_prompts(object_id, frame)
            self._applied.pop(key)
        if added.points:
            self._session.add_points(frame, object_id, added.points, added.labels, box=added.box)
        elif added.box is not None:
            self._session.add_box(frame, object_id, added.box)
        if wanted:
            self._applied[key] = wanted
        return True
