"""Losses and clicks of the official training code on seeded tensors, written to ``loss_references.json``.

Run where the package ``sam2`` 1.1.0 is installed, which brings its ``training``::

    python tests/engine/training/make_loss_references.py
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

FILE = Path(__file__).with_name("loss_references.json")
WEIGHTS = {"loss_mask": 20, "loss_dice": 1, "loss_iou": 1, "loss_class": 1}


def tensors(seed: int, masks: int) -> dict[str, torch.Tensor]:
    """Five objects, the fourth absent; ``masks`` predictions for each."""
    random = np.random.default_rng(seed)
    target = random.random((5, 1, 32, 32)) < 0.3
    target[3] = False
    near = np.where(target, 2.0, -2.0)
    values = {
        "logits": near * random.random((5, masks, 1, 1)) + random.normal(0, 2, (5, masks, 32, 32)),
        "iou": random.random((5, masks)),
        "presence": random.normal(0, 3, (5, 1)),
        "target": target,
    }
    return {name: torch.from_numpy(value.astype(np.float32)) for name, value in values.items()}


def error_regions() -> tuple[torch.Tensor, torch.Tensor]:
    """Ground truth and prediction, (4, 1, 16, 16) bool, that differ in one pixel at most.

    A missed pixel, a pixel too many, an extra pixel beside a hit, and nothing wrong but one pixel of
    background left.
    """
    ground_truth = torch.zeros(4, 1, 16, 16, dtype=torch.bool)
    predicted = ground_truth.clone()
    ground_truth[0, 0, 3, 7] = True
    predicted[1, 0, 12, 2] = True
    ground_truth[2, 0, 5, 5] = predicted[2, 0, 5, 5] = predicted[2, 0, 9, 14] = True
    ground_truth[3] = True
    ground_truth[3, 0, 8, 1] = False
    predicted[3] = ground_truth[3]
    return ground_truth, predicted


def main() -> None:
    # The losses need one name of the official trainer, which itself needs many packages.
    sys.modules["training.trainer"] = SimpleNamespace(CORE_LOSS_KEY="core_loss")  # type: ignore[assignment]
    from sam2.modeling.sam2_utils import sample_random_points_from_errors
    from training.loss_fns import MultiStepMultiMasksAndIous

    loss = MultiStepMultiMasksAndIous(
        WEIGHTS, supervise_all_iou=True, iou_use_l1_loss=True, pred_obj_scores=True
    )
    losses = {}
    for name, seed, masks in (("three masks", 1, 3), ("one mask", 2, 1)):
        inputs = tensors(seed, masks)
        outputs = {
            "multistep_pred_multimasks_high_res": [inputs["logits"]],
            "multistep_pred_ious": [inputs["iou"]],
            "multistep_object_score_logits": [inputs["presence"]],
        }
        result = loss([outputs], inputs["target"][:, 0][None])
        losses[name] = {"seed": seed, "masks": masks, **{key: float(value) for key, value in result.items()}}
    points, labels = sample_random_points_from_errors(*error_regions())
    content = {"losses": losses, "clicks": {"points": points[:, 0].tolist(), "labels": labels[:, 0].tolist()}}
    FILE.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
