"""Choice among the model's candidates, for all objects of a frame, and what is noted of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam2_engine.modeling.sam2 import MASK_STRIDE, NO_OBJECT_LOGIT, MaskPrediction
from sam2_engine.video.identities import sightings_of, watch
from sam2_engine.video.memory_policies.policy import Candidates, FrameNote, MemoryPolicy
from sam2_engine.video.settlement import Claim, Overlapping, Settled, give_pixels, settle

__all__ = ["ABSENT", "Chosen", "Past", "candidates_of", "choose", "choose_again", "choose_all", "decide"]

ABSENT = -1
"""In place of a candidate, of an object that gave way to another."""
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
    settled
        The candidate that it got when the frame was tracked before, beside all others, or ``ABSENT``; None
        where nothing was settled.
    step
        1 forwards, -1 backwards.
    """

    note: FrameNote | None
    elapsed: int
    position: int
    start: int
    settled: int | None = None
    step: int = 1


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


class Chosen(NamedTuple):
    """What N objects get on a frame.

    Attributes
    ----------
    prediction
        Their masks (M = 1), those of absent objects empty.
    notes
        One each.
    """

    prediction: MaskPrediction
    notes: list[FrameNote]


def choose_all(
    policy: MemoryPolicy,
    prediction: MaskPrediction,
    pasts: dict[int, Past],
    overlapping: Overlapping,
    given: dict[int, Tensor],
) -> Chosen:
    """Choose for all objects of a frame, and settle what several claim.

    Parameters
    ----------
    policy
        Which candidate each would take.
    prediction
        Candidates of N objects.
    pasts
        What is known of them, by id.
    overlapping
        Which may share pixels.
    given
        (4 G, 4 G) logits of the objects that are prompted on the frame, by id.
    """
    chosen = choose(policy, prediction, pasts, overlapping, given)
    if overlapping.everything:
        return chosen
    past = next(iter(pasts.values()))
    logits = chosen.prediction.low_res_logits[:, 0]
    seen = dict(zip(pasts, sightings_of(logits, past.position), strict=True))
    before = {i: one.note for i, one in pasts.items()}
    notes = dict(zip(pasts, chosen.notes, strict=True))
    notes = watch(notes, before, seen, past.position, past.step, overlapping)
    return Chosen(chosen.prediction, list(notes.values()))


def choose(
    policy: MemoryPolicy,
    prediction: MaskPrediction,
    pasts: dict[int, Past],
    overlapping: Overlapping,
    given: dict[int, Tensor],
) -> Chosen:
    """Do as :func:`choose_all` on one frame alone: who was taken for whom before it is not looked at."""
    offered = dict(zip(pasts, candidates_of(prediction), strict=True))
    notes = {i: decide_again(policy, one, pasts[i], pasts[i].settled) for i, one in offered.items()}
    rows = dict(zip(pasts, range(len(pasts)), strict=True))
    if overlapping.everything:
        return Chosen(_taken(prediction, rows, notes, policy.presence_threshold), list(notes.values()))
    if len(pasts) + len(given) > 1:
        ids = list(pasts)
        for object_id, one in _settled(prediction, offered, notes, pasts, overlapping, given).items():
            rows[object_id] = one.row
            outcome = ABSENT if one.candidate is None else one.candidate
            note = decide_again(policy, offered[ids[one.row]], pasts[object_id], outcome)
            notes[object_id] = replace(note, rivals=tuple(one.rivals))
    chosen = _taken(prediction, rows, notes, policy.presence_threshold)
    logits = torch.cat([chosen.low_res_logits[:, 0], *(one[None] for one in given.values())])
    is_fixed = [False] * len(pasts) + [True] * len(given)
    logits = give_pixels(logits, [*pasts, *given], is_fixed, overlapping)[: len(pasts)]
    return Chosen(replace(chosen, low_res_logits=logits[:, None]), list(notes.values()))


def choose_again(
    policy: MemoryPolicy,
    prediction: MaskPrediction,
    pasts: dict[int, Past],
    chosen: Chosen,
    row: int,
    outcome: int,
    rivals: Sequence[int],
) -> Chosen:
    """Return what was chosen on a frame, with another candidate of the object in one row, or ``ABSENT``."""
    object_id = list(pasts)[row]
    (offered,) = candidates_of(prediction.of([row]))
    note = decide_again(policy, offered, pasts[object_id], outcome)
    note = replace(note, rivals=(*chosen.notes[row].rivals, *rivals))
    taken = _taken(prediction, {object_id: row}, {object_id: note}, policy.presence_threshold)
    rows = torch.arange(len(pasts), device=prediction.iou.device) == row
    prediction = MaskPrediction(
        *(
            torch.where(rows.view(-1, *[1] * (old.ndim - 1)), new, old)
            for old, new in zip(_parts(chosen.prediction), _parts(taken), strict=True)
        )
    )
    return Chosen(prediction, [note if n == row else one for n, one in enumerate(chosen.notes)])


def _parts(prediction: MaskPrediction) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return prediction.low_res_logits, prediction.iou, prediction.presence_logit, prediction.tokens


def _settled(
    prediction: MaskPrediction,
    offered: dict[int, Candidates],
    notes: dict[int, FrameNote],
    pasts: dict[int, Past],
    overlapping: Overlapping,
    given: dict[int, Tensor],
) -> dict[int, Settled]:
    """Return what the objects get that give way to others, or are exchanged."""
    claims = [
        Claim(i, one, notes[i].candidate if notes[i].area else None, pasts[i].note)
        for i, one in offered.items()
    ]
    masks = prediction.low_res_logits > 0
    if given:
        count = masks.shape[1]
        fixed = torch.stack(list(given.values()))[:, None].expand(-1, count, -1, -1) > 0
        masks = torch.cat([masks, fixed])
        claims += [Claim(i, _given(count), 0, is_fixed=True) for i in given]
    return {i: one for i, one in zip(offered, settle(claims, masks, overlapping)) if one.rivals}


def decide_again(policy: MemoryPolicy, offered: Candidates, past: Past, outcome: int | None) -> FrameNote:
    """Return the note of an object whose candidate is settled, or that is absent; None: it may choose."""
    if outcome is None:
        return decide(policy, offered, past)
    if outcome == ABSENT:
        return decide(policy, offered.absent(), past)
    return replace(decide(policy, offered.only(outcome), past), candidate=outcome)


def _given(count: int) -> Candidates:
    """Return the candidates of a prompted object: its mask, so many times; only that it is fixed matters."""
    ones = np.ones(count, np.float32)
    return Candidates(ones, 10.0, np.zeros((count, 4), np.float32), np.ones(count, np.int64), _no_masks)


def _no_masks() -> NDArray[np.bool_]:
    return np.zeros((0, 1, 1), np.bool_)


def _taken(
    prediction: MaskPrediction, rows: dict[int, int], notes: dict[int, FrameNote], threshold: float
) -> MaskPrediction:
    """Return the masks that were chosen (M = 1), those of absent objects empty."""
    device = prediction.iou.device
    row = torch.tensor(list(rows.values()), device=device)
    index = torch.tensor([note.candidate for note in notes.values()], device=device)
    logits = [note.presence_logit for note in notes.values()]
    presence = prediction.presence_logit.new_tensor(logits)[:, None]
    absent = (presence <= threshold)[..., None, None]
    masks = prediction.low_res_logits[row, index][:, None].float()
    return MaskPrediction(
        torch.where(absent, NO_OBJECT_LOGIT, masks),
        prediction.iou[row, index][:, None],
        presence,
        prediction.tokens[row, index][:, None],
    )
