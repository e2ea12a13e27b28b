"""Protocol for single images: clicks on an object, or its box; the model chooses its mask (SA task)."""

import numpy as np

from sam2_engine.errors import InputError
from sam2_engine.evaluation.labeled_sequence import LabeledSequence, MasksByObject
from sam2_engine.evaluation.simulated_user import tight_box
from sam2_engine.evaluation.video_protocol import WithProgress, num_clicks, place_clicks, without_progress
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.frames import open_frames
from sam2_engine.masks import PackedMask
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import Contrast
from sam2_engine.video.open_session import open_video_session
from sam2_engine.weights.pixel_rules import window_of

__all__ = ["objects_by_frame", "segment_images"]


def objects_by_frame(sequence: LabeledSequence, min_area: int = 1) -> dict[int, list[int]]:
    """Return the ids of the objects of at least ``min_area`` pixels on each annotated frame that has any."""
    by_frame: dict[int, list[int]] = {}
    for frame in sequence.annotated:
        ids = [
            object_id
            for object_id, masks in sequence.ground_truth.items()
            if frame in masks and np.count_nonzero(masks[frame].crop()) >= min_area
        ]
        if ids:
            by_frame[frame] = ids
    return by_frame


def segment_images(
    model: Sam2,
    sequence: LabeledSequence,
    prompt: str = "1-click",
    *,
    min_area: int = 1,
    contrast: Contrast = None,
    with_progress: WithProgress = without_progress,
) -> MasksByObject:
    """Segment every object on every annotated frame by itself, as an image without memory.

    Parameters
    ----------
    model
        A loaded model.
    sequence
        Frames and ground truth; ids need not persist.
    prompt
        ``box``, or clicks: the first at the object's center, where of three predicted masks the one of
        the highest predicted IoU is taken, the others at the center of the error.
    min_area
        Leave out smaller objects, in pixels.
    contrast
        Intensity window, by default one for all frames.
    with_progress
        Wraps the iteration over images, for a progress bar.

    Raises
    ------
    InputError
        If the prompt is unknown, or ``mask``.
    """
    clicks = num_clicks(prompt)
    if prompt == "mask":
        raise InputError("On single images the mask is what is predicted; prompt by a box or clicks instead.")
    window = window_of(sequence.frames, contrast, model.config.intensities)
    masks, chosen = MasksByObject(), objects_by_frame(sequence, min_area)
    for frame, ids in with_progress(chosen.items(), len(chosen), sequence.name):
        image = open_frames(sequence.frames[frame][None], axes="TYX" + "C" * (sequence.frames.channels > 1))
        session = open_video_session(model, image, window, FeatureCache())
        for object_id in ids:
            ground_truth = sequence.mask(object_id, frame)
            if clicks:
                nothing, void = np.zeros_like(ground_truth), sequence.void_on(frame)
                mask, _ = place_clicks(session, object_id, 0, nothing, ground_truth, clicks, void)
            else:
                mask = session.add_box(0, object_id, tight_box(ground_truth)).masks[0]
            masks.setdefault(object_id, {})[frame] = PackedMask.from_array(mask, image.shape)
            session.remove_object(object_id)
    return masks
