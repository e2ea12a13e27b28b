"""The mask of one object on one frame, cropped and compressed, with the model's scores and logits."""

import zlib
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from sam2_engine.masks import CompressedMask
from sam2_engine.video.frame_result import FrameResult

__all__ = ["AcceptedMask", "MaskOrigin", "MaskRemark", "MaskScores", "PackedLogits"]

_LOGIT_STEP = 0.25
_LOGIT_LIMIT = 127
_COMPRESSION = 1  # little is gained above, and a mask is packed for every object and frame


class MaskOrigin(IntEnum):
    """Where a mask comes from; where masks overlap, the larger value wins."""

    TRACKED = 0
    """Propagated by the model."""
    PROMPTED = 1
    """Predicted from clicks or a box on this very frame."""
    PAINTED = 2
    """Given by a person or another tool, and stored as it is."""


class MaskRemark(IntEnum):
    """What was noticed where a mask was tracked."""

    NONE = 0
    CUT = 1
    """Another shot begins with the frame."""
    BLANK = 2
    """There is nothing to see on the frame."""
    GAVE_WAY = 3
    """Another object claimed the same place."""
    PERHAPS_BORN = 4
    """The object begins with this mask, perhaps by a division that was not taken for one."""
    EXCHANGED = 5
    """Another object had been taken for it, and it for that one, until this frame."""

    @classmethod
    def of(cls, result: FrameResult, index: int) -> "MaskRemark":
        """Return what was noticed of the ``index``-th object of a frame."""
        note = result.notes[index] if result.notes else None
        if note is not None and note.exchanged is not None:
            return cls.EXCHANGED
        if note is not None and note.rivals:
            return cls.GAVE_WAY
        return cls[result.scene_change.name]


@dataclass(frozen=True, slots=True)
class MaskScores:
    """The model's own opinion of a mask, each 0..1.

    Attributes
    ----------
    presence
        Probability that the object is on the frame.
    predicted_iou
        Estimated IoU of the mask with the ground truth.
    stability
        How little the mask changes when its threshold moves.
    """

    presence: float
    predicted_iou: float
    stability: float


@dataclass(frozen=True, slots=True)
class PackedLogits:
    """Low-resolution logits around a mask, in steps of 1/4 up to about 32: enough to tell who wins.

    Attributes
    ----------
    scale
        Low-resolution pixels per frame pixel, (rows, columns).
    corner
        First row and column of the crop; not whole numbers where the model saw a part of the frame.
    size
        Rows and columns of the crop.
    values
        Compressed int8.
    """

    scale: tuple[float, float]
    corner: tuple[float, float]
    size: tuple[int, int]
    values: bytes

    @classmethod
    def of(
        cls,
        low_res_logits: NDArray[np.float32],
        box: tuple[slice, slice],
        shape: tuple[int, int],
        origin: tuple[int, int] = (0, 0),
    ) -> "PackedLogits":
        """Pack the part of (h, w) logits that the pixels of ``box`` in a frame are made of.

        The logits are those of a part of the frame of ``shape``, which begins at ``origin`` (row, column).
        """
        scale = (low_res_logits.shape[0] / shape[0], low_res_logits.shape[1] / shape[1])
        firsts = [side.start - first for side, first in zip(box, origin)]
        lasts = [side.stop - 1 - first for side, first in zip(box, origin)]
        top, left = (max(int((first + 0.5) * s - 0.5), 0) for first, s in zip(firsts, scale))
        bottom, right = (int((last + 0.5) * s - 0.5) + 2 for last, s in zip(lasts, scale))
        crop = low_res_logits[top:bottom, left:right]
        steps = np.clip(np.rint(crop / _LOGIT_STEP), -_LOGIT_LIMIT, _LOGIT_LIMIT).astype(np.int8)
        size = (steps.shape[0], steps.shape[1])
        corner = (top + origin[0] * scale[0], left + origin[1] * scale[1])
        return cls(scale, corner, size, zlib.compress(steps.tobytes(), _COMPRESSION))

    def at(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the logits of some frame pixels, interpolated as the model's masks are (bilinear)."""
        steps = np.frombuffer(zlib.decompress(self.values), np.int8).reshape(self.size)
        values = torch.from_numpy(steps.astype(np.float32) * _LOGIT_STEP)[None, None]
        relative = [
            ((pixels + 0.5) * scale - corner) / size * 2 - 1
            for pixels, scale, corner, size in (
                (columns, self.scale[1], self.corner[1], self.size[1]),
                (rows, self.scale[0], self.corner[0], self.size[0]),
            )
        ]
        grid = torch.from_numpy(np.stack(relative, axis=-1).astype(np.float32))[None, None]
        sampled = F.grid_sample(values, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return np.asarray(sampled[0, 0, 0].numpy(), np.float32)


@dataclass(frozen=True, slots=True)
class AcceptedMask:
    """The mask that holds for one object on one frame, until somebody changes it.

    Attributes
    ----------
    mask
        The pixels; empty where the object is absent.
    origin
        Where it comes from.
    scores
        The model's.
    logits
        Around the mask; None for a painted or an empty one.
    remark
        What was noticed where it was tracked.
    """

    mask: CompressedMask
    origin: MaskOrigin
    scores: MaskScores
    logits: PackedLogits | None = None
    remark: MaskRemark = MaskRemark.NONE

    @classmethod
    def predicted(cls, result: FrameResult, index: int, origin: MaskOrigin) -> "AcceptedMask":
        """Accept what the model predicted of the ``index``-th object of a frame."""
        scores = MaskScores(
            float(result.presence[index]), float(result.predicted_iou[index]), float(result.stability[index])
        )
        remark = MaskRemark.of(result, index)
        # One mask at a time: hundreds of objects on a large plane would not fit together.
        mask = result.mask_of(index)
        if mask.is_empty or (result.given_masks and result.given_masks[index] is not None):
            # the logits are not those of a mask that was handed over
            return cls(mask, origin, scores, remark=remark)
        x0, y0, x1, y1 = result.region_of(index)
        logits = PackedLogits.of(result.low_res_logits[index], mask.box, (y1 - y0, x1 - x0), (y0, x0))
        return cls(mask, origin, scores, logits, remark)

    @classmethod
    def painted(cls, mask: CompressedMask) -> "AcceptedMask":
        """Accept a mask that a person gave; nothing about it is doubtful."""
        return cls(mask, MaskOrigin.PAINTED, MaskScores(float(not mask.is_empty), 1.0, 1.0))

    @property
    def num_bytes(self) -> int:
        """Bytes of its mask and logits."""
        return len(self.mask.bits) + (0 if self.logits is None else len(self.logits.values))

    def strength(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return how strongly the mask claims some of its pixels; a painted one claims all alike."""
        if self.logits is None:
            return np.full(len(rows), np.inf, np.float32)
        return self.logits.at(rows, columns)
