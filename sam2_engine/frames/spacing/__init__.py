"""Sizes of pixels, distances of planes and intervals of frames, as files say them, in known units."""

from sam2_engine.frames.spacing.values import Spacing, as_read, frame_interval, usable

__all__ = ["Spacing", "as_read", "frame_interval", "usable"]
