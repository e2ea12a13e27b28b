"""Frames of a live stream: from any iterator, as they come, with the latest ones buffered."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn, SupportsIndex

from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames.axes import sequence_axis
from sam2_engine.frames.pixels import image_array, object_note
from sam2_engine.frames.source import FrameIndexError, FrameSource, explain
from sam2_engine.wording import counted

__all__ = ["LiveFrames"]


class LiveFrames(FrameSource):
    """Frames of a camera or any other iterator of images; they can be read forwards, and shortly back.

    Parameters
    ----------
    stream
        Yields images of one size and type, ``(H, W)`` or ``(H, W, C)``. The first is taken at once.
    buffer_size
        Number of latest frames that can be read again.
    """

    def __init__(
        self,
        stream: Iterable[Any],
        *,
        axes: str | None = None,
        channel: int | None = None,
        buffer_size: int = 16,
    ) -> None:
        name = "The live stream"
        self._stream: Iterator[Any] = iter(stream)
        self._buffer: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._buffer_size = buffer_size
        self._count = 0
        self._lock = threading.Lock()
        try:
            first = self._take()
        except StopIteration:
            raise InputError("The live stream ended before its first frame.") from None
        channels = first.shape[2] if first.ndim == 3 else 1
        super().__init__(
            name,
            shape=first.shape[:2],
            channels=channels,
            dtype=first.dtype,
            length=None,
            axes="T" + ("YXS" if first.ndim == 3 else "YX"),
            axis=sequence_axis(name, axes),
            is_rgb=channels in (3, 4),
            channel=channel,
            note=self._first_note,
        )
        self._layout = first.shape, first.dtype
        self._add(first)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse: what has come does not come again."""
        raise InputError(
            "A live stream cannot be copied or pickled, as its frames come only once: copy the session, "
            "which shares the stream, or record it to a file and open that."
        )

    def _take(self) -> NDArray[Any]:
        item = next(self._stream)
        try:
            pixels = image_array(item)
        except Exception as error:  # of any library
            reason = explain(error)
            raise InputError(f"Frame {self._count} of the live stream cannot be used: {reason}.") from error
        if not self._count:
            self._first_note = object_note(item)
        return pixels

    def _add(self, pixels: NDArray[Any]) -> None:
        if (pixels.shape, pixels.dtype) != self._layout:
            raise InputError(
                f"Frame {self._count} of the live stream is {pixels.shape} {pixels.dtype}, but the first was "
                f"{self._layout[0]} {self._layout[1]}; frames must all be alike."
            )
        self._buffer[self._count] = pixels
        self._count += 1
        if len(self._buffer) > self._buffer_size:
            self._buffer.popitem(last=False)

    def __getitem__(self, frame: int) -> NDArray[Any]:
        """Return one frame, waited for if it has not come yet; the stream's own errors pass through."""
        number = self._check_index(frame)
        with self._lock:
            while number >= self._count:
                try:
                    pixels = self._take()
                except StopIteration:
                    self.length = self._count
                    ended = f"The live stream ended after {counted(self._count, 'frame')}."
                    raise FrameIndexError(ended) from None
                self._add(pixels)
            pixels = self._read(number)
        return self._finish(number, pixels)

    def _read(self, frame: int) -> NDArray[Any]:
        if frame not in self._buffer:
            raise FrameIndexError(
                f"Frame {frame} of the live stream is no longer held; only the latest "
                f"{self._buffer_size} are."
            )
        return self._buffer[frame]
