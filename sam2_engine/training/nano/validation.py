"""How well one click segments the pictures that were kept aside."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sam2_engine.masks import mask_center
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import normalize
from sam2_engine.training.nano.labeled_images import LabeledImage
from sam2_engine.training.nano.precision import learning_autocast

__all__ = ["one_click_iou"]

_AT_ONCE = 16


@torch.inference_mode()
def one_click_iou(model: Sam2, pictures: Sequence[LabeledImage], max_objects: int = 24) -> float:
    """Mean IoU over objects of the mask that the model itself prefers, from one click in the middle.

    Parameters
    ----------
    model
        The model, in evaluation mode.
    pictures
        Labeled pictures; the whole picture is the input.
    max_objects
        Objects per picture, evenly chosen.
    """
    ious: list[float] = []
    for picture in pictures:
        size = (model.image_size, model.image_size)
        pixels = (
            torch.from_numpy(picture.pixels).to(model.device).permute(2, 0, 1)[None].expand(-1, 3, -1, -1)
        )
        resized = F.interpolate(pixels.float(), size=size, mode="bilinear", antialias=True)
        ids = [int(i) for i in np.unique(picture.labels) if i and (picture.labels == i).sum() >= 20]
        ids = ids[:: max(1, -(-len(ids) // max_objects))]
        with learning_autocast(model.device):
            features = model.encode_image(normalize(resized / 255))
        for start in range(0, len(ids), _AT_ONCE):
            masks = np.stack([picture.labels == i for i in ids[start : start + _AT_ONCE]])
            with learning_autocast(model.device):
                prediction = model.predict_masks(
                    model.without_memory(features.embedding),
                    features.high_res,
                    points=_center_clicks(masks, model.image_size).to(model.device),
                    labels=torch.ones(len(masks), 1, dtype=torch.long, device=model.device),
                    multimask=model.config.multimask_output_in_sam,
                ).best()
            low_res = prediction.low_res_logits.float().cpu()
            logits = F.interpolate(low_res, size=masks.shape[1:], mode="bilinear")
            found = (logits[:, 0] > 0).numpy()
            union = (found | masks).sum((1, 2))
            ious += ((found & masks).sum((1, 2)) / union).tolist()
    return float(np.mean(ious)) if ious else float("nan")


def _center_clicks(masks: np.ndarray, size: int) -> Tensor:
    """Return the points deepest inside (N, H, W) masks, in input pixels, (N, 1, 2)."""
    height, width = masks.shape[1:]
    points = [[x * size / width, y * size / height] for (x, y), _ in map(mask_center, masks)]
    return torch.tensor(points, dtype=torch.float32)[:, None]
