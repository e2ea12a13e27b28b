"""A rendered scene: frames, exact labels, and the lineage of objects."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Division", "Drawing", "Scene"]


class Division(NamedTuple):
    """Where an object comes from: its parent's id, and the frame on which the parent is no more."""

    parent: int
    frame: int


@dataclass(frozen=True)
class Scene:
    """A time-lapse, a video or a volume with exact ground truth.

    Attributes
    ----------
    frames
        (T, H, W), (T, H, W, 3) or (Z, H, W), uint8 or uint16.
    labels
        (T, H, W) uint16: the id of what is visible, 0 for background. Ids persist and are never reused.
    parents
        For every id that was born by a division while in view: its parent, and its own first frame.
    axes
        Names of the axes of ``frames``: ``TYX``, ``TYXS`` (S is RGB) or ``ZYX``.
    """

    frames: NDArray[np.uint8] | NDArray[np.uint16]
    labels: NDArray[np.uint16]
    parents: dict[int, Division]
    axes: str


@dataclass(frozen=True)
class Drawing:
    """A scene before it is digitized to 8 or 16 bit.

    Attributes
    ----------
    light
        As ``Scene.frames``, float32; 0 is black and 1 is white in 8 bit.
    labels, axes
        As in ``Scene``.
    parents
        Every division, also those that nobody could see.
    counts
        What a 16-bit file holds for 0 and for 1; values beyond them are not clipped there.
    """

    light: NDArray[np.float32]
    labels: NDArray[np.uint16]
    parents: dict[int, Division] = field(default_factory=dict)
    axes: str = "TYX"
    counts: tuple[float, float] = (400.0, 12400.0)

    def visible_parents(self) -> dict[int, Division]:
        """Return the divisions whose parent and child can both be seen: just before, and just after."""
        seen = [set(np.unique(frame).tolist()) for frame in self.labels]
        return {
            child: division
            for child, division in self.parents.items()
            if child in seen[division.frame] and division.parent in seen[division.frame - 1]
        }

    def digitize(self, bits: int) -> Scene:
        """Return the scene as ``bits`` (8 or 16) per sample."""
        if bits == 8:
            frames = np.clip(self.light * 255.0 + 0.5, 0, 255).astype(np.uint8)
            return Scene(frames, self.labels, self.visible_parents(), self.axes)
        black, white = self.counts
        counts = np.clip(self.light * (white - black) + (black + 0.5), 0, 65535).astype(np.uint16)
        return Scene(counts, self.labels, self.visible_parents(), self.axes)
