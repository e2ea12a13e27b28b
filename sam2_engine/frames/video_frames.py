"""Frames of video files by PyAV, exactly: an index of time stamps, and one decoder per thread."""

import struct
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, dropwhile
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames.axes import sequence_axis
from sam2_engine.frames.source import FrameSource

__all__ = ["SAFE_OPTIONS", "VideoFrames"]

# Containers that may be opened: no playlists or text formats, which can make the library fetch other files.
_CONTAINERS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,asf,flv,ogg,gif,h264,hevc,m4v,mpegvideo,mjpeg,ivf,mxf,nut,dv"
)
SAFE_OPTIONS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
_RECENT_BYTES = 32 << 20
_THREADS = 4
_SEEK_ATTEMPTS = 4


@dataclass(frozen=True)
class _Index:
    """Time stamps of all frames in the order they are shown, and the frames that decoding can start at.

    ``times`` is ``None`` where a container's time stamps cannot be relied on; frames are then counted
    from the first.
    """

    length: int
    times: Sequence[int] | None = None
    starts: Sequence[int] = (0,)

    @classmethod
    def of(cls, path: Path) -> "_Index":
        with _open(path) as container:
            stream = container.streams.video[0]
            packets = [(p.pts, p.is_keyframe) for p in container.demux(stream) if p.size and not p.is_discard]
            reordered = stream.codec_context.has_b_frames > 0
            timed = container.format.name != "mpeg" and not (container.format.name == "avi" and reordered)
        times = sorted({time for time, _ in packets if time is not None})
        if not timed or len(times) != len(packets):
            with _open(path) as container:
                return cls(sum(1 for _ in container.decode(container.streams.video[0])))
        return cls(len(times), times, sorted(bisect_left(times, time) for time, is_key in packets if is_key))

    def seconds(self, tick: Any) -> Sequence[float] | None:
        """Return the time of each frame in seconds, for time stamps in ticks."""
        if self.times is None or not tick:
            return None
        return [float(time * tick) for time in self.times]

    def start_before(self, frame: int) -> int:
        """Return the latest frame at or before ``frame`` that decoding can start at."""
        position = bisect_right(self.starts, frame)
        return self.starts[position - 1] if position else 0


class _Decoder:
    """One container, open once it is read; reads forwards, and seeks only when it has to."""

    def __init__(self, path: Path, frame_index: _Index) -> None:
        self._path = path
        self._index = frame_index
        self._container: Any = None
        self._stream: Any = None
        self._converter: Any = None
        self._recent: OrderedDict[int, Any] = OrderedDict()
        self._decoded: Iterator[tuple[int, Any]] = iter(())
        self._next = 0
        self._from_first = True
        self.seeks = 0

    def read(self, frame: int) -> NDArray[Any]:
        """Return one frame upright, ``(H, W)`` gray or ``(H, W, 3)`` RGB, in 16 bits if it has them.

        Raises
        ------
        ValueError
            If it cannot be decoded.
        """
        return self._to_array(self.decode(frame))

    def decode(self, frame: int) -> Any:
        """Return one frame as PyAV has it, for who converts it otherwise.

        Raises
        ------
        ValueError
            If it cannot be decoded.
        """
        if frame in self._recent:
            return self._recent[frame]
        if self._container is None:
            self._rewind()
        if frame < self._next or self._index.start_before(frame) > self._next:
            self._seek(frame)
        if not self._advance_to(frame) and not self._from_first:
            self._rewind()  # the container's seeking cannot be trusted here
            self._advance_to(frame)
        if frame not in self._recent:
            self._next = self._index.length
            raise ValueError("its data cannot be decoded")
        return self._recent[frame]

    def _to_array(self, image: Any) -> NDArray[Any]:
        deep = max(component.bits for component in image.format.components) > 8
        if image.format.name.startswith("gray"):
            layout = "gray16le" if deep else "gray"
        else:
            layout = "rgb48le" if deep and image.format.is_rgb else "rgb24"
        # By one converter: each has threads and tables, and a frame's own would live as long as the frame.
        pixels = self._converter.reformat(image, format=layout, threads=1).to_ndarray()
        return np.ascontiguousarray(np.rot90(pixels, k=round(image.rotation / 90)))

    def _advance_to(self, frame: int) -> bool:
        """Decode up to ``frame``; the last few frames are cached, so that reading backwards is cheap."""
        for number, image in self._decoded:
            if number != self._next and not self._from_first:
                return False
            self._recent[number] = image
            self._next = number + 1
            while (
                len(self._recent) > 1 and len(self._recent) * image.width * image.height * 2 > _RECENT_BYTES
            ):
                self._recent.popitem(last=False)
            if number >= frame:
                break
        return frame in self._recent

    def _seek(self, frame: int) -> None:
        """Go to the latest frame at or before ``frame`` that decoding can start at."""
        self.seeks += 1
        start = self._index.start_before(frame)
        for _ in range(_SEEK_ATTEMPTS):
            if self._index.times is None or start == 0:
                break
            self._container.seek(self._index.times[start], stream=self._stream)
            # Frames shown before the first key frame may lack what they refer to.
            decoded = dropwhile(partial(_is_elsewhere, self._index.starts), self._numbered())
            first = next(decoded, None)
            if first is not None and first[0] <= frame:
                self._start(first[0], chain([first], decoded), from_first=False)
                return
            start = self._index.start_before(start - 1)
        self._rewind()

    def _rewind(self) -> None:
        self.close()
        self._container = _open(self._path)
        self._converter = _converter()
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = _THREADS
        self._start(0, self._numbered(), from_first=True)

    def _start(self, number: int, decoded: Iterator[tuple[int, Any]], *, from_first: bool) -> None:
        self._next, self._decoded, self._from_first = number, decoded, from_first
        self._recent.clear()

    def _numbered(self) -> Iterator[tuple[int, Any]]:
        return _numbered(self._container.decode(self._stream), self._index.times)

    def close(self) -> None:
        """Close the file and free all frames; reading opens it again."""
        self._decoded = iter(())
        self._recent.clear()
        self._stream = self._converter = None
        if self._container is not None:
            self._container.close()
            self._container = None


