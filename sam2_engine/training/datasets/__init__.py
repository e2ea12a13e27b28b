"""Annotated pictures and videos to learn from: one reader per format, all behind ``find_dataset``."""

from sam2_engine.training.datasets.finding import AnnotatedData, find_dataset
from sam2_engine.training.datasets.video import AnnotatedVideo

__all__ = ["AnnotatedData", "AnnotatedVideo", "find_dataset"]
