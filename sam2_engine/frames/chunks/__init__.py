"""Chunks of zarr stores, read with care: whole ones, of no more than their size, and which are written."""

from sam2_engine.frames.chunks.checking import open_node, with_checked_chunks
from sam2_engine.frames.chunks.written import unwritten_frames

__all__ = ["open_node", "unwritten_frames", "with_checked_chunks"]
