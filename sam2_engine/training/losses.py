"""Losses of the paper (section D.2.2): focal 20, dice 1, IoU 1 (L1), presence 1."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sam2_engine.modeling.sam2 import MaskPrediction

__all__ = [
    "LossWeights",
    "ObjectLosses",
    "balanced_loss",
    "dice_loss",
    "focal_loss",
    "object_losses",
    "prediction_loss",
]


@dataclass(frozen=True)
class LossWeights:
    """Weights of the four terms, the focal loss's balance between object and background, and a fifth term.

    ``balanced`` weighs a cross-entropy in which object and background count alike; without it a
    model with random weights soon predicts empty masks, which are cheap, and stays there.
    """

    focal: float = 20.0
    dice: float = 1.0
    iou: float = 1.0
    presence: float = 1.0
    focal_alpha: float = 0.25
    balanced: float = 0.0


def focal_loss(logits: Tensor, target: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Sigmoid focal loss, averaged over the pixels of each mask.

    Parameters
    ----------
    logits, target
        (..., H, W); the target is coverage, 0..1 (0 or 1 gives the loss of Lin et al. 2017).
    """
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    balance = alpha * target + (1 - alpha) * (1 - target)
    return (balance * (target - logits.sigmoid()).abs() ** gamma * cross_entropy).mean((-2, -1))


def balanced_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy whose object and background pixels weigh alike, per mask of (..., H, W)."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    inside = (cross_entropy * target).sum((-2, -1)) / target.sum((-2, -1)).clamp(min=1)
    outside = (cross_entropy * (1 - target)).sum((-2, -1)) / (1 - target).sum((-2, -1)).clamp(min=1)
    return 0.5 * (inside + outside)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Soft dice loss with 1 added to both sides of the fraction, per mask of (..., H, W)."""
    probability = logits.sigmoid().flatten(-2)
    target = target.flatten(-2)
    overlap = 2 * (probability * target).sum(-1)
    return 1 - (overlap + 1) / (probability.sum(-1) + target.sum(-1) + 1)


def actual_iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of the thresholded masks, per mask of (..., H, W); 0 where both are empty."""
    predicted, actual = logits > 0, target > 0.5
    union = (predicted | actual).flatten(-2).sum(-1)
    return (predicted & actual).flatten(-2).sum(-1) / union.clamp(min=1)


@dataclass(frozen=True)
class ObjectLosses:
    """Losses of N objects, (N,) each, and which of the M masks was closest to the ground truth, (N,).

    ``mask`` is that of the closest mask, ``iou`` the mean over all masks; both are 0 where the object is
    not visible.
    """

    mask: Tensor
    iou: Tensor
    presence: Tensor
    closest: Tensor

    def total(self, weights: LossWeights) -> Tensor:
        """Return the weighted sum, (N,)."""
        return self.mask + weights.iou * self.iou + weights.presence * self.presence


def object_losses(
    prediction: MaskPrediction, target: Tensor, weights: LossWeights, visible: Tensor | None = None
) -> ObjectLosses:
    """Losses of one decoding of N prompts.

    Focal and dice count for the closest mask only, the IoU term for all, and where the object is
    not visible nothing counts but presence.

    Parameters
    ----------
    prediction
        Logits (N, M, h, w), IoU (N, M), presence (N, 1).
    target
        (N, 1, h, w) coverage, 0..1.
    weights
        Of the terms; those of the mask are applied here.
    visible
        (N,) bool; None: decided by the target.
    """
    logits = prediction.low_res_logits.float()
    target = target.float().expand_as(logits)
    if visible is None:
        visible = target[:, 0].flatten(1).amax(1) > 0
    mask_loss = weights.focal * focal_loss(logits, target, weights.focal_alpha) + weights.dice * dice_loss(
        logits, target
    )
    if weights.balanced:
        mask_loss = mask_loss + weights.balanced * balanced_loss(logits, target)
    best, closest = mask_loss.min(1)
    with torch.no_grad():
        iou = actual_iou(logits, target)
    iou_loss = (prediction.iou.float() - iou).abs().mean(1)
    presence_loss = F.binary_cross_entropy_with_logits(
        prediction.presence_logit.float()[:, 0], visible.float(), reduction="none"
    )
    return ObjectLosses(visible * best, visible * iou_loss, presence_loss, closest)


def prediction_loss(
    prediction: MaskPrediction, target: Tensor, weights: LossWeights, visible: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mean over the N objects of their weighted losses, and the closest masks (N,); see ``object_losses``."""
    losses = object_losses(prediction, target, weights, visible)
    return losses.total(weights).mean(), losses.closest
