"""Single images: clicks on an object, or its box; the model chooses its mask (the paper's SA task)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.evaluation.labelled_sequence import LabelledSequence, MasksByObject
from sam2_engine.evaluation.simulated_user import Click, error_click, tight_box
from sam2_engine.evaluation.video_protocol import Contrast, Watch, num_clicks, place_clicks, unwatched
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.image_predictor import ImagePredictor
from sam2_engine.mask_utils import PackedMask
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import estimate_window
from sam2_engine.tiled_session import TiledVideoSession
from sam2_engine.tiles import is_large

__all__ = ["objects_by_frame", "segment_images"]


def objects_by_frame(sequence: LabelledSequence, min_area: int = 1) -> dict[int, list[int]]:
    """Return the ids of the objects of at least ``min_area`` pixels on each annotated frame that has any."""
    found: dict[int, list[int]] = {}
    for frame in sequence.annotated:
        ids = [
            object_id
            for object_id, masks in sequence.truth.items()
            if frame in masks and np.count_nonzero(masks[frame].cropped) >= min_area
        ]
        if ids:
            found[frame] = ids
    return found


def segment_images(
    model: Sam2,
    sequence: LabelledSequence,
    prompt: str = "1-click",
    *,
    min_area: int = 1,
    contrast: Contrast = None,
    watch: Watch = unwatched,
) -> MasksByObject:
    """Segment every object on every annotated frame by itself, without memory; a large plane in tiles.

    Parameters
    ----------
    model
        A loaded model.
    sequence
        Frames and truth; ids need not persist.
    prompt
        ``box``, or clicks: the first at the object's centre, where of three masks that of the highest
        predicted IoU is taken, the others at the centre of the error, with the mask so far fed back.
    min_area
        Leave out smaller objects, in pixels.
    contrast
        Intensity window, by default one for all frames.
    watch
        Sees every image pass.

    Raises
    ------
    InputError
        If the prompt is unknown, or the mask itself.
    """
    clicks = num_clicks(prompt)
    if prompt == "mask":
        raise InputError("On single images the mask is what is asked for; prompt by a box or clicks instead.")
    window = contrast if contrast is not None else estimate_window(sequence.frames)
    shape = sequence.frames.shape
    predictor, tiles = ImagePredictor(model), None
    if is_large(shape, model.image_size):
        tiles = TiledVideoSession(model, sequence.frames, window, FeatureCache())
    masks, chosen = MasksByObject(), objects_by_frame(sequence, min_area)
    for frame, ids in watch(chosen.items(), len(chosen), sequence.name):
        if tiles is None:
            predictor.set_image(sequence.frames[frame], contrast=window)
        for object_id in ids:
            truth = sequence.mask(object_id, frame)
            if tiles is not None:
                mask = _in_tiles(tiles, frame, truth, clicks)
            elif prompt == "box":
                mask = predictor.predict(box=tight_box(truth), multimask_output=False)[0][0]
            else:
                mask = _click(predictor, truth, clicks, model.config.multimask_output_in_sam)
            masks.setdefault(object_id, {})[frame] = PackedMask.of(mask, shape)
    return masks


def _in_tiles(
    tiles: TiledVideoSession, frame: int, truth: NDArray[np.bool_], clicks: int
) -> NDArray[np.bool_]:
    """Segment an object of a large plane by its box, or by ``clicks``."""
    if clicks:
        mask, _ = place_clicks(tiles, 1, frame, np.zeros_like(truth), truth, clicks)
    else:
        mask = tiles.add_box(frame, 1, tight_box(truth)).masks[0]
    tiles.remove_object(1)
    return mask


def _click(
    predictor: ImagePredictor, truth: NDArray[np.bool_], count: int, multimask: bool
) -> NDArray[np.bool_]:
    """Segment an object by ``count`` clicks; ``multimask``: the first gives three masks to choose among."""
    mask: NDArray[Any] = np.zeros_like(truth)
    placed: list[Click] = []
    logits = None
    for _ in range(count):
        click = error_click(mask, truth)
        if click is None:
            break
        placed.append(click)
        points, labels = zip(*placed, strict=True)
        masks, ious, low_res = predictor.predict(
            points, labels, mask_input=logits, multimask_output=multimask and len(placed) == 1
        )
        best = int(np.argmax(ious))
        mask, logits = masks[best], low_res[best][None]
    return mask
