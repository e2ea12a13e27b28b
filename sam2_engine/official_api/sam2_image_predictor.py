"""The image predictor's official module name."""

from sam2_engine.official_api.image_predictor import SAM2ImagePredictor

__all__ = ["SAM2ImagePredictor"]
