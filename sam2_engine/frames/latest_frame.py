"""Frames of which the one read last is remembered, for many readers that go through them together."""

from typing import Any

from numpy.typing import NDArray

from sam2_engine.frames.derived_frames import DerivedFrames
from sam2_engine.frames.source import FrameSource

__all__ = ["LatestFrame"]


class LatestFrame(DerivedFrames):
    """Another source's frames, each read only if it is not the one of the last time; one is ever held."""

    def __init__(self, source: FrameSource) -> None:
        super().__init__(source)
        self._held: tuple[int, NDArray[Any]] | None = None

    @classmethod
    def of(cls, source: FrameSource) -> FrameSource:
        """Return a source that remembers; a live stream does already."""
        return source if source.length is None else cls(source)

    def _read(self, frame: int) -> NDArray[Any]:
        if self._held is None or self._held[0] != frame:
            self._held = None  # never two at once
            self._held = frame, self._source[frame]
        return self._held[1]
