"""Frames on which nothing should be remembered: the first of another shot, black ones and other blanks.

A frame's features, averaged over a coarse grid, are compared with those of the frame before. Within a shot
their correlation is 0.6 and more, also six frames apart and between planes of a volume, and 0.4 where noise
hides all; at cuts and at blank frames it is at most 0.32 (nano, on the videos, time-lapses and scenes tried).
"""

from enum import StrEnum
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["SceneChange", "SceneWatch"]

_CELLS = 8
"""Of the coarse grid's side."""
_SAME_SHOT = 0.35
"""Correlation up to which a frame belongs to another shot than the one before, or shows nothing."""
_BLANK = 0.82
"""Part of the usual contrast of features up to which such a frame is blank."""
_NEAR = 8
"""Frames up to which the one before is compared with."""


class SceneChange(StrEnum):
    """Why a frame is not remembered."""

    NONE = ""
    CUT = "cut"
    """Another shot begins with it."""
    BLANK = "blank"
    """There is nothing to see on it."""


class _Look(NamedTuple):
    frame: int
    pattern: Tensor
    contrast: Tensor


class SceneWatch:
    """Notices changes of scene, frame by frame and in each direction.

    Examples
    --------
    >>> random = torch.Generator().manual_seed(0)
    >>> one, other = (torch.randn(1, 4, 16, 16, generator=random) for _ in range(2))
    >>> watch, stack = SceneWatch(), (one, one, 0 * one, one, other, other)
    >>> [str(watch.look(frame, False, seen)) for frame, seen in enumerate(stack)]
    ['', '', 'blank', '', 'cut', '']
    """

    def __init__(self) -> None:
        self._last: dict[bool, _Look] = {}
        self._found: dict[tuple[int, bool], SceneChange] = {}
        self._unsettled: dict[bool, tuple[_Look, Tensor | None]] = {}

    def look(self, frame: int, reverse: bool, embedding: Tensor) -> SceneChange:
        """Return what changed with a frame, given its (1, C, G, G) features."""
        self.notice(frame, reverse, embedding)
        return self.found(frame, reverse)

    def notice(self, frame: int, reverse: bool, embedding: Tensor) -> None:
        """Look at a frame without waiting for what comes of it, which :meth:`found` says."""
        self._settle(reverse)
        seen, last, compared = _look(frame, embedding), self._last.get(reverse), None
        if last is not None and 0 < (last.frame - frame if reverse else frame - last.frame) <= _NEAR:
            compared = torch.stack(
                [(seen.pattern * last.pattern).sum(), seen.contrast / last.contrast.clamp(min=1e-6)]
            )
        self._unsettled[reverse] = seen, compared

    def _settle(self, reverse: bool) -> None:
        """Decide on the last frame that was looked at; a GPU is waited for."""
        if reverse not in self._unsettled:
            return
        seen, compared = self._unsettled.pop(reverse)
        change, frame = SceneChange.NONE, seen.frame
        if compared is not None:
            likeness, contrast = compared.to("cpu").tolist()
            if likeness <= _SAME_SHOT:
                change = SceneChange.BLANK if contrast <= _BLANK else SceneChange.CUT
        # What comes after a blank is compared with what was before it.
        if change is not SceneChange.BLANK:
            self._last[reverse] = seen
        if change:
            self._found[frame, reverse] = change
        else:
            self._found.pop((frame, reverse), None)

    def found(self, frame: int, reverse: bool) -> SceneChange:
        """Return what was noticed when a frame was looked at."""
        self._settle(reverse)
        return self._found.get((frame, reverse), SceneChange.NONE)


def _look(frame: int, embedding: Tensor) -> _Look:
    cells = F.adaptive_avg_pool2d(embedding.float(), _CELLS)[0].flatten(1)
    pattern = (cells - cells.mean(1, keepdim=True)).flatten()
    contrast = embedding[0].float().flatten(1).std(1).mean()
    return _Look(frame, pattern / pattern.norm().clamp(min=1e-6), contrast)
