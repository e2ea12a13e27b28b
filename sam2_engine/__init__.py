"""Engine: SAM 2 as a library that segments any object in an image and tracks it through a video or a volume.

>>> from sam2_engine import VideoSession, load_model
>>> from sam2_engine.synthetic import moving_cells
>>> frames, _ = moving_cells(num_frames=3, size=64)  # or "cells.tif"
>>> session = VideoSession(load_model("nano", device="cpu", image_size=128), frames)
>>> result = session.add_points(frame=0, object_id=1, points=[[12, 20]])
>>> for result in session.propagate():
...     print(result.frame, result.object_ids, result.masks.shape)
0 (1,) (1, 64, 64)
1 (1,) (1, 64, 64)
2 (1,) (1, 64, 64)
"""

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.frames import FrameSource, open_frames
from sam2_engine.image.automatic_mask_generator import AutomaticMaskGenerator
from sam2_engine.image.predictor import ImagePredictor
from sam2_engine.modeling.config import VARIANTS, ModelConfig
from sam2_engine.preprocessing import IntensityWindow
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.session import VideoSession
from sam2_engine.weights.loading import load_model, save_model

__all__ = [
    "VARIANTS",
    "AutomaticMaskGenerator",
    "FeatureCache",
    "FrameResult",
    "FrameSource",
    "ImagePredictor",
    "InputError",
    "InputWarning",
    "IntensityWindow",
    "ModelConfig",
    "VideoSession",
    "load_model",
    "open_frames",
    "save_model",
]
