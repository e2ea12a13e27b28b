"""The file behind an Image layer: what napari's readers leave out of it, its axes, its sizes, its values."""

from pathlib import Path

import numpy as np
from napari.layers import Image

from napari_plugin.layers.image_stack import ImageStack, file_of, finest, named_axes
from sam2_engine import FrameSource, InputError, open_frames
from sam2_engine.errors import OptionError
from sam2_engine.frames.array_frames import PlannedFrames

__all__ = ["axes_of_file", "take_from_file"]


def axes_of_file(layer: Image) -> str | None:
    """Return one letter per axis of a layer, as its file names them; the file is opened.

    None where the layer has names of its own, comes from no file, or from one that does not say, or is laid
    out otherwise: by another reader, or as another series.
    """
    file = file_of(layer)
    if file is None or named_axes(layer) is not None:
        return None
    try:
        with _opened(file) as frames:
            plan = frames.plan if isinstance(frames, PlannedFrames) else None
    except InputError:
        return None
    if plan is None or plan.note:  # a guess, no better than another
        return None
    shape = tuple(finest(layer).shape)
    long = [letter for letter, size in plan.sizes.items() if size > 1 or letter in "YX"]
    letters = plan.axes if plan.shape == shape else "".join(long)
    if tuple(plan.sizes[letter] for letter in letters) != shape:
        return None
    return letters.removesuffix("S") if layer.rgb else letters


def _opened(file: Path) -> FrameSource:
    """Open a file, of further axes at the first position: the axes are of interest, not the frames."""
    try:
        return open_frames(file)
    except OptionError as error:
        if "fixed" not in error.options:
            raise
        return open_frames(file, fixed=error.options["fixed"])


def take_from_file(frames: FrameSource, stack: ImageStack) -> None:
    """Give the frames of a layer what its file says of them: sizes, and what stands for no data.

    The file is opened, so not in the window's thread.
    """
    if stack.file is None:
        return
    try:
        with open_frames(stack.file, **stack.opening) as stored:
            same = (stored.shape, stored.length) == (frames.shape, frames.length)
            if not same:
                return
            frames.spacing = stored.spacing
            frames.geometry, frames.instances = stored.geometry, stored.instances
            if np.dtype(frames.dtype).itemsize > 1:
                frames.fill_values = frames.fill_values or stored.fill_values
    except InputError:  # another reader may read what ours does not
        return
