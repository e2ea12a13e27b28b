"""Frames of which the one read last is remembered, for many readers that go through them together."""

from typing import Any

from numpy.typing import NDArray

from sam2_engine.frames.source import FrameSource

__all__ = ["LatestFrame"]


class LatestFrame(FrameSource):
    """Another source's frames; only one is ever held."""

    def __init__(self, source: FrameSource) -> None:
        super().__init__(
            source.name,
            shape=source.shape,
            channels=source.channels,
            dtype=source.dtype,
            length=source.length,
            axes=source.axes,
            axis=source.axis,
            is_rgb=source.is_rgb,
            fps=source.fps,
        )
        self._source = source
        self._held: tuple[int, NDArray[Any]] | None = None

    @classmethod
    def of(cls, source: FrameSource) -> FrameSource:
        """Return a source that remembers; a live stream does already."""
        return source if source.length is None else cls(source)

    def __getitem__(self, frame: int) -> NDArray[Any]:
        """Return one frame, read only if it is not the one of the last time."""
        number = self._check_index(frame)
        if self._held is None or self._held[0] != number:
            self._held = None  # never two at once
            self._held = number, self._source[number]
        return self._held[1]

    def _read(self, frame: int) -> NDArray[Any]:
        return self._source[frame]
