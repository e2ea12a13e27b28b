"""Protocols of interactive video segmentation with a simulated user, offline and online (paper, E.1.2).

Objects are handled one at a time. On each prompted frame the user makes up to three clicks at the center
of the error; up to eight frames are prompted. The scores are means over the frames from the object's
first appearance on, then over 1 to 8 prompted frames.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam2_engine.evaluation.labeled_sequence import LabeledSequence
from sam2_engine.evaluation.metrics import mask_iou
from sam2_engine.evaluation.video_protocol import place_clicks
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.masks import PackedMask
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import Contrast
from sam2_engine.video.open_session import open_video_session
from sam2_engine.video.tracking_session import TrackingSession

__all__ = [
    "CLICKS_PER_FRAME",
    "MAX_PROMPTED_FRAMES",
    "InteractiveRound",
    "offline_rounds",
    "online_rounds",
    "scored_frames",
]

MAX_PROMPTED_FRAMES = 8
CLICKS_PER_FRAME = 3
PAUSE_BELOW = 0.75
"""IoU below which the online user stops the video."""

# The paper's model of the annotator's time: finding the object, a click, looking through 300 frames.
_LOCATE_SECONDS = 1.0
_CLICK_SECONDS = 1.5
_EXAMINE_SECONDS = 30.0 / 300.0

_HISTORY = 256 * 2**20


@dataclass(frozen=True, eq=False)
class InteractiveRound:
    """An object's masks after some prompted frames.

    Attributes
    ----------
    masks
        By frame, from the object's first appearance on.
    clicks
        Clicks so far.
    seconds
        Modeled time of the annotator so far.
    """

    masks: dict[int, PackedMask]
    clicks: int
    seconds: float


def scored_frames(sequence: LabeledSequence, object_id: int) -> list[int]:
    """Return the frames to score, from the object's first appearance on, prompted ones included."""
    first = sequence.first_frame(object_id)
    return [frame for frame in sequence.known_frames(object_id) if frame >= first]


def offline_rounds(
    model: Sam2,
    sequence: LabeledSequence,
    object_id: int,
    *,
    max_frames: int = MAX_PROMPTED_FRAMES,
    contrast: Contrast = None,
    cache: FeatureCache | None = None,
) -> Iterator[InteractiveRound]:
    """Prompt the first frame and track; then, round by round, the worst frame, and track everything again.

    The worst frame is that of the lowest IoU among those not prompted yet.

    Parameters
    ----------
    model, sequence, object_id
        Model, ground truth, and the object to segment.
    max_frames
        Rounds; there are fewer once all frames are prompted or nothing is wrong.
    contrast, cache
        As for ``VideoSession``; a cache may be shared by the objects of a sequence.
    """
    session = open_video_session(
        model, sequence.frames, contrast, cache=cache, history=_HISTORY, remove_small_components=None
    )
    first = sequence.first_frame(object_id)
    examine = (len(sequence.frames) - first) * _EXAMINE_SECONDS
    masks: dict[int, PackedMask] = {}
    frame, clicks, seconds, prompted = first, 0, 0.0, set()
    for _ in range(max_frames):
        before = _unpacked(masks, frame, sequence)
        ground_truth, void = sequence.mask(object_id, frame), sequence.void_on(frame)
        _, placed = place_clicks(session, object_id, frame, before, ground_truth, CLICKS_PER_FRAME, void)
        prompted.add(frame)
        clicks += placed
        seconds += examine + _LOCATE_SECONDS + placed * _CLICK_SECONDS
        masks = {
            result.frame: PackedMask.from_array(result.masks[0], result.shape)
            for result in session.propagate(start=first)
            if not result.problem
        }
        yield InteractiveRound(masks, clicks, seconds)
        remaining = {
            f: _iou(masks, f, object_id, sequence)
            for f in scored_frames(sequence, object_id)
            if f not in prompted
        }
        if not remaining or min(remaining.values()) == 1.0:
            return
        frame = min(remaining, key=lambda f: remaining[f])


def online_rounds(
    model: Sam2,
    sequence: LabeledSequence,
    object_id: int,
    *,
    max_frames: int = MAX_PROMPTED_FRAMES,
    contrast: Contrast = None,
    cache: FeatureCache | None = None,
) -> Iterator[InteractiveRound]:
    """Track once, pausing for clicks where the IoU falls below 0.75; a pass for every allowance of frames.

    A corrected frame counts as corrected, and frames before it stay as they were. Parameters as for
    ``offline_rounds``.
    """
    for allowance in range(1, max_frames + 1):
        session = open_video_session(
            model, sequence.frames, contrast, cache=cache, history=_HISTORY, remove_small_components=None
        )
        passed, prompted = _online_pass(session, sequence, object_id, allowance)
        yield passed
        if prompted < allowance:
            return


def _online_pass(
    session: TrackingSession, sequence: LabeledSequence, object_id: int, allowance: int
) -> tuple[InteractiveRound, int]:
    """Return the pass with up to ``allowance`` prompted frames, and the number of frames prompted."""
    first = sequence.first_frame(object_id)
    ground_truth = sequence.mask(object_id, first)
    nothing, void = np.zeros_like(ground_truth), sequence.void_on(first)
    _, clicks = place_clicks(session, object_id, first, nothing, ground_truth, CLICKS_PER_FRAME, void)
    prompted, masks, known = 1, {}, set(sequence.known_frames(object_id))
    for result in session.propagate(start=first):
        if result.problem:
            continue
        mask, frame = result.masks[0], result.frame
        if prompted < allowance and frame in known and frame != first:
            ground_truth = sequence.mask(object_id, frame)
            if mask_iou(sequence.without_void(mask, frame), ground_truth) < PAUSE_BELOW:
                void = sequence.void_on(frame)
                mask, placed = place_clicks(
                    session, object_id, frame, mask, ground_truth, CLICKS_PER_FRAME, void
                )
                prompted, clicks = prompted + 1, clicks + placed
        masks[frame] = PackedMask.from_array(mask, result.shape)
    seconds = (len(sequence.frames) - first) * _EXAMINE_SECONDS
    seconds += prompted * _LOCATE_SECONDS + clicks * _CLICK_SECONDS
    return InteractiveRound(masks, clicks, seconds), prompted


def _unpacked(masks: dict[int, PackedMask], frame: int, sequence: LabeledSequence) -> NDArray[np.bool_]:
    return masks[frame].to_array() if frame in masks else np.zeros(sequence.frames.shape, bool)


def _iou(masks: dict[int, PackedMask], frame: int, object_id: int, sequence: LabeledSequence) -> float:
    mask = sequence.without_void(_unpacked(masks, frame, sequence), frame)
    return mask_iou(mask, sequence.mask(object_id, frame))
