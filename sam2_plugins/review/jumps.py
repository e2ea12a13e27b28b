"""Jumps of a track: a place far from all places before it, reached in one step that is unlike all others."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from sam2_plugins.review.mask_features import MaskFeatures

__all__ = ["REACH", "Jump", "Seen", "diameter", "distance", "jump_to"]

REACH = 3
"""Masks before and after one that tell what its usual step is."""
UNUSUAL = 3.0
"""How many times its usual step a jump is at least."""


class Seen(NamedTuple):
    """A mask that is not empty, and its frame."""

    frame: int
    features: MaskFeatures


class Jump(NamedTuple):
    """A jump, by so many pixels from where the object is on another frame."""

    pixels: float
    frame: int


def distance(one: MaskFeatures, other: MaskFeatures) -> float:
    """Return the pixels between two centers."""
    return math.hypot(one.x - other.x, one.y - other.y)


def diameter(one: MaskFeatures, other: MaskFeatures) -> float:
    """Return that of a disc as large as the larger of two masks."""
    return 2 * math.sqrt(max(one.area, other.area) / math.pi)


def jump_to(mask: Seen, before: Sequence[Seen], after: Sequence[Seen]) -> Jump | None:
    """Return the jump by which an object comes to a mask; None where it comes as it usually moves.

    It is farther than the object's own diameter from all masks before, so that to come back from where it was
    by mistake is no jump, and farther than a few of the usual steps, if any is known.

    Parameters
    ----------
    mask
        Where it comes to.
    before, after
        The masks beside it, the nearest first; before is where the tracking came from.

    Examples
    --------
    >>> from sam2_plugins.session.masks import MaskScores
    >>> def seen(frame, x):
    ...     return Seen(frame, MaskFeatures(MaskScores(1, 1, 1), area=80, x=x))
    >>> jump_to(seen(3, 34), [seen(2, 2), seen(1, 1)], [seen(4, 35)])
    Jump(pixels=32.0, frame=2)
    >>> jump_to(seen(3, 45), [seen(2, 30), seen(1, 15)], [seen(4, 60)])  # as fast as ever
    """
    if not before or any(
        distance(mask.features, one.features) <= diameter(mask.features, one.features) for one in before
    ):
        return None
    came_from = before[0]
    usual = [
        distance(one.features, other.features) / abs(one.frame - other.frame)
        for way in (before, (mask, *after))
        for one, other in pairwise(way)
    ]
    moved = distance(mask.features, came_from.features)
    if not usual or moved <= UNUSUAL * median(usual) * abs(mask.frame - came_from.frame):
        return None
    return Jump(moved, came_from.frame)
