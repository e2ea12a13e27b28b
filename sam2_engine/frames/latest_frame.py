"""Cache of the frame read last, for many readers that go through a source together."""

from typing import Any

from numpy.typing import NDArray

from sam2_engine.frames.derived_frames import DerivedFrames
from sam2_engine.frames.source import FrameSource

__all__ = ["LatestFrame"]


class LatestFrame(DerivedFrames):
    """Another source's frames; the one read last is cached."""

    def __init__(self, source: FrameSource) -> None:
        super().__init__(source)
        self._cached: tuple[int, NDArray[Any]] | None = None

    @classmethod
    def of(cls, source: FrameSource) -> FrameSource:
        """Return a source with the cache; a live stream has one already."""
        return source if source.length is None else cls(source)

    def _read(self, frame: int) -> NDArray[Any]:
        if self._cached is None or self._cached[0] != frame:
            self._cached = None  # never two at once
            self._cached = frame, self._source[frame]
        return self._cached[1]
