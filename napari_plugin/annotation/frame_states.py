"""The state of every object on every frame: one of five."""

from collections.abc import Collection
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["FrameState", "states_of"]


class FrameState(IntEnum):
    """State of an object on a frame; where many frames share a pixel, the larger one is shown."""

    EMPTY = 0
    """Nothing is known yet."""
    PREDICTED = 1
    """The model tracked it."""
    VERIFIED = 2
    """A person verified the mask."""
    PROMPTED = 3
    """A person clicked, drew or painted there."""
    DOUBTFUL = 4
    """The model tracked it, and the review finds it doubtful."""


def states_of(session: AnnotationSession, doubtful: Collection[tuple[int, int]]) -> NDArray[np.uint8]:
    """Return the (objects, frames) states, objects in the order of their ids.

    Parameters
    ----------
    session
        What is known.
    doubtful
        (object id, frame) of the doubtful masks.
    """
    objects = list(session.objects)
    states = np.zeros((len(objects), len(session)), np.uint8)
    rows = {object_id: row for row, object_id in enumerate(objects)}
    for object_id, row in rows.items():
        states[row, session.frames_of(object_id)] = FrameState.PREDICTED
    for object_id, frame in doubtful:
        if object_id in rows and states[rows[object_id], frame]:
            states[rows[object_id], frame] = FrameState.DOUBTFUL
    for object_id, row in rows.items():
        states[row, list(session.prompts_of(object_id))] = FrameState.PROMPTED
        states[row, list(session.verified(object_id))] = FrameState.VERIFIED
    return states
