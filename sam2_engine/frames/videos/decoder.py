"""Decoder of a video: reads forwards, seeks when it has to, refuses frames that damage may have changed."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain, dropwhile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.frames.videos.container import open_container, prepare, read_images
from sam2_engine.frames.videos.index import VideoIndex

__all__ = ["VideoDecoder"]

_RECENT_BYTES = 32 << 20
_SEEK_ATTEMPTS = 4
_WHOLE_GRAYS = ("gray9le", "gray10le", "gray12le", "gray14le")
"""Layouts of gray levels that are given as they are stored; converted, they would be multiplied."""


class VideoDecoder:
    """One container, open once it is read; any thread may close it, after the frame that another one reads.

    Attributes
    ----------
    index
        The video's index.
    seeks
        How often it had to seek.
    """

    def __init__(self, path: Path, stream_number: int, index: VideoIndex) -> None:
        self._path = path
        self._stream_number = stream_number
        self.index = index
        self._lock = threading.RLock()  # closed twice at a time, or while it decodes, it ends the process
        self._container: Any = None
        self._stream: Any = None
        self._converter: Any = None
        self._recent: OrderedDict[int, Any] = OrderedDict()
        self._decoded: Iterator[tuple[int, Any]] = iter(())
        self._start = 0
        self._next = 0
        self._damaged: set[int] = set()
        self._refused: dict[int, str] = {}
        self._tried: set[int] = set()
        self.seeks = 0

    def read(self, frame: int) -> NDArray[Any]:
        """Return one frame upright, ``(H, W)`` gray or ``(H, W, 3)`` RGB.

        Gray and RGB of more than 8 bits are uint16; other colors (YUV) are 8-bit RGB.

        Raises
        ------
        ValueError
            If it is missing, or its data, or those that it builds on, are damaged.
        """
        with self._lock:
            return self._to_array(self.decode(frame))

    def decode(self, frame: int) -> Any:
        """Return one frame as PyAV has it, for who converts it otherwise.

        Raises
        ------
        ValueError
            As :meth:`read`.
        """
        if frame not in self.index:
            raise ValueError("it is missing from the file")
        if self.index.builds_on_missing(frame):
            raise ValueError("it builds on a frame that is missing from the file")
        with self._lock:
            return self._decode(frame)

    def _decode(self, frame: int) -> Any:
        if frame in self._refused:
            raise ValueError(self._refused[frame])
        self._reach(frame)
        start = self.index.start_before(frame)
        if self._problem(frame) and start not in self._tried:
            # An error also takes what the decoder held at that time; and where seeking ends, a decoder may
            # lack what it needs. What stays damaged from its own start and from the one before, is.
            self._tried.add(start)
            for earlier in dict.fromkeys((start, self.index.start_before(start - 1))):
                if self._start != earlier and self._problem(frame):
                    self._seek(frame, earlier)
                    self._advance_to(frame)
        problem = self._problem(frame)
        if problem:
            self._refused[frame] = problem
            raise ValueError(problem)
        return self._recent[frame]

    def _problem(self, frame: int) -> str:
        if self.index.builds_on_any(frame, self._damaged | self.index.damaged):
            alone = frame in self._damaged or frame in self.index.damaged
            return "its data are damaged" if alone else "it builds on a frame whose data are damaged"
        return "" if frame in self._recent else "its data cannot be decoded"

    def _to_array(self, image: Any) -> NDArray[Any]:
        name = image.format.name
        deep = max(component.bits for component in image.format.components) > 8
        if name in _WHOLE_GRAYS:
            return self._upright(image.to_ndarray(), image)
        if name.startswith("gray"):
            layout = "gray16le" if deep else "gray"
        else:
            layout = "rgb48le" if deep and image.format.is_rgb else "rgb24"
        # By one converter: each has threads and tables, and a frame's own would live as long as the frame.
        return self._upright(self._converter.reformat(image, format=layout, threads=1).to_ndarray(), image)

    @staticmethod
    def _upright(pixels: NDArray[Any], image: Any) -> NDArray[Any]:
        return np.ascontiguousarray(np.rot90(pixels, k=round(image.rotation / 90)))

    def _reach(self, frame: int) -> None:
        """Decode until it is known whether a frame is damaged."""
        if self._container is None:
            self._rewind()
        start = self.index.start_before(frame)
        is_behind = frame < self._next and frame not in self._recent and frame not in self._damaged
        if is_behind or start > self._next:
            self._seek(frame, start)
        self._advance_to(frame)

    def _advance_to(self, frame: int) -> None:
        """Decode up to ``frame`` and all it may build on.

        The last few frames are cached, so that reading backwards is cheap.
        """
        last = self.index.needed_for(frame)
        while self._next <= last:
            number, image = next(self._decoded, (self.index.length, None))
            self._damaged.update(range(self._next, number))  # the decoder gives none of them
            self._next = max(self._next, number + 1)
            if image is None:
                return
            self._damaged.discard(number)
            if image.is_corrupt:
                self._damaged.add(number)
            self._recent[number] = image
            size = image.width * image.height * 2
            while len(self._recent) > 1 and len(self._recent) * size > _RECENT_BYTES:
                if next(iter(self._recent)) == frame:  # it is waited for
                    break
                self._recent.popitem(last=False)

    def _seek(self, frame: int, start: int) -> None:
        """Go to ``start``, or if the container does not, to an earlier frame that decoding can start at."""
        self.seeks += 1
        for _ in range(_SEEK_ATTEMPTS):
            if self.index.times is None or start == 0:
                break
            self._container.seek(self.index.time_of(start), stream=self._stream)
            # Frames shown before the first key frame may lack what they refer to.
            decoded = dropwhile(lambda one: not self.index.is_start(one[0]), self._numbered())
            first = next(decoded, None)
            if first is not None and first[0] <= frame:
                self._begin(first[0], chain([first], decoded))
                return
            start = self.index.start_before(start - 1)
        self._rewind()

    def _rewind(self) -> None:
        from av.video.reformatter import VideoReformatter

        self.close()
        self._container = open_container(self._path)
        self._converter = VideoReformatter()
        self._stream = prepare(self._container.streams.video[self._stream_number])
        self._begin(0, self._numbered())

    def _begin(self, number: int, decoded: Iterator[tuple[int, Any]]) -> None:
        self._start = self._next = number
        self._decoded = decoded
        self._recent.clear()
        self._damaged.clear()

    def _numbered(self) -> Iterator[tuple[int, Any]]:
        images = read_images(self._container, self._stream, self.index.time_at)
        count = 0
        for image in images:
            if image is None:
                continue
            if self.index.times is None:
                yield count, image
                count += 1
            elif image.pts is not None:
                number = self.index.number_at(image.pts)
                if number is not None:
                    yield number, image

    def close(self) -> None:
        """Close the file and free all frames; reading opens it again."""
        with self._lock:
            self._decoded = iter(())
            self._recent.clear()
            self._stream = self._converter = None
            if self._container is not None:
                self._container.close()
                self._container = None
