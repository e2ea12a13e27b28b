"""API of facebookresearch/sam2, so that a script written for it runs with its imports changed.

``from sam2.X import Y`` becomes ``from sam2_engine.official_api.X import Y``. Every name answers as the
one of the official package 1.1.0 that it replaces, or refuses with a sentence; ``docs/official-api.md``
lists them.
"""

from sam2_engine.official_api.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2_engine.official_api.build_sam import (
    build_sam2,
    build_sam2_hf,
    build_sam2_video_predictor,
    build_sam2_video_predictor_hf,
)
from sam2_engine.official_api.image_predictor import SAM2ImagePredictor
from sam2_engine.official_api.video_predictor import SAM2VideoPredictor

__all__ = [
    "SAM2AutomaticMaskGenerator",
    "SAM2ImagePredictor",
    "SAM2VideoPredictor",
    "build_sam2",
    "build_sam2_hf",
    "build_sam2_video_predictor",
    "build_sam2_video_predictor_hf",
]
