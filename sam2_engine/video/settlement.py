"""Settlement between objects that claim the same pixels of a frame, before any of them is remembered.

Tracked objects know nothing of each other in SAM 2: two that look alike end on one of them. Here, in turn:
two that exchanged their places are exchanged back; of two that claim mostly the same area, the less sure one
takes another of its candidates, or counts as absent; and a pixel that several claim is one's.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam2_engine.errors import InputError
from sam2_engine.video.memory_policies.motion import expected_box, predict
from sam2_engine.video.memory_policies.policy import Candidates, FrameNote, iou_of_boxes

__all__ = ["Claim", "Overlapping", "Settled", "give_pixels", "settle"]

MOSTLY = 0.5
"""Part of the smaller mask that two objects share, from which they claim the same area."""
NEARLY_ALL = 0.8
"""Part of a mask that is another object's, from which nothing is left of it."""
LEAST_IOU = 0.4
"""Predicted IoU of a candidate that is taken in place of a disputed one."""
PLACE = 0.5
"""Weight of the place where an object was expected against the predicted IoU."""
SWAP = 1.0
"""By how much two objects must fit better into each other's expected places, of 2, to be exchanged."""
TAKEN = -10.0
"""Highest logit of a pixel that is another object's."""


@dataclass(frozen=True)
class Overlapping:
    """Which objects may share pixels.

    Attributes
    ----------
    everything
        All of them.
    pairs
        Those, where it is not all: an organ and the lesion in it.
    """

    everything: bool = True
    pairs: frozenset[frozenset[int]] = frozenset()

    @classmethod
    def of(cls, given: bool | Iterable[tuple[int, int]]) -> "Overlapping":
        """Return what True (all), False (none) or pairs of ids mean.

        Raises
        ------
        InputError
            If a pair is none.

        Examples
        --------
        >>> Overlapping.of([(1, 2)]).allows(2, 1), Overlapping.of([(1, 2)]).allows(1, 3)
        (True, False)
        """
        if isinstance(given, bool):
            return cls(given)
        pairs = [frozenset(map(int, pair)) for pair in given]
        if any(len(pair) != 2 for pair in pairs):
            raise InputError("overlapping is True, False, or pairs of two objects each: [(1, 2), (1, 3)].")
        return cls(False, frozenset(pairs))

    def allows(self, one: int, other: int) -> bool:
        """Whether two objects may share pixels."""
        return self.everything or frozenset((one, other)) in self.pairs


@dataclass(frozen=True)
class Claim:
    """What one object claims on a frame.

    Attributes
    ----------
    object_id
        Whose claim it is.
    candidates
        What the model offers it.
    chosen
        The candidate that it takes; None where it is absent.
    before
        Its note of the last frame; None if there is none.
    is_fixed
        Whether a person said so, by a prompt on this frame.
    """

    object_id: int
    candidates: Candidates
    chosen: int | None
    before: FrameNote | None = None
    is_fixed: bool = False


@dataclass
class Settled:
    """What an object gets.

    Attributes
    ----------
    row
        Whose candidates: its own, or those of the object that it was exchanged with.
    candidate
        Which; None: it is absent.
    rivals
        Ids of the objects that it was settled with.
    """

    row: int
    candidate: int | None
    rivals: list[int] = field(default_factory=list)


def settle(claims: list[Claim], masks: Tensor, overlapping: Overlapping) -> list[Settled]:
    """Return what each object gets.

    Parameters
    ----------
    claims
        Of N objects.
    masks
        (N, M, h, w) bool, all their candidates.
    overlapping
        Who may share pixels.
    """
    settled = [Settled(row, claim.chosen) for row, claim in enumerate(claims)]
    places = [_place(claim.before) for claim in claims]
    _exchange_back(claims, settled, places)
    flat = masks.flatten(2)
    crowded = np.nonzero(np.triu(_shares(flat, settled) > MOSTLY, 1))
    mostly = [
        (one, other)
        for one, other in zip(*(rows.tolist() for rows in crowded), strict=True)
        if not overlapping.allows(claims[one].object_id, claims[other].object_id)
    ]
    if mostly:
        _divide(claims, settled, places, flat, mostly)
    return settled


def _place(before: FrameNote | None) -> NDArray[np.float64] | None:
    """Return the box in which an object is expected; None where that is not known."""
    if before is None:
        return None
    if before.motion is not None and before.motion.steady > 0:
        return expected_box(predict(before.motion))
    return np.array(before.box) if before.area else None


def _shares(flat: Tensor, settled: list[Settled]) -> NDArray[np.float64]:
    """Return which part of the smaller of two masks is in the other, (N, N)."""
    chosen = torch.stack(
        [
            torch.zeros_like(flat[0, 0]) if one.candidate is None else flat[one.row, one.candidate]
            for one in settled
        ]
    ).float()
    with torch.autocast(chosen.device.type, enabled=False):  # pixels are counted, not rounded
        shared = (chosen @ chosen.T).cpu().numpy().astype(np.float64)
    areas = shared.diagonal()
    smaller = np.minimum(areas[:, None], areas[None])
    return np.divide(shared, smaller, out=np.zeros_like(shared), where=smaller > 0)


