"""Outlines of boxes and lassos, as a Shapes layer has them: where they lie on the frames."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_plugin.layers.image_stack import ImageStack
from sam2_engine.prompts import Box

__all__ = ["box_of", "lies_across", "outline_of"]


def box_of(stack: ImageStack, outline: Any) -> tuple[int, tuple[float, float, float, float]]:
    """Return frame and inclusive pixel box of an outline, which runs along the pixels' outer edges."""
    corners = [stack.locate(corner) for corner in outline]
    frames, x, y = zip(*corners)
    return round(float(np.mean(frames))), (min(x) + 0.5, min(y) + 0.5, max(x) - 0.5, max(y) - 0.5)


def outline_of(box: Box) -> list[tuple[float, float]]:
    """Return the ``(x, y)`` of the corners of a box's outline, which runs along the pixels' outer edges."""
    (x0, y0), (x1, y1) = box.corners.tolist()
    left, top, right, bottom = x0 - 0.5, y0 - 0.5, x1 + 0.5, y1 + 0.5
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def lies_across(stack: ImageStack, outline: NDArray[Any]) -> bool:
    """Whether an outline spans several frames: it was drawn in a rolled view."""
    frames = [stack.locate(corner)[0] for corner in outline]
    return max(frames) > min(frames)
