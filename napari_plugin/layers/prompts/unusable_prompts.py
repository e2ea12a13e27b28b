"""Clicks and boxes that nothing can be computed from, and what is said of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari_plugin.layers.image_stack import ImageStack
from napari_plugin.layers.prompts.outlines import box_of, lies_across
from sam2_engine.prompts import covers_pixels

__all__ = ["UnusablePrompts", "find_unusable"]


@dataclass(frozen=True)
class UnusablePrompts:
    """What is to be taken away.

    Attributes
    ----------
    clicks, outlines
        Numbers of them in their layers.
    sentences
        Why, for the user; nothing of a box that a newer one has taken the place of.
    """

    clicks: list[int]
    outlines: list[int]
    sentences: list[str]


def find_unusable(
    stack: ImageStack, clicks: Sequence[Any], outlines: Sequence[Any], owners: Sequence[int]
) -> UnusablePrompts:
    """Find clicks off the image, boxes without area, and what lies where objects are not tracked.

    Parameters
    ----------
    stack
        The frames.
    clicks, outlines
        Positions, and corners, in the layers' data; of several boxes on one frame the last one counts.
    owners
        The object of each outline.
    """
    far_clicks = [i for i, position in enumerate(clicks) if not stack.holds(position)]
    far_outlines = [i for i, corners in enumerate(outlines) if not stack.holds(corners[0])]
    off = [
        i
        for i, position in enumerate(clicks)
        if i not in far_clicks and not stack.contains(*stack.locate(position))
    ]
    across, flat, replaced = _sort_outlines(stack, outlines, owners, set(far_outlines))
    sentences = []
    if far_clicks or far_outlines:
        sentences.append(
            f"A click or box elsewhere was left out: objects are {stack.tracked_along}. "
            "Move the slider there, or press the button below the image's axes to work here."
        )
    if off:
        sentences.append("A click off the image was left out; click on the object itself.")
    if across:
        sentences.append(
            f"A box or lasso across {stack.nouns} was left out: the view is rolled, and it lies on "
            "one frame. Click instead, or roll the view back and draw it there."
        )
    elif flat:
        sentences.append(
            "A box without an area on the image was left out; drag from one corner to the other."
        )
    return UnusablePrompts(far_clicks + off, [*far_outlines, *across, *flat, *replaced], sentences)


def _sort_outlines(
    stack: ImageStack, outlines: Sequence[Any], owners: Sequence[int], elsewhere: set[int]
) -> tuple[list[int], list[int], list[int]]:
    """Return those that lie across frames, those without an area on the image, and those replaced."""
    across: list[int] = []
    flat: list[int] = []
    replaced: list[int] = []
    seen: set[tuple[int, int]] = set()
    height, width = stack.plan.frame_shape
    for i in reversed(range(len(outlines))):
        if i in elsewhere:
            continue
        frame, (x0, y0, x1, y1) = box_of(stack, outlines[i])
        inside = stack.contains(frame, 0, 0) and x1 >= 0 and y1 >= 0 and x0 < width and y0 < height
        key = int(owners[i]), frame
        if lies_across(stack, outlines[i]):
            across.append(i)
        elif not inside or not covers_pixels(x0, y0, x1, y1):
            flat.append(i)
        elif key in seen:
            replaced.append(i)
        else:
            seen.add(key)
    return across, flat, replaced
