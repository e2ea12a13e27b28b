"""Frames of an array: numpy, memory-mapped, dask or zarr; only the frame that is read is ever computed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam2_engine.errors import InputError
from sam2_engine.frames.axes import AxisPlan
from sam2_engine.frames.pixels import as_array, colors_of, highest_level, image_array, object_note, unmasked
from sam2_engine.frames.source import FillRange, FrameSource, check_pixels, explain
from sam2_engine.frames.spacing import Spacing

__all__ = ["ArrayFrames", "ListFrames", "NumpyFile", "PlannedFrames"]


class PlannedFrames(FrameSource):
    """Frames that an ``AxisPlan`` cuts out of something with axes."""

    def __init__(
        self,
        name: str,
        dtype: "np.dtype[Any]",
        plan: AxisPlan,
        note: str = "",
        fill_values: Sequence[FillRange] = (),
        spacing: Mapping[str, Spacing] | None = None,
    ) -> None:
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
            fill_values=fill_values,
            spacing=spacing,
        )
        self.plan = plan

    def at(self, fixed: Mapping[str, int]) -> Self:
        """Return the frames at other positions of the fixed axes, of the same open file.

        Examples
        --------
        >>> from sam2_engine import open_frames
        >>> frames = open_frames(np.zeros((5, 3, 8, 8), np.uint8), axes="TZYX", fixed={"Z": 0})
        >>> frames.at({"Z": 2}).plan.fixed
        {'Z': 2}
        """
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__
        other.plan = replace(self.plan, fixed={**self.plan.fixed, **fixed})
        other.opened_as = other.geometry = None  # those of the first position
        return other


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

    def __init__(
        self,
        array: Any,
        plan: AxisPlan,
        name: str,
        note: str = "",
        fill_values: Sequence[FillRange] = (),
        spacing: Mapping[str, Spacing] | None = None,
    ) -> None:
        check_pixels(name, tuple(array.shape), np.dtype(array.dtype))
        super().__init__(name, np.dtype(array.dtype), plan, note, fill_values, spacing)
        self._array = array

    def _read(self, frame: int) -> NDArray[Any]:
        return self.plan.arrange(unmasked(self._array[self.plan.index(frame)]))


class ListFrames(FrameSource):
    """Frames of a list of images of one size and type: arrays, tensors, images of Pillow.

    Parameters
    ----------
    images
        ``(H, W)`` or ``(H, W, C)`` each, or with the channels first where nothing else is plausible.
    axis
        Letter of the propagation axis.
    channel
        The only channel to read.
    labels
        Whether a palette gives its indices.
    """

    def __init__(
        self, images: Sequence[Any], axis: str = "T", channel: int | None = None, *, labels: bool = False
    ) -> None:
        if labels:  # what Pillow knows of levels of few bits it forgets once the pixels are loaded
            images = [as_array(one, labels=True) if _has_few_bits(one) else one for one in images]
        self._images, self._labels = images, labels
        first = self._pixels(0)
        for number in range(len(images)):
            shape, dtype = self._layout(number)
            if (shape, dtype) != (first.shape, first.dtype):
                raise InputError(
                    f"Image {number} of the list is {shape} {dtype}, but the first is "
                    f"{first.shape} {first.dtype}; frames must all be alike."
                )
        channels = 1 if first.ndim == 2 else first.shape[2]
        super().__init__(
            "The image" if len(images) == 1 else "The list of images",
            shape=first.shape[:2],
            channels=channels,
            dtype=first.dtype,
            length=len(images),
            axes=axis + ("YX" if first.ndim == 2 else "YXS"),
            axis=axis,
            is_rgb=channels in (3, 4),
            channel=channel,
            note=object_note(images[0], labels=labels),
        )

    def _pixels(self, number: int) -> NDArray[Any]:
        try:
            return image_array(self._images[number], labels=self._labels)
        except Exception as error:
            raise InputError(f"Image {number} of the list cannot be used: {explain(error)}.") from error

    def _layout(self, number: int) -> tuple[tuple[int, ...], "np.dtype[Any]"]:
        """Return shape and type of an image; one of Pillow that is not loaded yet stays so."""
        image = self._images[number]
        if not isinstance(image, Image.Image):
            pixels = self._pixels(number)
            return pixels.shape, pixels.dtype
        pixel = colors_of(Image.new(image.mode, (1, 1)), labels=self._labels)
        return (image.height, image.width, *pixel.shape[2:]), pixel.dtype

    def _read(self, frame: int) -> NDArray[Any]:
        return self._pixels(frame)


def _has_few_bits(item: Any) -> bool:
    return isinstance(item, Image.Image) and highest_level(item) is not None
