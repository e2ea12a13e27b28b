"""API of facebookresearch/sam2, so that a script written for it runs with its imports changed.

All of it is thin over the engine. Where the official package loses prompts, fails or shows masks of
objects before their first prompt, the engine's behavior applies.
"""

from sam2_engine.official_api.build_sam import build_sam2, build_sam2_hf
from sam2_engine.official_api.image_predictor import SAM2AutomaticMaskGenerator, SAM2ImagePredictor
from sam2_engine.official_api.video_predictor import (
    InferenceState,
    SAM2VideoPredictor,
    build_sam2_video_predictor,
    build_sam2_video_predictor_hf,
)

__all__ = [
    "InferenceState",
    "SAM2AutomaticMaskGenerator",
    "SAM2ImagePredictor",
    "SAM2VideoPredictor",
    "build_sam2",
    "build_sam2_hf",
    "build_sam2_video_predictor",
    "build_sam2_video_predictor_hf",
]
