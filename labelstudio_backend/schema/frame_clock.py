"""Conversion between the frame numbers of Label Studio's page and those of a file."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource

__all__ = ["FrameClock"]

_SEEK_STEP = 0.002
"""Seconds: the page rounds to this step, and adds one, before it seeks."""
_BROWSER_STEP = 1e-6
"""Seconds: a browser counts in whole microseconds."""


@dataclass(frozen=True)
class FrameClock:
    """How Label Studio counts frames (from 1, at a rate of its own) and how the file does (from 0).

    The page knows nothing of a file's frames. For its frame N it seeks to ``(N - 1) / rate``, rounded to
    2 ms plus 2 ms, and the browser shows the last frame that has begun by then. (Source: ``goToFrame`` in
    Label Studio 1.23's VideoCanvas; checked by pixels in Chromium, which is one frame late at times where
    the frames of a file are very different in length.)

    Attributes
    ----------
    page_rate
        Frames per second of the page: the ``framerate`` of ``<Video>``.
    start_times
        Seconds at which each of the file's frames begins, ascending.
    duration
        Seconds until the last one ends.
    """

    page_rate: float
    start_times: Sequence[float]
    duration: float

    @classmethod
    def of(cls, frames: FrameSource, page_rate: float) -> "FrameClock":
        """Return the clock of a video, which is taken to run at the page's rate if it does not say."""
        rate, length = frames.fps or page_rate, len(frames)
        start_times = frames.timestamps or [number / rate for number in range(length)]
        last = start_times[-1] - start_times[-2] if length > 1 else 1 / rate
        return cls(page_rate, start_times, start_times[-1] + last)

    @property
    def page_frames(self) -> int:
        """Number of the last frame that the page shows."""
        return max(1, _rounded(self.duration * self.page_rate))

    def index(self, frame: int) -> int:
        """Return the file's frame that the page shows as its frame ``frame``."""
        return self.index_at(_rounded((frame - 1) / self.page_rate / _SEEK_STEP) * _SEEK_STEP + _SEEK_STEP)

    def index_at(self, seconds: float) -> int:
        """Return the file's frame that a browser shows at a time."""
        return max(0, bisect_right(self.start_times, seconds + _BROWSER_STEP) - 1)

    def page_frame(self, index: int) -> int:
        """Return the last of the page's frames that shows the file's frame ``index`` or one before it."""
        frame = int(self.start_times[index] * self.page_rate) + 1
        while frame > 1 and self.index(frame) > index:
            frame -= 1
        while frame < self.page_frames and self.index(frame + 1) <= index:
            frame += 1
        return min(frame, self.page_frames)

    def seconds(self, frame: int) -> float:
        """Return the ``time`` that the page writes for a frame."""
        return frame / self.page_rate

    def check(self, frame: int) -> None:
        """Refuse a frame that is beyond the video's end by more than a second.

        Raises
        ------
        InputError
            If it is.
        """
        if frame > self.page_frames + self.page_rate:
            raise InputError(
                f"A keyframe has the frame number {frame}, but at {self.page_rate:g} frames per second the "
                f"video ends with frame {self.page_frames}; draw it again, or set framerate in <Video> right."
            )


def _rounded(value: float) -> int:
    """Round as JavaScript does: halves up."""
    return math.floor(value + 0.5)
