"""Frames of an array: numpy, memory-mapped, dask or zarr; only the frame that is read is ever computed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames.axes import AxisPlan
from sam2_engine.frames.source import FrameSource, check_pixels

__all__ = ["ArrayFrames", "ListFrames", "NumpyFile", "PlannedFrames"]


class PlannedFrames(FrameSource):
    """Frames that an ``AxisPlan`` cuts out of something with axes."""

    def __init__(self, name: str, dtype: "np.dtype[Any]", plan: AxisPlan, note: str = "") -> None:
        super().__init__(
            name,
            shape=plan.frame_shape,
            channels=plan.channels,
            dtype=dtype,
            length=plan.length,
            axes=plan.axes,
            axis=plan.axis,
            is_rgb=plan.is_rgb,
            note="; ".join(part for part in (_fixed_positions(plan), plan.note, note) if part),
        )
        self.plan = plan


def _fixed_positions(plan: AxisPlan) -> str:
    """Describe the positions on the axes that are fixed."""
    fixed = ((letter, position) for letter, position in plan.fixed.items() if plan.sizes[letter] > 1)
    return ", ".join(f"{letter}={position} of {plan.sizes[letter]}" for letter, position in fixed)


class NumpyFile:
    """A ``.npy`` file as an array of which only the indexed part is read.

    It is mapped anew each time, as the pages of a lasting map would count as resident memory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        array = self._map()
        self.shape, self.dtype = array.shape, array.dtype

    def _map(self) -> NDArray[Any]:
        array: NDArray[Any] = np.load(self._path, mmap_mode="r", allow_pickle=False)
        return array

    def __getitem__(self, index: tuple[int | slice, ...]) -> NDArray[Any]:
        return np.array(self._map()[index])


class ArrayFrames(PlannedFrames):
    """Frames of anything that has ``shape`` and ``dtype`` and gives an array when it is indexed."""

    def __init__(self, array: Any, plan: AxisPlan, name: str, note: str = "") -> None:
        check_pixels(name, tuple(array.shape), np.dtype(array.dtype))
        super().__init__(name, np.dtype(array.dtype), plan, note)
        self._array = array

    def _read(self, frame: int) -> NDArray[Any]:
        return self.plan.arrange(np.asarray(self._array[self.plan.index(frame)]))


class ListFrames(FrameSource):
    """Frames of a list of images of one size and type."""

    def __init__(self, images: Sequence[NDArray[Any]], axis: str = "T", channel: int | None = None) -> None:
        first = images[0]
        for number, image in enumerate(images):
            if image.shape != first.shape or image.dtype != first.dtype:
                raise InputError(
                    f"Image {number} of the list is {image.shape} {image.dtype}, but the first is "
                    f"{first.shape} {first.dtype}; frames must all be alike."
                )
        if first.ndim not in (2, 3):
            raise InputError(f"The images of a list are (H, W) or (H, W, C), not {first.shape}.")
        channels = 1 if first.ndim == 2 else first.shape[2]
        super().__init__(
            "The list of images",
            shape=first.shape[:2],
            channels=channels,
            dtype=first.dtype,
            length=len(images),
            axes=axis + ("YX" if first.ndim == 2 else "YXS"),
            axis=axis,
            is_rgb=channels in (3, 4),
            channel=channel,
        )
        self._images = images

    def _read(self, frame: int) -> NDArray[Any]:
        return self._images[frame]
