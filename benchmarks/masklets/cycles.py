"""Agreement of the masks of an object with tracks that begin at one of them: what comes back is right."""

import warnings
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from sam2_engine import VideoSession
from sam2_engine.errors import InputWarning
from sam2_engine.evaluation.metrics import boundary_f, mask_iou
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.frames import FrameSource
from sam2_engine.modeling.sam2 import Sam2


def agreement(
    model: Sam2,
    frames: FrameSource,
    masks: Mapping[int, NDArray[np.bool_]],
    origins: Iterable[int],
    cache: FeatureCache,
) -> dict[tuple[int, int], float]:
    """Return J&F of the track from the mask of one frame alone with the mask of another, by both frames.

    An object whose mask is empty on a frame is tracked from there nowhere. Its agreement with other
    frames is left out.
    """
    found: dict[tuple[int, int], float] = {}
    origins = sorted(frame for frame in origins if masks[frame].any())
    for reverse in (False, True) if origins else ():
        video = VideoSession(model, frames, cache=cache)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)  # too small to see: it comes back nowhere
            for frame in origins:
                video.add_mask(frame, frame + 1, masks[frame])
        start, stop = (origins[-1], min(masks)) if reverse else (origins[0], max(masks))
        for result in video.propagate(start=start, stop=stop, reverse=reverse):
            if result.frame not in masks:
                continue
            for object_id, mask in zip(result.object_ids, result.masks):
                there = masks[result.frame]
                found[object_id - 1, result.frame] = (mask_iou(mask, there) + boundary_f(mask, there)) / 2
    return found
