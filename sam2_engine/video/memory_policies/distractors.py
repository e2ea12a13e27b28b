"""Policy that remembers what look-alikes are, after the idea of DAM4SAM.

Source: Videnovic et al., A Distractor-Aware Memory for Visual Object Tracking with SAM2 (CVPR 2025); rules
and constants are of the paper, written anew. Where they differ: masks are compared at low resolution, and
every prompted frame is read.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from typing_extensions import override

from sam2_engine.video.memory_policies.policy import REACH, Candidates, FrameNote, MemoryPolicy, iou_of_boxes

__all__ = ["DistractorAware"]

LONG_TERM = 4
"""Prompted frames and anchors, at most; each but the first takes a recent frame's place, of half of them."""
STRIDE = 5
"""Distance of the recent frames but the newest."""
SURE_IOU = 0.8
STEADY_AREA = 0.8, 1.2
"""Area as a part of the median of the last ones."""
APART = 5
"""Frames between two anchors."""
SAME_BOX = 0.7
"""IoU of boxes up to which a candidate has seen something else."""
_AREAS = 10
_PIECES = np.ones((3, 3), bool)
"""Pixels that touch at a corner belong together."""


class DistractorAware(MemoryPolicy):
    """Recent frames far apart, and anchors where candidates disagreed and the chosen one was surely right."""

    name = "distractor_aware"
    takes_notes = True

    @override
    def anchors(
        self, position: int, candidates: Candidates, note: FrameNote, before: FrameNote | None, start: int
    ) -> tuple[int, ...]:
        anchors = () if before is None else before.anchors
        is_first = before is None
        if is_first or (anchors and position - anchors[-1] <= APART) or not is_steady(note):
            return anchors
        if float(candidates.predicted_iou.max()) <= SURE_IOU or not sees_another(candidates, note):
            return anchors
        return (*anchors, position)[-LONG_TERM:]

    @override
    def read_anchors(self, position: int, anchors: tuple[int, ...], num_prompted: int) -> list[int]:
        older = [p for p in anchors if p != position - 1]
        return older[-max(1, LONG_TERM - num_prompted) :]

    @override
    def recents(
        self, position: int, notes: Mapping[int, FrameNote], count: int, num_long_term: int, start: int
    ) -> list[tuple[int, int]]:
        positions: list[int] = []
        count = max(count + 1 - min(num_long_term, LONG_TERM), (count + 1) // 2)
        p, step = position - 1, 1
        while len(positions) < count and p > max(start, position - 1 - REACH):
            note = notes.get(p)
            # What was made an anchor is no recent frame any more, unless it is the last one.
            if note is None or note.area == 0 or (p in note.anchors and p != position - 1):
                p -= step
                continue
            positions.append(p)
            step = STRIDE
            p = STRIDE * ((p - 1) // STRIDE)
        return list(enumerate(positions, start=1))

    @override
    def reads_pointer(self, note: FrameNote) -> bool:
        return note.area > 0


def is_steady(note: FrameNote) -> bool:
    """Whether an object is there, as large as on the last frames."""
    if note.area == 0:
        return False
    low, high = STEADY_AREA
    return bool(low <= note.area / np.median(note.areas[-_AREAS:]) <= high)


def sees_another(candidates: Candidates, note: FrameNote) -> bool:
    """Whether a candidate that was not chosen has a large part elsewhere."""
    masks = candidates.fetch_masks()
    chosen = masks[note.candidate]
    box = box_of(chosen)
    for mask in masks:
        rest = mask & ~chosen
        if not rest.any():
            continue
        pieces, _ = ndimage.label(rest, _PIECES)
        largest = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
        if iou_of_boxes(box, box_of(chosen | largest)[None].astype(np.float32))[0] <= SAME_BOX:
            return True
    return False


def box_of(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the box of a mask that is not empty, ``x0, y0, x1, y1``, the last two exclusive."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1.0, rows[-1] + 1.0])
