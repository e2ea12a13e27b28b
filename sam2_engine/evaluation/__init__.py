"""Evaluation on annotated data: metrics, protocols with a simulated user, and baselines."""

from sam2_engine.evaluation.interactive_protocol import MAX_PROMPTED_FRAMES
from sam2_engine.evaluation.labeled_sequence import (
    LabeledSequence,
    labeled_sequences,
    read_sequence,
    read_sequences,
)
from sam2_engine.evaluation.metrics import boundary_f, mask_iou
from sam2_engine.evaluation.runner import PROTOCOLS, check_installed, evaluate
from sam2_engine.evaluation.scores import MaskScore, MethodResult
from sam2_engine.evaluation.video_protocol import PROMPTS

__all__ = [
    "MAX_PROMPTED_FRAMES",
    "PROMPTS",
    "PROTOCOLS",
    "LabeledSequence",
    "MaskScore",
    "MethodResult",
    "boundary_f",
    "check_installed",
    "evaluate",
    "labeled_sequences",
    "mask_iou",
    "read_sequence",
    "read_sequences",
]
