"""Choice among the model's candidates, for all objects of a frame, and what is noted of it."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam2_engine.modeling.sam2 import MASK_STRIDE, NO_OBJECT_LOGIT, MaskPrediction
from sam2_engine.video.memory_policies.policy import Candidates, FrameNote, MemoryPolicy

__all__ = ["Past", "candidates_of", "decide", "taken"]

_AREAS = 10
"""Last areas that a note holds."""


@dataclass(frozen=True)
class Past:
    """What is known of an object before a frame.

    Attributes
    ----------
    note
        Of the last frame on which it was tracked; None if it was prompted since.
    elapsed
        Frames since then.
    position, start
        Of the frame and of the first prompted one, counted in the direction of the tracking.
    """

    note: FrameNote | None
    elapsed: int
    position: int
    start: int


def candidates_of(prediction: MaskPrediction) -> list[Candidates]:
    """Return what the model offers for each of N objects, fetched at once."""
    inside = prediction.low_res_logits > 0
    rows, columns = inside.any(3), inside.any(2)
    ends = [_first(columns), _first(rows), _last(columns), _last(rows)]
    boxes = torch.stack(ends, dim=-1) * rows.any(2, keepdim=True) * MASK_STRIDE
    parts = [prediction.iou[..., None], inside.sum((2, 3))[..., None], boxes]
    numbers = torch.cat([part.float() for part in parts], dim=2).cpu().numpy()
    presence = prediction.presence_logit[:, 0].float().cpu().tolist()

    def one(index: int) -> Candidates:
        iou, areas, boxes = numbers[index, :, 0], numbers[index, :, 1], numbers[index, :, 2:]
        return Candidates(
            iou, presence[index], boxes, areas.astype(np.int64), lambda: inside[index].cpu().numpy()
        )

    return [one(index) for index in range(len(presence))]


def _first(cells: Tensor) -> Tensor:
    return cells.to(torch.uint8).argmax(-1)


def _last(cells: Tensor) -> Tensor:
    return cells.shape[-1] - cells.flip(-1).to(torch.uint8).argmax(-1)


def decide(policy: MemoryPolicy, candidates: Candidates, past: Past) -> FrameNote:
    """Return the note of an object on a frame, with the candidate that is taken."""
    choice = policy.choose(candidates, past.note, past.elapsed)
    is_there = candidates.presence_logit > policy.presence_threshold
    area = int(candidates.areas[choice.index]) if is_there else 0
    x0, y0, x1, y1 = candidates.boxes[choice.index].tolist() if is_there else (0.0, 0.0, 0.0, 0.0)
    earlier = () if past.note is None else past.note.areas
    note = FrameNote(
        predicted_iou=float(candidates.predicted_iou[choice.index]),
        presence_logit=candidates.presence_logit,
        area=area,
        box=(x0, y0, x1, y1),
        candidate=choice.index,
        motion=choice.motion,
        motion_iou=choice.motion_iou,
        areas=(*earlier, area)[-_AREAS:] if area else earlier,
    )
    return replace(note, anchors=policy.anchors(past.position, candidates, note, past.note, past.start))


def taken(prediction: MaskPrediction, candidates: NDArray[np.int64], threshold: float) -> MaskPrediction:
    """Return the chosen masks (M = 1), those of absent objects empty."""
    index = torch.from_numpy(candidates).to(prediction.iou.device)
    row = torch.arange(len(index), device=index.device)
    absent = (prediction.presence_logit <= threshold)[..., None, None]
    logits = prediction.low_res_logits[row, index][:, None].float()
    return MaskPrediction(
        torch.where(absent, NO_OBJECT_LOGIT, logits),
        prediction.iou[row, index][:, None],
        prediction.presence_logit,
        prediction.tokens[row, index][:, None],
    )
