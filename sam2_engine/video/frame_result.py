"""Masks and scores of the objects on one frame."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from sam2_engine.masks import CompressedMask, mask_stability
from sam2_engine.modeling.sam2 import NO_OBJECT_LOGIT
from sam2_engine.preprocessing import Region, logits_to_size
from sam2_engine.video.memory_policies.policy import FrameNote
from sam2_engine.video.scene_changes import SceneChange
from sam2_engine.wording import counted, in_ranges

__all__ = ["GIVEN_LOGIT", "FrameResult"]

STABILITY_OFFSET = 1.0
GIVEN_LOGIT = 10.0
"""Of a pixel in a given mask, as the model takes it."""


@dataclass(frozen=True, eq=False, repr=False)
class FrameResult:
    """Masks and scores of the objects on one frame, as a session returns them.

    Attributes
    ----------
    frame
        Frame number, from 0.
    object_ids
        N ids. An absent object stays, with an empty mask; one not prompted yet is not listed.
    low_res_logits
        (N, 4 G, 4 G) float32.
    presence
        (N,) float32, probability 0..1 that the object is on the frame.
    predicted_iou
        (N,) float32, the model's own estimate of the masks' quality, 0..1.
    shape
        (H, W) of the frame in pixels.
    regions
        Of each object the part of the frame that the model saw, ``x0, y0, x1, y1`` (the last two exclusive),
        or None for all of it; empty if it saw all of it for every object.
    given_masks
        Of each object the mask that was given on the frame, which is its mask to the pixel, whatever the
        low-resolution logits show of it; or None. Empty if none was given.
    problem
        Why the frame could not be read and has no objects, in a sentence; empty where it was read.
    scene_change
        ``cut`` where another shot begins with the frame, ``blank`` where there is nothing to see: what was
        found there is not remembered, but by the policy ``recent``. Empty on all others.
    notes
        Of each object what its memory policy noted of the frame, or None; empty with ``recent``.

    Examples
    --------
    One object that is surely there; its mask has a quarter of the frame's resolution.

    >>> logits = np.full((1, 16, 16), -4, np.float32)
    >>> logits[0, 4:8, 4:8] = 4
    >>> presence, predicted_iou = np.float32([1]), np.float32([0.9])
    >>> result = FrameResult(0, (1,), logits, presence, predicted_iou, shape=(64, 64))
    >>> result.masks.shape, result.logits.shape
    ((1, 64, 64), (1, 64, 64))
    >>> result.masks[0, 24, [24, 50]].tolist()
    [True, False]
    >>> result.stability.tolist()
    [1.0]
    """

    frame: int
    object_ids: tuple[int, ...]
    low_res_logits: NDArray[np.float32]
    presence: NDArray[np.float32]
    predicted_iou: NDArray[np.float32]
    shape: tuple[int, int]
    regions: tuple[Region | None, ...] = ()
    given_masks: tuple[CompressedMask | None, ...] = ()
    problem: str = ""
    scene_change: SceneChange = SceneChange.NONE
    notes: tuple[FrameNote | None, ...] = ()

    def __repr__(self) -> str:
        count = counted(len(self.object_ids), "object")
        ids = f" ({in_ranges(self.object_ids)})" if self.object_ids else ""
        said = f"unreadable: {self.problem}" if self.problem else f"{count}{ids}"
        return f"<{type(self).__name__} frame {self.frame}: {said}, {self.shape[0]} x {self.shape[1]}>"

    @classmethod
    def without_objects(cls, frame: int, shape: tuple[int, int], problem: str = "") -> "FrameResult":
        """Return the result of a frame on which no object is looked for."""
        empty = np.zeros((0, 1, 1), np.float32)
        return cls(frame, (), empty, empty[:, 0, 0], empty[:, 0, 0], shape, problem=problem)

    @property
    def exchanges(self) -> dict[tuple[int, int], int]:
        """Pairs of objects that were taken for each other since a frame, and are exchanged back on this one.

        What was returned of the frames from that one to the one before this are each other's masks.
        """
        found = {}
        for object_id, note in zip(self.object_ids, self.notes, strict=False):
            if note is not None and note.exchanged is not None and object_id < note.exchanged.other:
                found[object_id, note.exchanged.other] = note.exchanged.since
        return found

    @cached_property
    def stability(self) -> NDArray[np.float32]:
        """(N,) stability scores, 0..1."""
        return mask_stability(torch.from_numpy(self.low_res_logits), STABILITY_OFFSET).numpy()

    @cached_property
    def masks(self) -> NDArray[np.bool_]:
        """(N, H, W) bool."""
        masks = np.zeros((len(self.object_ids), *self.shape), dtype=np.bool_)
        for index in range(len(masks)):
            masks[index] = self.logits_of(index) > 0
        return masks

    def mask_of(self, index: int) -> CompressedMask:
        """Return the mask of the ``index``-th object, compressed.

        It is made once: on a large plane that takes longer than to predict it, and several ask for it.
        """
        if index not in self._compressed:
            crop, corner = self.crop_of(index)
            self._compressed[index] = CompressedMask.from_array(crop > 0, self.shape, corner)
        return self._compressed[index]

    @cached_property
    def _compressed(self) -> dict[int, CompressedMask]:
        return {}

    @property
    def logits(self) -> NDArray[np.float32]:
        """(N, H, W) float32, computed anew on each access; far below 0 outside of the regions."""
        if not self.object_ids:
            return np.zeros((0, *self.shape), dtype=np.float32)
        return np.stack([self.logits_of(index) for index in range(len(self.object_ids))])

    def logits_of(self, index: int) -> NDArray[np.float32]:
        """Return the (H, W) float32 logits of the ``index``-th object."""
        crop, (row, column) = self.crop_of(index)
        if crop.shape == self.shape:
            return crop
        logits = np.full(self.shape, NO_OBJECT_LOGIT, np.float32)
        logits[row : row + crop.shape[0], column : column + crop.shape[1]] = crop
        return logits

    def region_of(self, index: int) -> Region:
        """Return what the model saw for an object, perhaps beyond the frame; or a given mask's box."""
        given = self.given_masks[index] if self.given_masks else None
        if given is not None:
            rows, columns = given.box
            return columns.start, rows.start, columns.stop, rows.stop
        region = self.regions[index] if self.regions else None
        return region or (0, 0, self.shape[1], self.shape[0])

    def crop_of(self, index: int) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """Return (h, w) float32 logits of what the model saw for an object, and its first row and column.

        Those of a given mask are of the mask's box, +-10.
        """
        given = self.given_masks[index] if self.given_masks else None
        x0, y0, x1, y1 = self.region_of(index)
        if given is not None:
            return np.where(given.crop(), np.float32(GIVEN_LOGIT), np.float32(-GIVEN_LOGIT)), (y0, x0)
        low_res = torch.from_numpy(self.low_res_logits[index])[None, None]
        seen = logits_to_size(low_res, (y1 - y0, x1 - x0))[0, 0].numpy()
        return seen[: self.shape[0] - y0, : self.shape[1] - x0], (y0, x0)
