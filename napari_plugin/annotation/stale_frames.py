"""The frames whose layers are out of date, and the prompts of a session as layers show them."""

from typing import Any

from numpy.typing import NDArray

from napari_plugin.layers import PromptKey
from napari_plugin.layers.prompts.prompt_layers import rounded
from sam2_engine.prompts import Prompt
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import AcceptedMask

__all__ = ["StaleFrames", "prompts_in"]


class StaleFrames:
    """Remembers which masks were handed out, so that after any change the frames to redraw are known.

    Used on the worker's thread only.
    """

    def __init__(self, session: AnnotationSession) -> None:
        self._session = session
        self._shown: dict[int, dict[int, AcceptedMask]] = {}
        self._drawn_on: set[int] = set()

    def label_image(self, frame: int) -> NDArray[Any]:
        """Return the (H, W) label image of a frame, which counts as shown from now on."""
        masks = {i: self._session.accepted(i, frame) for i in self._session.objects}
        self._drawn_on.discard(frame)
        self._shown[frame] = {i: mask for i, mask in masks.items() if mask is not None}
        return self._session.label_image(frame)

    def stale(self, near: int) -> list[int]:
        """Return the frames of which something else is shown than the session holds, nearest first."""
        now: dict[int, dict[int, AcceptedMask]] = {}
        for object_id in self._session.objects:
            for frame in self._session.frames_of(object_id):
                accepted = self._session.accepted(object_id, frame)
                if accepted is not None:
                    now.setdefault(frame, {})[object_id] = accepted
        frames = [f for f in {*now, *self._shown} if not _same(now.get(f, {}), self._shown.get(f, {}))]
        return sorted({*frames, *self._drawn_on}, key=lambda frame: abs(frame - near))

    def mark(self, frame: int) -> None:
        """Let a frame count as out of date, because somebody drew on it."""
        self._drawn_on.add(frame)


def _same(one: dict[int, AcceptedMask], other: dict[int, AcceptedMask]) -> bool:
    return one.keys() == other.keys() and all(one[i] is other[i] for i in one)


def prompts_in(session: AnnotationSession) -> dict[PromptKey, Prompt]:
    """Return all clicks and boxes that a session knows, by object and frame; masks are neither."""
    found: dict[PromptKey, Prompt] = {}
    for object_id in session.objects:
        for frame, prompts in session.prompts_of(object_id).items():
            held = Prompt.combined(Prompt(one.points, one.box) for one in prompts)
            if not held.is_empty:
                found[object_id, frame] = rounded(held)
    return found
