"""Next frame to correct of an object: the one whose correction is expected to mend most."""

import math
from bisect import bisect_left
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sam2_plugins.review.queue import Review
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["FrameGain", "expected_gains", "frames_by_gain"]

REACH = 8.0
"""Frames over which what a correction mends falls to a third."""


@dataclass(frozen=True)
class FrameGain:
    """What the correction of a frame is expected to mend.

    Attributes
    ----------
    frame
        Which one.
    gain
        Wrong masks that become right, expected.
    """

    frame: int
    gain: float


def expected_gains(
    doubts: Mapping[int, float], settled: Collection[int], reach: float = REACH
) -> dict[int, float]:
    """Return by frame how many wrong masks are expected to become right if it is corrected.

    A correction helps if the mask was wrong, and with it the masks around that are wrong as well, the less
    the further away, and none beyond the next frame that a person has settled: from there tracking goes on by
    that one.

    Parameters
    ----------
    doubts
        By frame, 0..1: how probably the mask is wrong.
    settled
        Frames that a person prompted or verified; they are not to be corrected.
    reach
        Frames over which what is mended falls to a third.

    Examples
    --------
    One bad frame, and a stretch of somewhat bad ones, in the middle of which a correction mends more:

    >>> doubts = dict(enumerate([0.0, 0.6, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.5]))
    >>> gains = expected_gains(doubts, settled={0})
    >>> max(gains, key=gains.get)
    7
    """
    fixed = sorted(settled)
    gains = {}
    for frame, doubt in doubts.items():
        if frame in settled:
            continue
        index = bisect_left(fixed, frame)
        first = fixed[index - 1] if index else -math.inf
        last = fixed[index] if index < len(fixed) else math.inf
        gains[frame] = doubt * sum(
            other * math.exp(-abs(near - frame) / reach)
            for near, other in doubts.items()
            if first < near < last
        )
    return gains


def frames_by_gain(session: AnnotationSession, object_id: int) -> list[FrameGain]:
    """Return the frames of an object by what their correction is expected to mend, the most first.

    Examples
    --------
    >>> import numpy as np
    >>> from sam2_plugins import AnnotationSession, ModelStore
    >>> y, x = np.ogrid[:64, :80]
    >>> frames = np.uint8([200 * (np.hypot(x - 30 - 4 * t, y - 32) < 12) for t in range(4)])
    >>> session = AnnotationSession(frames, ModelStore("cpu"), "nano@256")
    >>> disc = session.add_object("disc")
    >>> clicked = session.add_points(0, disc, (30, 32))
    >>> tracked = session.propagate()
    >>> sorted(one.frame for one in frames_by_gain(session, disc))
    [1, 2, 3]
    """
    masks = {one: session.annotations.masks_of(one) for one in session.objects}
    verified = {one: session.verified(one) for one in session.objects}
    doubts = {
        item.frame: item.score
        for item in Review().review_items(masks, verified)
        if item.object_id == object_id
    }
    settled = session.annotations.prompts_of(object_id).keys() | verified[object_id]
    gains = expected_gains(doubts, settled)
    return sorted((FrameGain(frame, gain) for frame, gain in gains.items()), key=lambda g: (-g.gain, g.frame))
