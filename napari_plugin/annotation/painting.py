"""Brush strokes and lassos as mask prompts of the session."""

import numpy as np
from skimage.draw import polygon2mask

from napari_plugin.layers import BrushStroke, Lasso
from sam2_engine.errors import InputError
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import MaskOrigin

__all__ = ["apply_lasso", "apply_stroke"]


def apply_stroke(session: AnnotationSession, stroke: BrushStroke) -> None:
    """Add what was painted to the masks of the objects painted with, and take away what was erased.

    Painting over another object leaves that one's mask as it is, below the new one, unless it was painted
    too: then nobody could tell who wins, so the pixels are taken from it. A label that no object has yet
    makes one.

    Raises
    ------
    InputError
        If a mask is verified, or a label is that of a removed object.
    """
    undo_group = object()  # one stroke, one undo
    for frame in sorted({int(frame) for frame in stroke.frames}):
        for object_id, pixels in stroke.by_label(frame, stroke.after).items():
            if object_id not in session.objects:
                session.add_object(object_id=object_id, undo_group=undo_group)
            known = session.mask(object_id, frame)
            mask = np.zeros(session.shape, bool) if known is None else known
            mask[pixels] = True
            session.add_mask(frame, object_id, mask, undo_group)
        for object_id in stroke.by_label(frame, stroke.before):
            if object_id in session.objects:
                _take(session, stroke, object_id, frame, undo_group)


def _take(
    session: AnnotationSession, stroke: BrushStroke, object_id: int, frame: int, undo_group: object
) -> None:
    accepted = session.accepted(object_id, frame)
    if accepted is None:
        return
    covered = accepted.origin is MaskOrigin.PAINTED and frame not in session.verified(object_id)
    lost = (stroke.frames == frame) & (stroke.before == object_id) & ((stroke.after == 0) | covered)
    mask = accepted.mask.to_array()
    if mask[stroke.rows[lost], stroke.columns[lost]].any():
        mask[stroke.rows[lost], stroke.columns[lost]] = False
        session.add_mask(frame, object_id, mask, undo_group)


def apply_lasso(session: AnnotationSession, lasso: Lasso, excluding: bool) -> None:
    """Add what a lasso encloses to an object's mask, or take it away.

    Raises
    ------
    InputError
        If it encloses no pixel of the frame, or the mask is verified.
    """
    inside = polygon2mask(session.shape, lasso.outline[:, ::-1])
    if not inside.any():
        raise InputError("A lasso around no pixel was left out; draw it around the object.")
    known = session.mask(lasso.object_id, lasso.frame)
    if known is None:
        known = np.zeros(session.shape, bool)
    session.add_mask(lasso.frame, lasso.object_id, known & ~inside if excluding else known | inside)
