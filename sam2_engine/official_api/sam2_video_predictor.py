"""The video predictor's official module name."""

from sam2_engine.official_api.video_predictor import SAM2VideoPredictor, SAM2VideoPredictorVOS

__all__ = ["SAM2VideoPredictor", "SAM2VideoPredictorVOS"]
