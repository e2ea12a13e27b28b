"""Sources of frames behind one interface, ``FrameSource``: read lazily, one frame at a time."""

from sam2_engine.frames.opening import open_frames
from sam2_engine.frames.source import FrameIndexError, FrameSource, UnreadableFrameError

__all__ = ["FrameIndexError", "FrameSource", "UnreadableFrameError", "open_frames"]
