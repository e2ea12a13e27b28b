"""Thresholds of automatic masks that fit a fine-tuned model, measured on held-out frames."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from sam2_engine.datasets import AnnotatedVideo
from sam2_engine.evaluation.metrics import mask_iou
from sam2_engine.masks import mask_stability
from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.training.fine_tuning.validation import click_objects, validation_frames

__all__ = ["fitting_thresholds", "with_measured_thresholds"]

_RIGHT = 0.5
"""A mask counts that overlaps its object by this IoU or more."""
_LEAST_MASKS = 10
_DROPPED = 10
"""Percent of these masks that a threshold drops."""
_STABILITY_OFFSET = 1.0


def fitting_thresholds(
    predicted_iou: Sequence[float],
    stability: Sequence[float],
    config: ModelConfig,
    strictest: ModelConfig | None = None,
) -> ModelConfig:
    """Return a configuration whose thresholds let nine of ten right masks pass, each by itself.

    They are never stricter than the official ones, nor than those of ``strictest``; with fewer than ten masks
    they stay as they are.

    Examples
    --------
    >>> from sam2_engine.modeling.config import VARIANTS
    >>> values = [0.5 + 0.01 * i for i in range(21)]
    >>> fitted = fitting_thresholds(values, [0.99] * 21, VARIANTS["nano"])
    >>> fitted.pred_iou_thresh, fitted.stability_score_thresh
    (0.52, 0.95)
    """
    if len(predicted_iou) < _LEAST_MASKS:
        return config
    most: list[type[ModelConfig] | ModelConfig] = [ModelConfig, *([] if strictest is None else [strictest])]
    products = [iou * stable for iou, stable in zip(predicted_iou, stability, strict=True)]
    return replace(
        config,
        pred_iou_thresh=min(_passed_by_most(predicted_iou), *(one.pred_iou_thresh for one in most)),
        stability_score_thresh=min(_passed_by_most(stability), *(one.stability_score_thresh for one in most)),
        confidence=min(_passed_by_most(products), *(one.confidence for one in most)),
    )


def _passed_by_most(values: Sequence[float]) -> float:
    """Return the hundredth below which one in ten of the values lies."""
    return float(np.floor(100 * np.percentile(values, _DROPPED) + 1e-4) / 100)


@torch.inference_mode()
def with_measured_thresholds(
    model: Sam2, videos: Sequence[AnnotatedVideo], validation: Sequence[Sequence[int]]
) -> ModelConfig:
    """Return the model's configuration with thresholds by its masks after one click on held-out objects.

    Where some of the objects are annotated, as in a data set of masklets, those are the ones that a model
    found surest. Stricter thresholds by them would lose the others, and more with every round of training, so
    there they are at most those that the model has.

    Parameters
    ----------
    model
        The model; it is put into evaluation mode.
    videos, validation
        As for ``validate``.
    """
    model.eval()
    predicted_iou: list[float] = []
    stability: list[float] = []
    for v, frame in validation_frames(videos, validation):
        clicked = click_objects(model, videos[v], frame)
        stable = mask_stability(torch.from_numpy(clicked.logits), _STABILITY_OFFSET)
        for i, truth in enumerate(clicked.ground_truth):
            if mask_iou(clicked.logits[i] > 0, truth) >= _RIGHT:
                predicted_iou.append(float(clicked.predicted_iou[i]))
                stability.append(float(stable[i]))
    annotates_all = all(videos[v].record.annotates_all for v, _ in validation_frames(videos, validation))
    return fitting_thresholds(predicted_iou, stability, model.config, None if annotates_all else model.config)
