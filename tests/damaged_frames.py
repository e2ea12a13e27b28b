"""Frames of which some cannot be read, as of a video with damaged data."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.frames import FrameSource


class DamagedFrames(FrameSource):
    """Frames, (T, H, W) or (T, H, W, 3); those of some numbers are refused with an error of a reader's."""

    def __init__(self, pixels: NDArray[Any], damaged: set[int], error: Exception | None = None) -> None:
        self.pixels, self.damaged = pixels, damaged
        self._error = error or ValueError("its data are torn")
        super().__init__(
            "damaged.mp4",
            shape=pixels.shape[1:3],
            channels=pixels.shape[3] if pixels.ndim == 4 else 1,
            dtype=np.dtype(pixels.dtype),
            length=len(pixels),
            axes="TYXS" if pixels.ndim == 4 else "TYX",
            is_rgb=pixels.ndim == 4,
        )

    def _read(self, frame: int) -> NDArray[Any]:
        if frame in self.damaged:
            raise self._error
        return self.pixels[frame]
