"""Cases in which the official automatic mask generator and ours are compared.

The network is not compared here, so a stand-in decodes: it reads the color under the click from the
preprocessed pixels and takes in what has nearly that color. Both sides call it with equal pixels.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SIDE = 256
"""Side of the model input; low-resolution masks are a quarter of it."""

CASES: dict[str, dict[str, Any]] = {
    "plain": {"points_per_side": 8},
    "lenient": {"points_per_side": 8, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.01},
    "one-mask": {"points_per_side": 9, "multimask_output": False, "stability_score_offset": 0.5},
    "crops": {"points_per_side": 8, "points_per_batch": 10, "crop_n_layers": 2, "crop_overlap_ratio": 0.4},
    "fewer-clicks-in-crops": {
        "points_per_side": 8,
        "crop_n_layers": 1,
        "crop_n_points_downscale_factor": 2,
        "crop_nms_thresh": 0.3,
    },
    "refined": {"points_per_side": 6, "points_per_batch": 7, "use_m2m": True, "pred_iou_thresh": 0.6},
}


def draw_image() -> NDArray[np.uint8]:
    """Return (150, 200, 3) uint8: discs of many sizes and colors, with holes and small components."""
    y, x = np.mgrid[:150, :200]
    image = np.stack([60 + x * 0.3, 70 + y * 0.4, 90 + (x + y) * 0.1], axis=-1)
    rng = np.random.default_rng(3)
    for _ in range(16):
        cx, cy, radius = rng.integers(8, 192), rng.integers(8, 142), rng.integers(5, 22)
        image[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] = rng.integers(0, 256, 3)
    for _ in range(60):
        cx, cy = rng.integers(2, 198), rng.integers(2, 148)
        image[cy - 1 : cy + 2, cx - 1 : cx + 2] = rng.integers(0, 256, 3)
    return np.clip(image, 0, 255).astype(np.uint8)


def decode(
    pixels: Tensor, points: Tensor, mask_logits: Tensor | None, multimask: bool
) -> tuple[Tensor, Tensor]:
    """Stand in for the mask decoder.

    ``pixels`` (3, SIDE, SIDE), ``points`` (N, 2) in input pixels, ``mask_logits`` (N, 1, SIDE / 4, SIDE / 4).
    Returns logits (N, M, SIDE / 4, SIDE / 4) and IoU (N, M).
    """
    column, row = points.long().clamp(0, SIDE - 1).T
    colors = pixels[:, row, column].T
    distance = (pixels[None, :, ::4, ::4] - colors[:, :, None, None]).norm(dim=1)
    reach = torch.tensor([0.3, 0.7, 1.4] if multimask else [0.5])
    logits = (reach[None, :, None, None] - distance[:, None]) * 20
    iou = 0.75 + 0.25 * torch.sin(points @ torch.tensor([[0.37], [0.61]]) + torch.arange(len(reach)))
    return (logits if mask_logits is None else logits + 0.5 * mask_logits), iou
