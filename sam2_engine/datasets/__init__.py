"""Annotated images and videos for training and evaluation, one reader per format.

All are behind ``find_dataset`` but ``pair_videos``, for frames and masks that a user names.
"""

from sam2_engine.datasets.finding import AnnotatedData, find_dataset
from sam2_engine.datasets.frames_and_masks import pair_video, pair_videos
from sam2_engine.datasets.video import AnnotatedVideo, VideoRecord

__all__ = ["AnnotatedData", "AnnotatedVideo", "VideoRecord", "find_dataset", "pair_video", "pair_videos"]
