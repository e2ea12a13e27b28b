"""Intensity window: the gray levels that are black and white, chosen once per stack, never per frame."""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.frames import FrameSource
from sam2_engine.frames.source import FillRange, is_fill
from sam2_engine.wording import did_you_mean

__all__ = ["HOUNSFIELD_WINDOWS", "Contrast", "IntensityWindow", "estimate_window", "lowest_level"]

_PERCENTILES = (0.1, 99.9)
_MAX_FRAMES = 16
_MAX_SAMPLE_BYTES = 64 << 20


@dataclass(frozen=True)
class IntensityWindow:
    """Gray levels of black and white, one pair per channel, or one pair for all channels.

    Attributes
    ----------
    low, high
        Gray levels of black and of white.
    fill
        Values that stand for no data, as ranges; they are read as black, wherever they lie.

    Raises
    ------
    InputError
        If a low end is not below its high end, or they are not finite.

    Examples
    --------
    >>> IntensityWindow.of((100, 4000))
    IntensityWindow(low=(100.0,), high=(4000.0,), fill=())
    >>> window = IntensityWindow.of("soft tissue")
    >>> from sam2_engine.preprocessing import to_rgb
    >>> to_rgb(np.array([[-160.0, 40.0, 240.0]]), window)[0, :, 0].tolist()
    [0.0, 0.5, 1.0]
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    fill: tuple[FillRange, ...] = ()

    def __post_init__(self) -> None:
        pairs = list(zip(self.low, self.high))
        if not pairs or len(self.low) != len(self.high):
            raise InputError("An intensity window needs one low and one high value per channel.")
        for low, high in pairs:
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise InputError(
                    f"An intensity window goes from a lower to a higher value, not from {low:g} to {high:g}."
                )

    @classmethod
    def of(cls, contrast: "tuple[float, float] | IntensityWindow | str") -> "IntensityWindow":
        """Return the window for ``(low, high)``, for the name of a Hounsfield window, or itself.

        Raises
        ------
        InputError
            If it is neither.
        """
        if isinstance(contrast, IntensityWindow):
            return contrast
        if isinstance(contrast, str):
            if contrast.lower() not in HOUNSFIELD_WINDOWS:
                known = ", ".join(HOUNSFIELD_WINDOWS)
                raise InputError(
                    f"There is no intensity window called {contrast!r}"
                    f"{did_you_mean(contrast, HOUNSFIELD_WINDOWS)}; the known ones are: {known}."
                )
            return HOUNSFIELD_WINDOWS[contrast.lower()]
        try:
            low, high = (float(value) for value in contrast)
        except (TypeError, ValueError):
            raise InputError(f"Contrast is a low and a high gray level, not {contrast!r}.") from None
        return cls((low,), (high,))

    @classmethod
    def of_width(cls, center: float, width: float) -> "IntensityWindow":
        """Window by its center and width, as radiologists give it."""
        return cls((center - width / 2,), (center + width / 2,))


Contrast = tuple[float, float] | IntensityWindow | None
"""Low and high gray level, or a window; None: estimated."""

HOUNSFIELD_WINDOWS: dict[str, IntensityWindow] = {
    "lung": IntensityWindow.of_width(-600, 1500),
    "mediastinum": IntensityWindow.of_width(50, 350),
    "soft tissue": IntensityWindow.of_width(40, 400),
    "liver": IntensityWindow.of_width(60, 160),
    "bone": IntensityWindow.of_width(400, 1800),
    "brain": IntensityWindow.of_width(40, 80),
}
"""Common windows for computed tomography, in Hounsfield units."""


def estimate_window(
    frames: FrameSource,
    percentiles: tuple[float, float] = _PERCENTILES,
    above: float | None = None,
    eight_bits: bool = False,
) -> IntensityWindow | None:
    """Choose the intensity window of a stack.

    Per channel percentiles over at most 16 evenly spaced frames; a live stream gives its first frame. Frames
    that cannot be read, non-finite pixels and the source's fill values are left out. Where the percentiles
    coincide (a few bright spots on a flat ground) the extremes are taken, and where no pixel is left, 0 to 1:
    everything is dark.

    Parameters
    ----------
    frames
        The stack.
    percentiles
        What is black and white.
    above
        Only values above it count, if there are any; None: all.
    eight_bits
        Whether 8-bit pixels get a window, too.

    Returns
    -------
    IntensityWindow or None
        ``None`` for 8-bit and binary pixels, which pass through as they are; 0 to 255 with fill values.

    Raises
    ------
    InputError
        If no frame can be read.
    """
    fill = frames.fill_values
    if frames.dtype == np.bool_ or (frames.dtype == np.uint8 and not eight_bits):
        bright = frames.dtype == np.uint8 and any(high > 0 for _, high in fill)
        return IntensityWindow((0.0,), (255.0,), fill) if bright else None
    levels = _levels(frames)
    if above is not None:
        levels = [some if len(some := values[values > above]) else values for values in levels]
    ends = [_ends(values, percentiles) for values in levels]
    known = next((pair for pair in ends if pair is not None), None)
    if known is None and fill:
        message = f"{frames.name} has no pixel that is not declared as no data; it is read as empty and dark."
        warnings.warn(message, InputWarning, stacklevel=2)
    pairs = [pair or known or (0.0, 1.0) for pair in ends]
    return IntensityWindow(tuple(low for low, _ in pairs), tuple(high for _, high in pairs), fill)


def lowest_level(frames: FrameSource) -> float:
    """Return the lowest gray level of a stack, in the pixels that its window is estimated from; 0 of none.

    Raises
    ------
    InputError
        If no frame can be read.
    """
    return min((float(values.min()) for values in _levels(frames) if values.size), default=0.0)


def _levels(frames: FrameSource) -> list[NDArray[Any]]:
    """Return pixels of a stack, per channel, that stand for all of them: finite ones that hold data."""
    count = 1 if frames.length is None else frames.length
    numbers = np.unique(np.linspace(0, count - 1, min(count, _MAX_FRAMES)).round().astype(int))
    height, width = frames.shape
    step = math.ceil(math.sqrt(len(numbers) * height * width * frames.dtype.itemsize / _MAX_SAMPLE_BYTES))
    samples: list[list[NDArray[Any]]] = [[] for _ in range(frames.channels)]
    for frame in _readable(frames, numbers.tolist()):
        pixels = frame[::step, ::step].reshape(-1, frames.channels)
        valid = np.isfinite(pixels) & ~is_fill(pixels, frames.fill_values)
        for channel in range(frames.channels):
            samples[channel].append(pixels[valid[:, channel], channel])
    return [np.concatenate(values) for values in samples]


def _readable(frames: FrameSource, numbers: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Give those frames that can be read: a stack with holes still has a window."""
    unreadable = None
    read = 0
    for number in numbers:
        try:
            frame = frames[number]
        except InputError as error:
            unreadable = error
            continue
        read += 1
        yield frame
    if unreadable is not None and not read:
        raise unreadable


def _ends(values: NDArray[Any], percentiles: tuple[float, float]) -> tuple[float, float] | None:
    if not values.size:
        return None
    low, high = (float(v) for v in np.percentile(values.astype(np.float64, copy=False), percentiles))
    if low == high:
        low, high = float(values.min()), float(values.max())
    if low == high:
        high = max(low + 1, float(np.nextafter(low, np.inf)))
    return low, high
