"""Policy that expects an object where it was going to be, as SAMURAI does.

Source: Yang et al., SAMURAI: Adapting Segment Anything Model for Zero-Shot Visual Tracking with
Motion-Aware Memory (2024); rules and constants are theirs, written anew. Kept apart from them: state belongs
to an object and a direction; what is absent keeps its course, where theirs falls to an empty box.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from sam2_engine.video.memory_policies.policy import (
    REACH,
    Candidates,
    Choice,
    FrameNote,
    MemoryPolicy,
    MotionState,
    iou_of_boxes,
)

__all__ = ["Motion", "expected_box", "follow", "start_motion"]

WARM_UP = 15
"""Frames in a row that are found well before motion has a say."""
LEAST_IOU = 0.3
"""Predicted IoU of a frame that motion goes on from."""
REMEMBERED_IOU = 0.5
"""Predicted IoU above which a frame is remembered."""
COLLECTED = 15
"""Good frames that are looked for, of which the newest are read."""

_POSITION, _VELOCITY = 1 / 20, 1 / 160
"""Standard deviations as parts of the object's height."""
_RATIO, _RATIO_VELOCITY, _MEASURED_RATIO = 1e-2, 1e-5, 1e-1
_STEP = np.array([[1.0, 1.0], [0.0, 1.0]])


class Motion(MemoryPolicy):
    """The candidate that is where the object was going to be, and memories of good frames alone.

    Parameters
    ----------
    weight
        Of the motion against the predicted IoU; SAMURAI takes 0.15 for large models and 0.25 for others.
    """

    name = "motion"
    takes_notes = True
    presence_threshold = -1.0

    def __init__(self, weight: float = 0.25) -> None:
        self.weight = weight

    @override
    def choose(self, candidates: Candidates, before: FrameNote | None, elapsed: int = 1) -> Choice:
        state = None if before is None else before.motion
        if state is not None:
            for _ in range(min(elapsed, REACH)):
                state = predict(state)
        best, overlap = int(candidates.predicted_iou.argmax()), None
        if candidates.presence_logit <= self.presence_threshold:
            return Choice(best, state)
        if state is None or state.steady == 0:
            return Choice(best, start_motion(measured(candidates.boxes[best])))
        if state.steady < WARM_UP:
            found_well = candidates.predicted_iou[best] > LEAST_IOU
        else:
            overlaps = iou_of_boxes(expected_box(state), candidates.boxes)
            best = int((self.weight * overlaps + (1 - self.weight) * candidates.predicted_iou).argmax())
            overlap = float(overlaps[best])
            found_well = candidates.predicted_iou[best] >= LEAST_IOU
        if not found_well:
            return Choice(best, state._replace(steady=0), overlap)
        steady = min(state.steady + 1, WARM_UP)
        return Choice(best, follow(state, measured(candidates.boxes[best]))._replace(steady=steady), overlap)

    @override
    def recents(
        self, position: int, notes: Mapping[int, FrameNote], count: int, num_long_term: int, start: int
    ) -> list[tuple[int, int]]:
        good: list[int] = []
        # The first tracked frame is not looked at, as there: the prompted one before it says as much.
        for p in range(position - 1, max(start + 1, position - 1 - REACH), -1):
            if len(good) == COLLECTED:
                break
            if p in notes and is_good(notes[p]):
                good.append(p)
        if position - 1 in notes and position - 1 not in good:
            good.insert(0, position - 1)
        return list(enumerate(good[:count], start=1))


def is_good(note: FrameNote) -> bool:
    """Whether a frame is remembered."""
    moved_well = note.motion_iou is None or note.motion_iou > 0
    return note.predicted_iou > REMEMBERED_IOU and note.presence_logit > 0 and moved_well


def measured(box: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return center, width by height, and height of a box, (4,)."""
    x0, y0, x1, y1 = box.tolist()
    height = y1 - y0 or 1.0
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / height, height])


def expected_box(state: MotionState) -> NDArray[np.float64]:
    """Return the box of a state, (4,) as ``x0, y0, x1, y1``."""
    x, y, ratio, height = state.mean[:, 0]
    return np.array([x - ratio * height / 2, y - height / 2, x + ratio * height / 2, y + height / 2])


def start_motion(values: NDArray[np.float64]) -> MotionState:
    """Return the state of an object that was seen once."""
    p, v = 2 * _POSITION * values[3], 10 * _VELOCITY * values[3]
    deviations = np.array([[p, v], [p, v], [_RATIO, _RATIO_VELOCITY], [p, v]])
    covariance = np.zeros((4, 2, 2))
    covariance[:, [0, 1], [0, 1]] = deviations**2
    return MotionState(np.stack([values, np.zeros(4)], axis=1), covariance, 1)


def predict(state: MotionState) -> MotionState:
    """Return the state that is expected one frame later."""
    height = state.mean[3, 0]
    p, v = _POSITION * height, _VELOCITY * height
    deviations = np.array([[p, v], [p, v], [_RATIO, _RATIO_VELOCITY], [p, v]])
    covariance = _STEP @ state.covariance @ _STEP.T
    covariance[:, [0, 1], [0, 1]] += deviations**2
    return MotionState(state.mean @ _STEP.T, covariance, state.steady)


def follow(state: MotionState, values: NDArray[np.float64]) -> MotionState:
    """Return the state once an expected object was measured."""
    p = _POSITION * state.mean[3, 0]
    innovation = state.covariance[:, 0, 0] + np.array([p, p, _MEASURED_RATIO, p]) ** 2
    gain = state.covariance[:, :, 0] / innovation[:, None]
    mean = state.mean + gain * (values - state.mean[:, 0])[:, None]
    covariance = state.covariance - gain[:, :, None] * gain[:, None, :] * innovation[:, None, None]
    return MotionState(mean, covariance, state.steady)