class _OfThread:
    """A decoder that is closed with the thread it belongs to: its file and threads refer to each other."""

    def __init__(self, decoder: _Decoder) -> None:
        self.decoder = decoder

    def __del__(self) -> None:
        self.decoder.close()


def _numbered(images: Iterable[Any], times: Sequence[int] | None) -> Iterator[tuple[int, Any]]:
    for count, image in enumerate(images):
        if times is None:
            yield count, image
        elif image.pts is not None:
            number = bisect_left(times, image.pts)
            if number < len(times) and times[number] == image.pts:
                yield number, image


def _is_elsewhere(starts: Collection[int], numbered: tuple[int, Any]) -> bool:
    return numbered[0] not in starts


def _open(path: Path) -> Any:
    try:
        import av
    except ImportError:
        raise InputError(
            f'{path.name} may be a video, which needs an extra package: pip install "sam2-plugins[video]".'
        ) from None
    # Titles and comments in another encoding than UTF-8 are no reason to refuse pixels.
    return av.open(str(path.absolute()), options=SAFE_OPTIONS, metadata_errors="replace")


def _converter() -> Any:
    from av.video.reformatter import VideoReformatter

    return VideoReformatter()


def _is_cut_off(path: Path) -> bool:
    """Whether an MP4 or QuickTime file ends before its last box (ISO 14496-12, section 4.2)."""
    size, position = path.stat().st_size, 0
    with path.open("rb") as file:
        while position + 16 <= size:
            file.seek(position)
            length, _, long_length = struct.unpack(">I4sQ", file.read(16))
            length = long_length if length == 1 else length
            if length < 8:  # 0: this box reaches to the end of the file
                return False
            position += length
    return position > size


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
                    raise InputError(f"{path.name} holds no images; give an image, a stack or a video.")
                rate, tick = container.streams.video[0].average_rate, container.streams.video[0].time_base
                if container.format.name.startswith("mov") and _is_cut_off(path):
                    raise InputError(f"{path.name} is cut off; copy or export it again.")
            self._index = _Index.of(path)
            if not self._index.length:
                raise InputError(
                    f"{path.name} is a video without a frame; it seems to be cut off, so copy it again."
                )
            decoder = _Decoder(path, self._index)
            first = decoder.read(0)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"{path.name} is neither an image, a stack nor a video that can be read; "
                "if it should be, export it again as TIFF, PNG or MP4."
            ) from error
        self.path = path
        self._local = threading.local()
        self._local.own = _OfThread(decoder)
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
            timestamps=self._index.seconds(tick),
        )

    @property
    def decoder(self) -> _Decoder:
        """The decoder of this thread, opened when it is first needed."""
        if not hasattr(self._local, "own"):
            self._local.own = _OfThread(_Decoder(self.path, self._index))
            self._decoders.add(self._local.own.decoder)
        decoder: _Decoder = self._local.own.decoder
        return decoder

    def _read(self, frame: int) -> NDArray[Any]:
        return self.decoder.read(frame)

    def close(self) -> None:
        """Close the decoders of all threads."""
        for decoder in list(self._decoders):
            decoder.close()
