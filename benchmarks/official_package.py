"""The official package on a CPU, for the benchmarks that run it in a virtual environment of its own.

How to make that environment is told in ``tests/engine/parity/make_references.py``. PyPI's torchvision
is a CUDA build, whose compiled part is neither loaded nor needed here.
"""

import logging
import sys
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "engine" / "parity"))

from make_references import CONFIGS, declare_torchvision_operators, seed_model

warnings.filterwarnings("ignore")
logging.disable(logging.INFO)
# Where there is a GPU, torchvision has its own.
declared = None if torch.cuda.is_available() else declare_torchvision_operators()


def build(variant: str, image_size: int) -> tuple[object, object]:
    """Return the official image and video predictors with seeded weights."""
    from sam2.build_sam import build_sam2_video_predictor
    from sam2.sam2_image_predictor import SAM2ImagePredictor

    overrides = [f"++model.image_size={image_size}"]
    video = build_sam2_video_predictor(CONFIGS[variant], None, "cpu", hydra_overrides_extra=overrides)
    seed_model(video, 6.0)
    return SAM2ImagePredictor(video), video


def open_video(predictor: object, frames: Iterable[np.ndarray]) -> dict:
    """Let the official predictor open a video: it reads a folder of JPEG files, and keeps every frame."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        for number, frame in enumerate(frames):
            Image.fromarray(frame).save(Path(folder) / f"{number:05d}.jpg")
        return predictor.init_state(folder)
