"""Frames of animated images (GIF, APNG, WebP, AVIF, ...), composed as viewers show them."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.frames.axes import sequence_axis
from sam2_engine.frames.images.decoding import ImageDecoder
from sam2_engine.frames.images.timing import Timing, timing_of
from sam2_engine.frames.source import FrameSource
from sam2_engine.wording import counted

__all__ = ["AnimatedImageFrames"]

_RECENT_BYTES = 64 << 20


class AnimatedImageFrames(FrameSource):
    """Images of one file in the order they are shown.

    A frame builds upon those before it, so reading goes forwards; the latest frames are cached, and what
    lies further back is decoded again from the first.
    """

    def __init__(
        self,
        decoder: ImageDecoder,
        *,
        axes: str | None = None,
        channel: int | None = None,
        fixed: Mapping[str, int] | None = None,
    ) -> None:
        self._path = decoder.path
        self._labels = decoder.labels
        self._decoder: ImageDecoder | None = decoder
        self._lock = threading.Lock()
        self._recent: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._next = 0
        axis = sequence_axis(self._path.name, axes, fixed)
        first = decoder.read()
        self._is_color = first.ndim == 3 or decoder.kind == "GIF"
        timing = timing_of(self._path, decoder.kind) or decoder.timing
        length = min(decoder.num_images, len(timing.durations) or 1) if timing else decoder.num_images
        super().__init__(
            self._path.name,
            shape=first.shape[:2],
            channels=3 if self._is_color else 1,
            dtype=first.dtype,
            length=length,
            axes=axis + ("YXS" if self._is_color else "YX"),
            axis=axis,
            is_rgb=self._is_color,
            channel=channel,
            fps=timing.fps if timing and timing.durations else None,
            timestamps=timing.timestamps[:length] if timing else None,
            note="; ".join(part for part in (decoder.note, _left_out(length, timing)) if part),
        )

    def _read(self, frame: int) -> NDArray[Any]:
        with self._lock:
            if frame not in self._recent:
                self._decode_up_to(frame)
            return self._recent[frame]

    def _decode_up_to(self, frame: int) -> None:
        if self._decoder is None or frame < self._next:
            self._reopen()
        assert self._decoder is not None
        for number in range(self._next, frame + 1):
            pixels = self._decoder.read(number)
            if self._is_color and pixels.ndim == 2:
                pixels = np.stack([pixels] * 3, axis=-1)
            pixels = pixels[: self.shape[0], : self.shape[1]]  # a frame may reach beyond the image
            self._recent[number], self._next = pixels, number + 1
            while len(self._recent) > 1 and len(self._recent) * pixels.nbytes > _RECENT_BYTES:
                self._recent.popitem(last=False)

    def _reopen(self) -> None:
        """Start from the first image; the library's own way back has failed for some files."""
        self._drop()
        self._decoder = ImageDecoder(self._path, labels=self._labels)

    def _drop(self) -> None:
        self._recent.clear()
        self._next = 0
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None

    def close(self) -> None:
        """Close the file; reading opens it again."""
        with self._lock:
            self._drop()


def _left_out(length: int, timing: Timing | None) -> str:
    """Say what of the frames that a file promises or holds is not read."""
    if timing is None:
        return ""
    notes = []
    if timing.promised is not None and timing.promised > length:
        notes.append(f"{length} of the {counted(timing.promised, 'frame')} that the file promises are in it")
    elif len(timing.durations) > length:
        notes.append(f"{length} of the {len(timing.durations)} frames in the file, as many as it promises")
    if timing.is_cut_off:
        notes.append("the file is cut off")
    if timing.overhangs:
        notes.append("what lies beyond the image's declared size is cut off")
    return "; ".join(notes)
