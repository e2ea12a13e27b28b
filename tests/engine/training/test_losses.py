"""The losses against values worked out by hand, and the choice of the closest mask."""

import math

import pytest
import torch

from sam2_engine.modeling.sam2 import MaskPrediction
from sam2_engine.training.losses import LossWeights, actual_iou, dice_loss, focal_loss, prediction_loss


def test_focal_loss_of_an_undecided_pixel() -> None:
    logits, target = torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
    assert focal_loss(logits, target).item() == pytest.approx(0.25 * 0.5**2 * math.log(2))
    assert focal_loss(logits, 1 - target).item() == pytest.approx(0.75 * 0.5**2 * math.log(2))


def test_focal_loss_is_the_mean_over_pixels() -> None:
    logits = torch.tensor([[[0.0, 3.0], [-2.0, 1.0]]])
    target = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    each = [
        focal_loss(logits[:, i : i + 1, j : j + 1], target[:, i : i + 1, j : j + 1])
        for i in (0, 1)
        for j in (0, 1)
    ]
    assert focal_loss(logits, target).item() == pytest.approx(torch.stack(each).mean().item())


def test_dice_loss_adds_one_to_both_sides() -> None:
    logits, target = torch.zeros(1, 2, 2), torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    assert dice_loss(logits, target).item() == pytest.approx(1 - (2 * 0.5 + 1) / (2 + 1 + 1))


def test_actual_iou_counts_thresholded_pixels() -> None:
    logits = torch.tensor([[[1.0, 1.0], [-1.0, -1.0]]])
    target = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    assert actual_iou(logits, target).item() == pytest.approx(1 / 3)


def _prediction(logits: torch.Tensor, presence: float = 10.0) -> MaskPrediction:
    count, masks = logits.shape[:2]
    return MaskPrediction(
        logits, torch.full((count, masks), 0.5), torch.full((count, 1), presence), torch.zeros(1)
    )


def test_only_the_closest_mask_trains_its_shape() -> None:
    target = torch.zeros(1, 1, 4, 4)
    target[..., :2] = 1
    logits = torch.stack((4 * (target[0, 0] * 2 - 1), torch.zeros(4, 4), -4 * (target[0, 0] * 2 - 1)))[None]
    logits.requires_grad_()
    loss, closest = prediction_loss(_prediction(logits), target, LossWeights())
    loss.backward()
    assert closest.tolist() == [0]
    assert logits.grad is not None
    assert logits.grad[0, 0].abs().sum() > 0
    assert logits.grad[0, 1:].abs().sum() == 0


def test_an_absent_object_trains_presence_alone() -> None:
    logits = torch.zeros(1, 3, 4, 4, requires_grad=True)
    loss, _ = prediction_loss(_prediction(logits, presence=0.0), torch.zeros(1, 1, 4, 4), LossWeights())
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert logits.grad is not None
    assert logits.grad.abs().sum() == 0
