"""Frames derived from another source, which has checked them already."""

from typing import Any

from numpy.typing import NDArray

from sam2_engine.frames.source import FrameSource

__all__ = ["CroppedFrames", "DerivedFrames"]


class DerivedFrames(FrameSource):
    """Another source's frames, transformed; ``shape`` if that changes their size."""

    def __init__(self, source: FrameSource, shape: tuple[int, int] | None = None) -> None:
        super().__init__(
            source.name,
            shape=source.shape if shape is None else shape,
            channels=source.channels,
            dtype=source.dtype,
            length=source.length,
            axes=source.axes,
            axis=source.axis,
            is_rgb=source.is_rgb,
            fps=source.fps,
            timestamps=source.timestamps,
            fill_values=source.fill_values,
            spacing=source.spacing,
        )
        self._source = source

    def __getitem__(self, frame: int) -> NDArray[Any]:
        """Return one frame; the source has checked its pixels."""
        return self._read(self._check_index(frame))


class CroppedFrames(DerivedFrames):
    """The same rows and columns of each of another source's frames.

    Parameters
    ----------
    source
        The whole frames; closing this leaves them open.
    rows, columns
        Rows and columns of each frame.
    """

    def __init__(self, source: FrameSource, rows: slice, columns: slice) -> None:
        super().__init__(source, (rows.stop - rows.start, columns.stop - columns.start))
        self._window = rows, columns

    def _read(self, frame: int) -> NDArray[Any]:
        return self._source[frame][self._window]
