"""Policy that keeps a constant number of older frames, of moments when the object looked different."""

from typing_extensions import override

from sam2_engine.video.memory_policies.policy import Candidates, FrameNote, MemoryPolicy

__all__ = ["LongTerm"]

APART = 8
"""Frames from one anchor to the next, at least: nearer ones are among the recent."""
AT_THE_LATEST = 32
"""Frames after which the next one is kept although nothing has changed."""
SURE_IOU = 0.7
CHANGED = 0.8
"""Smaller area as a part of the larger, among the last ones, up to which the object looks different."""


class LongTerm(MemoryPolicy):
    """The recent frames, and older ones spread over the past.

    Parameters
    ----------
    anchors
        How many older ones.
    """

    name = "long_term"
    takes_notes = True

    def __init__(self, anchors: int = 3) -> None:
        self.most = anchors

    @override
    def anchors(
        self, position: int, candidates: Candidates, note: FrameNote, before: FrameNote | None, start: int
    ) -> tuple[int, ...]:
        anchors = () if before is None else before.anchors
        since = position - (anchors[-1] if anchors else start)
        seen_well = note.area > 0 and note.presence_logit > 0 and note.predicted_iou > SURE_IOU
        if not seen_well or since < APART:
            return anchors
        changed = min(note.areas) <= CHANGED * max(note.areas)
        if not changed and since < AT_THE_LATEST:
            return anchors
        return thinned((*anchors, position), start, self.most)

    @override
    def read_anchors(self, position: int, anchors: tuple[int, ...], num_prompted: int) -> list[int]:
        return [p for p in anchors if position - p > APART - 2]


def thinned(anchors: tuple[int, ...], start: int, most: int) -> tuple[int, ...]:
    """Return at most so many anchors, without those whose neighbors are nearest together; the newest stays.

    Examples
    --------
    >>> thinned((10, 20, 30, 70), start=0, most=3)
    (20, 30, 70)
    """
    kept = list(anchors)
    while len(kept) > most:
        around = [start, *kept]
        gaps = [around[i + 2] - around[i] for i in range(len(kept) - 1)]
        del kept[gaps.index(min(gaps))]
    return tuple(kept)
