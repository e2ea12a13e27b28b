"""Protocol of semi-supervised video segmentation: one prompted frame per object."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.evaluation.labeled_sequence import LabeledSequence, MasksByObject, pack_labels
from sam2_engine.evaluation.simulated_user import error_click, tight_box
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import Contrast
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.open_session import open_video_session
from sam2_engine.video.tracking_session import TrackingSession

__all__ = [
    "PROMPTS",
    "WithProgress",
    "first_frames",
    "frames_after",
    "label_image",
    "num_clicks",
    "place_clicks",
    "track_objects",
    "without_progress",
]

PROMPTS = ("mask", "box", "1-click", "3-click", "5-click")
"""Prompts of an object on its first frame."""

WithProgress = Callable[[Iterable[Any], int, str], Iterable[Any]]
"""Wraps an iterable, given its length and a title, for example in a progress bar."""


def without_progress(steps: Iterable[Any], total: int, title: str) -> Iterable[Any]:
    """Return the iterable as it is."""
    return steps


def num_clicks(prompt: str) -> int:
    """Return the number of clicks of a prompt, 0 for mask and box.

    Raises
    ------
    InputError
        If it is none of ``PROMPTS``.
    """
    if prompt not in PROMPTS:
        raise InputError(f"There is no prompt {prompt!r}; the prompts are {', '.join(PROMPTS)}.")
    count, _, clicks = prompt.partition("-")
    return int(count) if clicks else 0


def first_frames(sequence: LabeledSequence) -> dict[int, int]:
    """Return the frame of each object's first appearance, where it is prompted."""
    return {object_id: sequence.first_frame(object_id) for object_id in sequence.ground_truth}


def frames_after(
    sequence: LabeledSequence, starts: Mapping[int, int], bidirectional: bool = False, skip_last: bool = True
) -> dict[int, list[int]]:
    """Return the frames to score of each object; one without any is left out.

    Parameters
    ----------
    sequence
        The ground truth.
    starts
        The frame on which each object is prompted; it is not scored.
    bidirectional
        Whether frames before it are scored as well.
    skip_last
        Leave out the last annotated frame, as DAVIS and SA-V do, unless only two are annotated.
    """
    last = sequence.annotated[-1] if skip_last and len(sequence.annotated) > 2 else None
    chosen = {
        object_id: [
            frame
            for frame in sequence.known_frames(object_id)
            if frame != last and (frame > start or (bidirectional and frame < start))
        ]
        for object_id, start in starts.items()
    }
    return {object_id: frames for object_id, frames in chosen.items() if frames}


def track_objects(
    model: Sam2,
    sequence: LabeledSequence,
    prompt: str = "mask",
    *,
    starts: Mapping[int, int] | None = None,
    bidirectional: bool = False,
    contrast: Contrast = None,
    with_progress: WithProgress = without_progress,
) -> MasksByObject:
    """Prompt every object once and propagate all of them; masks do not overlap, the higher logit wins.

    A large plane is segmented in tiles, as everywhere.

    Parameters
    ----------
    model
        A loaded model.
    sequence
        Frames and ground truth.
    prompt
        One of ``PROMPTS``: the ground truth mask, its tight box, or clicks, the first at the object's
        center and each further one at the center of the error.
    starts
        The frame on which each object is prompted; by default that of its first appearance.
    bidirectional
        Propagate backwards as well.
    contrast
        Intensity window of ``VideoSession``.
    with_progress
        Wraps the iteration over frames, for a progress bar.

    Raises
    ------
    InputError
        If the prompt is unknown.
    """
    clicks = num_clicks(prompt)
    session = open_video_session(model, sequence.frames, contrast, remove_small_components=None)
    starts = first_frames(sequence) if starts is None else starts
    for object_id, frame in starts.items():
        ground_truth = sequence.mask(object_id, frame)
        if prompt == "mask":
            session.add_mask(frame, object_id, ground_truth)
        elif prompt == "box":
            session.add_box(frame, object_id, tight_box(ground_truth))
        else:
            nothing, void = np.zeros_like(ground_truth), sequence.void_on(frame)
            place_clicks(session, object_id, frame, nothing, ground_truth, clicks, void)
    masks: MasksByObject = {}
    for reverse in (False, True) if bidirectional else (False,):
        first = max(starts.values()) if reverse else min(starts.values())
        total = first + 1 if reverse else len(sequence.frames) - first
        for result in with_progress(session.propagate(reverse=reverse), total, sequence.name):
            pack_labels(label_image(result), result.frame, masks)
    return masks


def place_clicks(
    session: TrackingSession,
    object_id: int,
    frame: int,
    mask: NDArray[np.bool_],
    ground_truth: NDArray[np.bool_],
    count: int,
    void: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.bool_], int]:
    """Correct an object's mask on a frame by up to ``count`` clicks, each at the center of the error.

    Where ``void`` is true nothing is wrong.

    Returns
    -------
    mask
        (H, W) bool, after the last click.
    placed
        Number of clicks; fewer than ``count`` if no error was left.
    """
    for placed in range(count):
        click = error_click(mask if void is None else mask & ~void, ground_truth)
        if click is None:
            return mask, placed
        result = session.add_points(frame, object_id, [click[0]], [click[1]])
        mask = result.masks[0]
    return mask, count


def label_image(result: FrameResult) -> NDArray[np.int64]:
    """Return the objects of a frame as one (H, W) image of ids; where they overlap, the higher logit wins."""
    labels = np.zeros(result.shape, np.int64)
    best = np.zeros(result.shape, np.float32)
    for index, object_id in enumerate(result.object_ids):
        logits = result.logits_of(index)
        wins = logits > best
        labels[wins], best[wins] = object_id, logits[wins]
    return labels
