"""Our losses and clicks beside the official training code's on the same tensors."""

import json

import pytest
import torch
from make_loss_references import FILE, error_regions, tensors

from sam2_engine.modeling.sam2 import MaskPrediction
from sam2_engine.training.losses import LossWeights, object_losses, prediction_loss
from sam2_engine.training.simulated_prompts import correction_clicks

REFERENCE = json.loads(FILE.read_text())


@pytest.mark.parametrize("name", REFERENCE["losses"])
def test_losses_are_those_of_the_official_code(name: str) -> None:
    expected = REFERENCE["losses"][name]
    inputs = tensors(expected["seed"], expected["masks"])
    prediction = MaskPrediction(inputs["logits"], inputs["iou"], inputs["presence"], torch.zeros(1))
    losses = object_losses(prediction, inputs["target"], LossWeights())
    mask = 20 * expected["loss_mask"] + expected["loss_dice"]
    assert losses.mask.mean().item() == pytest.approx(mask, rel=1e-5)
    assert losses.iou.mean().item() == pytest.approx(expected["loss_iou"], rel=1e-5)
    assert losses.presence.mean().item() == pytest.approx(expected["loss_class"], rel=1e-5)
    total, _ = prediction_loss(prediction, inputs["target"], LossWeights())
    assert total.item() == pytest.approx(expected["core_loss"], rel=1e-5)


def test_clicks_are_those_of_the_official_code() -> None:
    ground_truth, predicted = error_regions()
    logits = predicted[:, 0].float() * 2 - 1
    points, labels = correction_clicks(
        logits, ground_truth[:, 0].float(), 1, torch.Generator().manual_seed(0)
    )
    assert points.round().int().tolist() == REFERENCE["clicks"]["points"]
    assert labels.tolist() == REFERENCE["clicks"]["labels"]


def test_clicks_are_spread_evenly_over_the_error() -> None:
    ground_truth = torch.zeros(4000, 8, 8)
    ground_truth[:, 2:4, 2:4] = 1
    predicted = torch.full_like(ground_truth, -1.0)
    predicted[:, 3, 3] = predicted[:, 6, 5] = 1.0
    points, labels = correction_clicks(predicted, ground_truth, 1, torch.Generator().manual_seed(0))
    positions, counts = torch.unique(points.round().int(), dim=0, return_counts=True)
    assert sorted(positions.tolist()) == [[2, 2], [2, 3], [3, 2], [5, 6]]
    assert (counts.float() / 4000 - 0.25).abs().max() < 0.03  # four standard deviations
    assert labels.float().mean().item() == pytest.approx(0.75, abs=0.03)
