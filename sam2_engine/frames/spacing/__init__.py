"""Sizes of pixels, distances of planes, intervals of frames as files say them, and how volumes lie."""

from sam2_engine.frames.spacing.values import Spacing, as_read, frame_interval, usable

__all__ = ["Spacing", "as_read", "frame_interval", "usable"]