def _fit(place: NDArray[np.float64] | None, claim: Claim, candidate: int | None) -> float:
    """Return how well a candidate fits a place, 0..1."""
    if place is None or candidate is None:
        return 0.0
    return float(iou_of_boxes(place, claim.candidates.boxes[candidate][None])[0])


def _exchange_back(
    claims: list[Claim], settled: list[Settled], places: list[NDArray[np.float64] | None]
) -> None:
    """Exchange the claims of objects each of which took the other's place."""
    movable = [
        row
        for row, claim in enumerate(claims)
        if claim.chosen is not None and places[row] is not None and not claim.is_fixed
    ]
    own = {row: _fit(places[row], claims[row], claims[row].chosen) for row in movable}
    lost = [row for row in movable if own[row] < 0.5]
    for index, one in enumerate(lost):
        for other in lost[index + 1 :]:
            crossed = _fit(places[one], claims[other], claims[other].chosen)
            crossed_other = _fit(places[other], claims[one], claims[one].chosen)
            if crossed + crossed_other - own[one] - own[other] > SWAP and settled[one].row == one:
                settled[one], settled[other] = (
                    Settled(other, claims[other].chosen, [claims[other].object_id]),
                    Settled(one, claims[one].chosen, [claims[one].object_id]),
                )
                break


def _divide(
    claims: list[Claim],
    settled: list[Settled],
    places: list[NDArray[np.float64] | None],
    flat: Tensor,
    mostly: list[tuple[int, int]],
) -> None:
    """Give what two objects claim to the surer one; the other takes what is left of its candidates."""
    rivals: dict[int, set[int]] = {}
    for one, other in mostly:
        rivals.setdefault(one, set()).add(other)
        rivals.setdefault(other, set()).add(one)

    def sureness(row: int, candidate: int | None) -> float:
        claim = claims[settled[row].row]
        if claim.is_fixed:
            return np.inf
        if candidate is None:
            return -np.inf
        present = 1 / (1 + np.exp(-claim.candidates.presence_logit))
        iou = float(claim.candidates.predicted_iou[candidate])
        return float(present * iou + PLACE * _fit(places[row], claim, candidate))

    done: set[int] = set()
    for row in sorted(rivals, key=lambda row: -sureness(row, settled[row].candidate)):
        mine = settled[row]
        ahead = [settled[other] for other in rivals[row] if other in done]
        done.add(row)
        if not ahead or claims[row].is_fixed or mine.candidate is None:
            continue
        taken = torch.stack([flat[one.row, one.candidate] for one in ahead if one.candidate is not None])
        claim, blocked = claims[mine.row], taken.any(0)
        free = [
            candidate
            for candidate, iou in enumerate(claim.candidates.predicted_iou)
            if iou >= LEAST_IOU and _is_free(flat[mine.row, candidate], blocked, MOSTLY)
        ]
        # What is half behind another one keeps the half that is seen.
        if not free and _is_free(flat[mine.row, mine.candidate], blocked, NEARLY_ALL):
            continue
        best = max(free, key=lambda candidate: sureness(row, candidate), default=None)
        if best != mine.candidate:
            others = [claims[other].object_id for other in rivals[row] if other in done and other != row]
            settled[row] = Settled(mine.row, best, [*mine.rivals, *others])


def _is_free(mask: Tensor, blocked: Tensor, most: float) -> bool:
    """Whether a mask is there, and at most such a part of it another's."""
    area = int(mask.sum())
    return area > 0 and int((mask & blocked).sum()) <= most * area


def give_pixels(
    logits: Tensor, object_ids: list[int], is_fixed: list[bool], overlapping: Overlapping
) -> Tensor:
    """Return logits in which a pixel is that of one object, where they may not overlap.

    Parameters
    ----------
    logits
        (N, h, w); of a pixel that several claim, the highest one stays, or that of a prompted object.
    object_ids, is_fixed
        Of the N objects.
    overlapping
        Who may share pixels.

    Examples
    --------
    >>> logits = torch.tensor([[[3.0, 2.0, -5.0]], [[-4.0, 5.0, 6.0]]])
    >>> give_pixels(logits, [1, 2], [False, False], Overlapping(False)).tolist()
    [[[3.0, -10.0, -10.0]], [[-10.0, 5.0, 6.0]]]
    """
    weight = logits + torch.tensor(is_fixed, device=logits.device)[:, None, None] * -TAKEN * 100
    inside = logits > 0
    result = logits.clone()
    rows = range(len(object_ids))
    partners = {
        one: [
            other for other in rows if other != one and overlapping.allows(object_ids[one], object_ids[other])
        ]
        for one in rows
    }
    if not any(partners.values()):
        winner = torch.where(inside, weight, -torch.inf).argmax(0)
        others = inside.any(0) & (torch.arange(len(rows), device=logits.device)[:, None, None] != winner)
        return torch.where(others, result.clamp(max=TAKEN), result)
    claimed = torch.where(inside, weight, -torch.inf)
    for one in rows:
        against = [other for other in rows if other != one and other not in partners[one]]
        if against:
            taken = claimed[against].amax(0) > claimed[one]
            result[one] = torch.where(taken, logits[one].clamp(max=TAKEN), logits[one])
    return result
