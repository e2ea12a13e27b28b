"""Frames of video files by PyAV, exactly: an index of time stamps, and one decoder per thread."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakSet

from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames.axes import sequence_axis
from sam2_engine.frames.series import Series
from sam2_engine.frames.source import FrameSource, explain
from sam2_engine.frames.videos.container import choose_stream, is_cut_off, open_container
from sam2_engine.frames.videos.decoder import VideoDecoder
from sam2_engine.frames.videos.index import VideoIndex
from sam2_engine.frames.videos.scanning import scan
from sam2_engine.wording import counted

__all__ = ["VideoFrames"]


class _OfThread:
    """A decoder that is closed with the thread it belongs to: its file and threads refer to each other."""

    def __init__(self, decoder: VideoDecoder) -> None:
        self.decoder = decoder

    def __del__(self) -> None:
        self.decoder.close()


class VideoFrames(FrameSource):
    """Frames of a video file, in the order they are shown; each thread that reads has its own decoder.

    Frames that are missing keep their numbers where the time stamps tell them, and are refused when they are
    read, as are damaged ones and those that build on them.

    Attributes
    ----------
    first_readable
        Number of the first frame that is neither missing nor damaged.
    """

    def __init__(
        self,
        path: Path,
        *,
        axes: str | None = None,
        channel: int | None = None,
        fixed: Mapping[str, int] | None = None,
        series: Series = None,
    ) -> None:
        axis = sequence_axis(path.name, axes, fixed)
        try:
            with open_container(path) as container:
                if not container.streams.video and is_cut_off(path):
                    raise _cut_off(path)
                number, others = choose_stream(container, path.name, series)
                rate = container.streams.video[number].average_rate
                tick = container.streams.video[number].time_base
            decoder, self.first_readable = _open_decoder(path, number)
            image = decoder.decode(self.first_readable)
            first = decoder.read(self.first_readable)
        except InputError:
            raise
        except Exception as error:
            if is_cut_off(path):
                raise _cut_off(path) from error
            raise InputError(
                f"{path.name} is neither an image, a stack nor a video that can be read; "
                "if it should be, export it again as TIFF, PNG or MP4."
            ) from error
        self.path = path
        self._stream_number = number
        self._index = decoder.index
        self._local = threading.local()
        self._local.own = _OfThread(decoder)
        self._decoders, self._decoders_lock = WeakSet([decoder]), threading.Lock()
        bits = max(component.bits for component in image.format.components)
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
            note="; ".join(
                part
                for part in (
                    others,
                    f"{bits} bits read as 8" if bits > 8 * first.dtype.itemsize else "",
                    self._index.note,
                )
                if part
            ),
        )

    @property
    def decoder(self) -> VideoDecoder:
        """The decoder of this thread, opened when it is first needed."""
        if not hasattr(self._local, "own"):
            self._local.own = _OfThread(VideoDecoder(self.path, self._stream_number, self._index))
            with self._decoders_lock:
                self._decoders.add(self._local.own.decoder)
        decoder: VideoDecoder = self._local.own.decoder
        return decoder

    def decode(self, frame: int) -> Any:
        """Return one frame as PyAV has it, for who converts it otherwise.

        Raises
        ------
        InputError
            If there is no such frame, or it is missing or damaged.
        """
        number = self._check_index(frame)
        try:
            return self.decoder.decode(number)
        except ValueError as error:
            raise self._unreadable(number, explain(error)) from error

    def _read(self, frame: int) -> NDArray[Any]:
        return self.decoder.read(frame)

    def close(self) -> None:
        """Close the decoders of all threads."""
        with self._decoders_lock:  # a thread that begins to read adds its own
            decoders = list(self._decoders)
        for decoder in decoders:
            decoder.close()


def _open_decoder(path: Path, number: int) -> tuple[VideoDecoder, int]:
    """Return a decoder and the first frame that it can read; a beginning that nobody could read is cut."""
    index = scan(path, number)
    decoder = VideoDecoder(path, number, index)
    first = _first_readable(decoder, index)
    if first is None:
        decoder.close()
        if is_cut_off(path):
            raise _cut_off(path)
        raise InputError(f"{path.name} is a video without a frame that can be read; copy or export it again.")
    if 0 < first <= index.first_start and not index.losses and not index.damaged:
        decoder.close()
        built = "builds" if first == 1 else "build"
        note = (
            f"left out: the first {counted(first, 'frame')}, which {built} on others that are not in the file"
        )
        index, first = index.begun_at(first, note), 0
        decoder = VideoDecoder(path, number, index)
    return decoder, first


def _first_readable(decoder: VideoDecoder, index: VideoIndex) -> int | None:
    for frame in index.numbers:
        try:
            decoder.decode(frame)
        except ValueError:
            continue
        return frame
    return None


def _cut_off(path: Path) -> InputError:
    return InputError(
        f"{path.name} is cut off, and without what is missing no frame can be read; copy or export it again."
    )
