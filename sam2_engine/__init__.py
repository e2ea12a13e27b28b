"""SAM 2 as a library: segment any object in an image, and track it through a video or a volume.

Examples
--------
A disc that moves to the right. A path such as ``"cells.tif"`` may stand in place of the array; at an input of
256 pixels, instead of 512, the model is fast and coarse.

>>> import numpy as np
>>> from sam2_engine import VideoSession, load_model
>>> y, x = np.ogrid[:64, :80]
>>> frames = np.uint8([200 * (np.hypot(x - 30 - 4 * t, y - 32) < 12) for t in range(3)])
>>> session = VideoSession(load_model("nano", image_size=256), frames)
>>> clicked = session.add_points(frame=0, object_id=1, points=(30, 32))
>>> for result in session.propagate():
...     print(result.frame, result.object_ids, result.masks.shape)
0 (1,) (1, 64, 80)
1 (1,) (1, 64, 80)
2 (1,) (1, 64, 80)

Names are loaded when they are first asked for: PyTorch takes seconds, which ``sam2 --help`` need not.
"""

from typing import TYPE_CHECKING

from sam2_engine.lazy_names import lazy_names

if TYPE_CHECKING:
    from sam2_engine.errors import InputError, InputWarning
    from sam2_engine.feature_cache import FeatureCache
    from sam2_engine.frames import FrameSource, open_frames
    from sam2_engine.image.automatic_mask_generator import AutomaticMaskGenerator
    from sam2_engine.image.predictor import ImagePredictor
    from sam2_engine.modeling.config import VARIANTS, ModelConfig
    from sam2_engine.preprocessing import IntensityWindow
    from sam2_engine.video.frame_result import FrameResult
    from sam2_engine.video.video_session import VideoSession
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

_MODULES = {
    "VARIANTS": "sam2_engine.modeling.config",
    "AutomaticMaskGenerator": "sam2_engine.image.automatic_mask_generator",
    "FeatureCache": "sam2_engine.feature_cache",
    "FrameResult": "sam2_engine.video.frame_result",
    "FrameSource": "sam2_engine.frames",
    "ImagePredictor": "sam2_engine.image.predictor",
    "InputError": "sam2_engine.errors",
    "InputWarning": "sam2_engine.errors",
    "IntensityWindow": "sam2_engine.preprocessing",
    "ModelConfig": "sam2_engine.modeling.config",
    "VideoSession": "sam2_engine.video.video_session",
    "load_model": "sam2_engine.weights.loading",
    "open_frames": "sam2_engine.frames",
    "save_model": "sam2_engine.weights.loading",
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
