"""Frames of a session as the model sees them: read, hashed, sent to its device and encoded."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from sam2_engine.errors import InputError
from sam2_engine.feature_cache import FeatureCache, feature_key
from sam2_engine.frames import FrameSource
from sam2_engine.modeling.sam2 import ImageFeatures, Sam2
from sam2_engine.preprocessing import IntensityWindow, Region, to_model_input

__all__ = ["FrameEncoder"]


@dataclass(frozen=True, eq=False)
class _SeenFrame:
    """What the model sees of a frame: its pixels, hashed, and as its input if that is made already."""

    frame: int
    pixels: NDArray[Any]
    hashed: "hashlib.blake2b"
    inputs: Tensor | None = None


class FrameEncoder:
    """Encodes frames, and prepares the next one while a GPU is busy with another.

    Parameters
    ----------
    model, frames, window, region, cache
        Those of the session.
    """

    def __init__(
        self,
        model: Sam2,
        frames: FrameSource,
        window: IntensityWindow | None,
        region: Region | None,
        cache: FeatureCache,
    ) -> None:
        self.model = model
        self.frames = frames
        self.window = window
        self.region = region
        self.cache = cache
        self._ahead: _SeenFrame | None = None

    @torch.inference_mode()
    def encode(self, frame: int) -> ImageFeatures:
        """Return the features of a frame."""
        ahead, self._ahead = self._ahead, None
        seen = ahead if ahead is not None and ahead.frame == frame else self._see(frame)

        def encode() -> ImageFeatures:
            inputs = self._inputs(seen) if seen.inputs is None else seen.inputs
            with self.model.autocast():
                return self.model.encode_image(inputs)

        return self.cache.get_or_encode(self._key(seen), self.model, encode)

    @torch.inference_mode()
    def look_ahead(self, frame: int) -> None:
        """Read, hash and send the frame that is encoded next, which a GPU does not have to wait for then.

        What is wrong with it is said when it is its turn. A live stream has no next frame yet.
        """
        has_it = self.frames.length is not None and 0 <= frame < self.frames.length
        if self.model.device.type == "cpu" or not has_it:
            return
        with suppress(InputError):
            seen = self._see(frame)
            self._ahead = seen if self._key(seen) in self.cache else replace(seen, inputs=self._inputs(seen))

    def _see(self, frame: int) -> _SeenFrame:
        x0, y0, x1, y1 = self.region or (0, 0, self.frames.shape[1], self.frames.shape[0])
        pixels = self.frames[frame][y0:y1, x0:x1]
        return _SeenFrame(frame, pixels, self.cache.hashed(pixels))

    def _key(self, seen: _SeenFrame) -> str:
        shaped = ("padded",) if self.model.config.keeps_aspect_ratio else ()
        return feature_key(self.model, seen.pixels, self.window, self.region, *shaped, hashed=seen.hashed)

    def _inputs(self, seen: _SeenFrame) -> Tensor:
        model = self.model
        pads = model.config.keeps_aspect_ratio
        return to_model_input(seen.pixels, self.window, model.image_size, device=model.device, pads=pads)
