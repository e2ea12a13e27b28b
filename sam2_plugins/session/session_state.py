"""State of a session as a value: for copies of it, and for pickle."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sam2_engine.frames import FrameSource
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotations import Change, ChangeKind
from sam2_plugins.session.history import UndoState

if TYPE_CHECKING:
    from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["SessionState"]


@dataclass(frozen=True, eq=False)
class SessionState:
    """Everything that a session knows.

    Attributes
    ----------
    frames
        Its pixels.
    model, device, options
        What it computes with.
    changes, highest_used_id, removed_ids
        What brings an empty session to its annotations.
    undo
        What can be taken back.
    """

    frames: FrameSource
    model: str
    device: str
    options: Mapping[str, Any]
    changes: tuple[Change, ...]
    highest_used_id: int
    removed_ids: tuple[int, ...] | None
    undo: UndoState

    @classmethod
    def of(cls, session: "AnnotationSession", frames: FrameSource) -> "SessionState":
        """Return a session's state, on these frames."""
        known = session.annotations
        with known.lock:
            changes = [Change(ChangeKind.WINDOW, 0, None, None, known.window)]
            for object_id, described in known.objects().items():
                changes.append(Change(ChangeKind.OBJECT, object_id, None, None, described))
                prompts, masks = known.prompts_of(object_id), known.masks_of(object_id)
                changes += [
                    Change(ChangeKind.PROMPTS, object_id, f, (), given) for f, given in prompts.items()
                ]
                changes += [Change(ChangeKind.MASK, object_id, f, None, mask) for f, mask in masks.items()]
                verified = sorted(known.verified(object_id))
                changes += [Change(ChangeKind.VERIFIED, object_id, f, False, True) for f in verified]
            return cls(
                frames,
                session.model_name,
                session.store.device,
                session.options,
                tuple(changes),
                known.highest_used_id,
                known.removed_ids,
                session.history.undo_state(),
            )

    def restored(self, store: ModelStore | None = None) -> "AnnotationSession":
        """Return a new session in this state; without a store it gets one of its own."""
        from sam2_plugins.session.annotation_session import AnnotationSession

        store = ModelStore(self.device) if store is None else store
        session = AnnotationSession(self.frames, store, self.model, **self.options)
        session.restore(self.changes, self.highest_used_id, self.removed_ids)
        session.history.restore(self.undo)
        return session
