"""Validation of nano: IoU after one click on labeled images that it is not trained on."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sam2_engine.masks import mask_center
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import normalize
from sam2_engine.training.nano.labeled_images import LabeledImage
from sam2_engine.training.nano.precision import training_autocast

__all__ = ["one_click_iou"]

_PROMPTS_PER_BATCH = 16


@torch.inference_mode()
def one_click_iou(model: Sam2, images: Sequence[LabeledImage], max_objects: int = 24) -> float:
    """Mean IoU over objects of the mask that the model itself prefers, after one click at the center.

    Parameters
    ----------
    model
        The model, in evaluation mode.
    images
        Labeled images; the whole image is the input.
    max_objects
        Objects per image, evenly chosen.
    """
    ious: list[float] = []
    for image in images:
        size = (model.image_size, model.image_size)
        pixels = torch.from_numpy(image.pixels).to(model.device).permute(2, 0, 1)[None].expand(-1, 3, -1, -1)
        resized = F.interpolate(pixels.float(), size=size, mode="bilinear", antialias=True)
        ids = [int(i) for i in np.unique(image.labels) if i and (image.labels == i).sum() >= 20]
        ids = ids[:: max(1, -(-len(ids) // max_objects))]
        with training_autocast(model.device):
            features = model.encode_image(normalize(resized / 255))
        for start in range(0, len(ids), _PROMPTS_PER_BATCH):
            masks = np.stack([image.labels == i for i in ids[start : start + _PROMPTS_PER_BATCH]])
            with training_autocast(model.device):
                prediction = model.predict_masks(
                    model.without_memory(features.embedding),
                    features.high_res,
                    points=_center_clicks(masks, model.image_size).to(model.device),
                    labels=torch.ones(len(masks), 1, dtype=torch.long, device=model.device),
                    multimask=model.config.multimask_output_in_sam,
                ).best()
            low_res = prediction.low_res_logits.float().cpu()
            logits = F.interpolate(low_res, size=masks.shape[1:], mode="bilinear")
            predicted = (logits[:, 0] > 0).numpy()
            union = (predicted | masks).sum((1, 2))
            ious += ((predicted & masks).sum((1, 2)) / union).tolist()
    return float(np.mean(ious)) if ious else float("nan")


def _center_clicks(masks: np.ndarray, size: int) -> Tensor:
    """Return the centers of (N, H, W) masks, in input pixels, (N, 1, 2)."""
    height, width = masks.shape[1:]
    points = [[x * size / width, y * size / height] for (x, y), _ in map(mask_center, masks)]
    return torch.tensor(points, dtype=torch.float32)[:, None]
