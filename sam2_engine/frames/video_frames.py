"""Video files by PyAV, any frame exactly: an index of time stamps, and one decoder per thread."""

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames.axes import sequence_axis
from sam2_engine.frames.source import FrameSource, explain

__all__ = ["VideoFrames"]

# Containers that may be opened: no playlists or text formats, which can make the library fetch other files.
_CONTAINERS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,asf,flv,ogg,gif,h264,hevc,m4v,mpegvideo,mjpeg,ivf,mxf,nut,dv"
)
_OPTIONS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
_RECENT_BYTES = 32 << 20
_THREADS = 4


@dataclass(frozen=True)
class _Index:
    """Time stamps of all frames in the order they are shown, and of those that decoding can start at.

    ``times`` is ``None`` where the container has none to rely on (raw streams; B frames in AVI);
    frames are then counted from the start.
    """

    length: int
    times: Sequence[int] | None = None
    starts: Sequence[int] = ()

    @classmethod
    def of(cls, path: Path) -> "_Index":
        with _open(path) as container:
            stream = container.streams.video[0]
            packets = [(p.pts, p.is_keyframe) for p in container.demux(stream) if p.size and not p.is_discard]
            reordered_avi = container.format.name == "avi" and stream.codec_context.has_b_frames
        times = sorted({time for time, _ in packets if time is not None})
        if reordered_avi or len(times) != len(packets):
            with _open(path) as container:
                return cls(sum(1 for _ in container.decode(container.streams.video[0])))
        return cls(len(times), times, sorted(time for time, is_start in packets if is_start))

    def start_before(self, frame: int) -> int:
        """Return the number of the latest frame at or before ``frame`` that decoding can start at."""
        if self.times is None:
            return 0
        place = bisect_right(self.starts, self.times[frame])
        return bisect_left(self.times, self.starts[place - 1]) if place else 0


class _Decoder:
    """One open container; reads forwards, and seeks only when it has to."""

    def __init__(self, path: Path, frame_index: _Index) -> None:
        self._path = path
        self._index = frame_index
        self._container: Any = None
        self._stream: Any = None
        self._frames: Iterator[tuple[int, Any]] = iter(())
        self._next = frame_index.length
        self._recent: OrderedDict[int, Any] = OrderedDict()
        self.seeks = 0
        self._rewind()

    def read(self, frame: int) -> Any:
        """Return one decoded frame."""
        if frame in self._recent:
            return self._recent[frame]
        if frame < self._next or self._index.start_before(frame) > self._next:
            self._seek(frame)
        for number, picture in self._frames:
            self._keep(number, picture)
            self._next = number + 1
            if number == frame:
                return picture
            if number > frame:
                break
        self._next = self._index.length
        raise ValueError("its data cannot be decoded")

    def _keep(self, number: int, picture: Any) -> None:
        """Hold the last few pictures, so that walking backwards does not decode from the start each time."""
        self._recent[number] = picture
        while (
            len(self._recent) * picture.width * picture.height * 2 > _RECENT_BYTES and len(self._recent) > 1
        ):
            self._recent.popitem(last=False)

    def _seek(self, frame: int) -> None:
        self.seeks += 1
        self._recent.clear()
        times = self._index.times
        start = self._index.start_before(frame)
        while times is not None and start > 0:
            self._container.seek(times[start], stream=self._stream)
            self._frames = self._numbered(start)
            first = next(self._frames, None)
            if first is not None and first[0] == start:
                self._frames = chain([first], self._frames)
                self._next = start
                return
            start = self._index.start_before(start - 1)
        self._rewind()

    def _rewind(self) -> None:
        self.close()
        self._container = _open(self._path)
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = _THREADS
        self._frames = self._numbered(0)
        self._next = 0

    def _numbered(self, start: int) -> Iterator[tuple[int, Any]]:
        """Decode on; pictures before ``start`` are left out, as they may lack what they refer to."""
        times = self._index.times
        for count, picture in enumerate(self._container.decode(self._stream)):
            if times is None:
                yield count, picture
                continue
            number = bisect_left(times, picture.pts)
            if number >= start and number < len(times) and times[number] == picture.pts:
                yield number, picture

    def close(self) -> None:
        if self._container is not None:
            self._container.close()


def _open(path: Path) -> Any:
    try:
        import av
    except ImportError:
        raise InputError(
            f'{path.name} may be a video, which needs an extra package: pip install "sam2-plugins[video]".'
        ) from None
    return av.open(str(path.absolute()), options=_OPTIONS)


def _to_array(picture: Any) -> NDArray[Any]:
    """Return a decoded picture upright, ``(H, W)`` grey or ``(H, W, 3)`` RGB, in 16 bits if it has them."""
    deep = max(component.bits for component in picture.format.components) > 8
    if picture.format.name.startswith("gray"):
        layout = "gray16le" if deep else "gray"
    else:
        layout = "rgb48le" if deep and picture.format.is_rgb else "rgb24"
    pixels = picture.to_ndarray(format=layout)
    return np.ascontiguousarray(np.rot90(pixels, k=round(picture.rotation / 90)))


class VideoFrames(FrameSource):
    """Frames of a video file, in the order they are shown; each thread that reads has its own decoder."""

    def __init__(
        self,
        path: Path,
        *,
        axes: str | None = None,
        channel: int | None = None,
        fixed: Mapping[str, int] | None = None,
    ) -> None:
        axis = sequence_axis(path.name, axes, fixed)
        try:
            with _open(path) as container:
                if not container.streams.video:
                    raise InputError(f"{path.name} holds no pictures; give an image, a stack or a video.")
                rate = container.streams.video[0].average_rate
            self._index = _Index.of(path)
            if not self._index.length:
                raise InputError(
                    f"{path.name} is a video without a frame; it seems to be cut off, so copy it again."
                )
            decoder = _Decoder(path, self._index)
            first = _to_array(decoder.read(0))
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"{path.name} is neither an image, a stack nor a video that can be read ({explain(error)})."
            ) from error
        self._path = path
        self._local = threading.local()
        self._local.decoder = decoder
        self._decoders = WeakSet([decoder])
        super().__init__(
            path.name,
            shape=first.shape[:2],
            channels=first.shape[2] if first.ndim == 3 else 1,
            dtype=first.dtype,
            length=self._index.length,
            axes=axis + ("YXS" if first.ndim == 3 else "YX"),
            axis=axis,
            is_rgb=first.ndim == 3,
            channel=channel,
            fps=float(rate) if rate else None,
        )

    def _read(self, frame: int) -> NDArray[Any]:
        decoder = getattr(self._local, "decoder", None)
        if decoder is None:
            decoder = self._local.decoder = _Decoder(self._path, self._index)
            self._decoders.add(decoder)
        return _to_array(decoder.read(frame))

    def close(self) -> None:
        """Close the decoders of all threads."""
        for decoder in list(self._decoders):
            decoder.close()
