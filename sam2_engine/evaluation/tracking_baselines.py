"""Baselines for tracking: a copy of the first mask, and its propagation by optical flow.

Both start from the ground truth mask.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.evaluation.labeled_sequence import LabeledSequence, MasksByObject
from sam2_engine.evaluation.video_protocol import WithProgress, without_progress
from sam2_engine.masks import PackedMask
from sam2_engine.preprocessing import IntensityWindow, estimate_window, to_rgb

__all__ = ["copy_first_mask", "opencv", "propagate_by_flow"]

_HALF = 127
_FULL = 255


def copy_first_mask(sequence: LabeledSequence, starts: Mapping[int, int]) -> MasksByObject:
    """Return each object's ground truth mask of its first frame, on every frame."""
    return {
        object_id: dict.fromkeys(range(len(sequence.frames)), sequence.ground_truth[object_id][start])
        for object_id, start in starts.items()
    }


def propagate_by_flow(
    sequence: LabeledSequence,
    starts: Mapping[int, int],
    *,
    bidirectional: bool = False,
    with_progress: WithProgress = without_progress,
) -> MasksByObject:
    """Propagate each object's ground truth mask of its first frame by dense optical flow.

    The flow is OpenCV's DIS (Kroeger et al., ECCV 2016), preset medium, on 8-bit gray levels within
    the model's intensity window; masks are warped backwards bilinearly and thresholded at one half.

    Parameters
    ----------
    sequence, starts
        Frames and ground truth, and the frame that each object starts from.
    bidirectional
        Propagate backwards as well.
    with_progress
        Wraps the iteration over pairs of frames, for a progress bar.

    Raises
    ------
    InputError
        If OpenCV is not installed.
    """
    cv2 = opencv()
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    window = estimate_window(sequence.frames)
    y, x = np.mgrid[: sequence.frames.shape[0], : sequence.frames.shape[1]].astype(np.float32)
    masks: MasksByObject = {
        object_id: {start: sequence.ground_truth[object_id][start]} for object_id, start in starts.items()
    }
    for reverse in (False, True) if bidirectional else (False,):
        pairs = list(_steps(sequence, starts, reverse))
        gray: dict[int, NDArray[np.uint8]] = {}
        for before, frame in with_progress(pairs, len(pairs), f"{sequence.name}, optical flow"):
            gray = {i: gray[i] if i in gray else _gray(sequence, i, window) for i in (before, frame)}
            flow = method.calc(gray[frame], gray[before], None)
            for object_id, start in starts.items():
                if before == start or (before > start) != reverse:
                    mask = masks[object_id][before].to_array().astype(np.uint8) * _FULL
                    warped = cv2.remap(mask, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)
                    masks[object_id][frame] = PackedMask.from_array(warped > _HALF, sequence.frames.shape)
    return masks


def _steps(sequence: LabeledSequence, starts: Mapping[int, int], reverse: bool) -> Iterator[tuple[int, int]]:
    """Yield pairs of a frame and the one after it in the direction of travel."""
    if reverse:
        yield from ((frame, frame - 1) for frame in range(max(starts.values()), 0, -1))
    else:
        yield from ((frame, frame + 1) for frame in range(min(starts.values()), len(sequence.frames) - 1))


def _gray(sequence: LabeledSequence, frame: int, window: IntensityWindow | None) -> NDArray[np.uint8]:
    gray: NDArray[np.uint8] = (
        (to_rgb(sequence.frames[frame], window).mean(-1) * _FULL).round().astype(np.uint8)
    )
    return gray


def opencv() -> Any:
    """Return the module ``cv2``; asked for at the start, it is not missed after an hour of work.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        import cv2
    except ImportError:
        raise InputError(
            'The optical flow needs OpenCV; install it with `pip install "sam2-plugins[evaluate]"`.'
        ) from None
    return cv2
