"""Objects that claim the same pixels: who keeps them, who takes another candidate, who is exchanged back."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam2_engine.errors import InputError
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.memory_policies.policy import Candidates, FrameNote
from sam2_engine.video.settlement import Claim, Overlapping, Settled, give_pixels, settle
from sam2_engine.video.video_session import VideoSession

NONE = Overlapping(False)
LEFT, RIGHT, MIDDLE = (2, 8, 10, 16), (20, 8, 28, 16), (3, 8, 11, 16)
Box = tuple[int, int, int, int]


def mask_of(box: Box) -> Tensor:
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def claim(
    object_id: int, boxes: list[Box], ious: list[float], at: Box | None = None, presence: float = 5.0
) -> Claim:
    """An object that is offered boxes, and was at another one before."""
    edges = np.float32(boxes) * 4
    offered = Candidates(
        np.float32(ious), presence, edges, np.array([64] * len(boxes)), lambda: np.zeros((1, 1, 1), bool)
    )
    before = None if at is None else FrameNote(0.9, 5.0, 64, tuple(4.0 * edge for edge in at))  # type: ignore[arg-type]
    return Claim(object_id, offered, int(np.argmax(ious)), before)


def settled(claims: list[Claim], boxes: list[list[Box]], overlapping: Overlapping = NONE) -> list[Settled]:
    masks = torch.stack([torch.stack([mask_of(box) for box in of_one]) for of_one in boxes])
    return settle(claims, masks, overlapping)


def test_the_less_sure_one_takes_another_candidate() -> None:
    boxes = [[LEFT, RIGHT], [MIDDLE, RIGHT]]
    claims = [claim(1, boxes[0], [0.9, 0.5]), claim(2, boxes[1], [0.8, 0.6])]
    one, other = settled(claims, boxes)
    assert (one.candidate, one.rivals) == (0, [])
    assert (other.candidate, other.rivals) == (1, [1])


def test_it_is_absent_where_nothing_is_left() -> None:
    boxes = [[LEFT, LEFT], [MIDDLE, LEFT]]
    one, other = settled([claim(5, boxes[0], [0.9, 0.8]), claim(6, boxes[1], [0.8, 0.7])], boxes)
    assert one.candidate == 0
    assert (other.candidate, other.rivals) == (None, [5])


def test_what_is_half_behind_another_keeps_the_other_half() -> None:
    boxes = [[LEFT, LEFT], [(5, 8, 13, 16), LEFT]]
    one, other = settled([claim(5, boxes[0], [0.9, 0.8]), claim(6, boxes[1], [0.8, 0.3])], boxes)
    assert (one.candidate, other.candidate, other.rivals) == (0, 0, [])


def test_where_each_was_expected_counts() -> None:
    """What looks a little better came from elsewhere."""
    boxes = [[LEFT, RIGHT], [LEFT, RIGHT]]
    claims = [claim(1, boxes[0], [0.8, 0.5], at=MIDDLE), claim(2, boxes[1], [0.9, 0.6], at=RIGHT)]
    one, other = settled(claims, boxes)
    assert (one.candidate, other.candidate) == (0, 1)


def test_what_a_person_prompted_stays() -> None:
    boxes = [[LEFT, RIGHT], [LEFT, LEFT]]
    prompted = replace(claim(2, boxes[1], [0.1, 0.1]), is_fixed=True)
    one, other = settled([claim(1, boxes[0], [0.9, 0.6]), prompted], boxes)
    assert (one.candidate, other.candidate) == (1, 0)


def test_pairs_that_may_overlap_are_left_alone() -> None:
    boxes = [[LEFT, RIGHT], [MIDDLE, RIGHT]]
    claims = [claim(1, boxes[0], [0.9, 0.5]), claim(2, boxes[1], [0.8, 0.6])]
    assert [one.candidate for one in settled(claims, boxes, Overlapping.of([(2, 1)]))] == [0, 0]
    logits = torch.stack([torch.where(mask_of(box), 4.0, -4.0) for box in (LEFT, MIDDLE, LEFT)])
    given = give_pixels(logits, [1, 2, 3], [False] * 3, Overlapping.of([(1, 2)]))
    assert (given[0] > 0).equal(mask_of(LEFT))
    assert (given[1] > 0).equal(mask_of(MIDDLE))


def test_a_swap_is_undone() -> None:
    boxes = [[RIGHT, RIGHT], [LEFT, LEFT]]
    claims = [claim(1, boxes[0], [0.9, 0.8], at=LEFT), claim(2, boxes[1], [0.9, 0.8], at=RIGHT)]
    one, other = settled(claims, boxes)
    assert (one.row, one.rivals, other.row, other.rivals) == (1, [2], 0, [1])


def test_pixels_are_one_objects() -> None:
    logits = torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(1)) * 5
    given = give_pixels(logits, [1, 2, 3, 4], [False, False, False, True], NONE)
    assert int((given > 0).sum(0).max()) == 1
    assert (given > 0).any(0).equal((logits > 0).any(0))
    assert (given[3] > 0).equal(logits[3] > 0)
    pairs = Overlapping.of([(8, 9)])
    assert give_pixels(logits, [1, 2, 3, 4], [False, False, False, True], pairs).equal(given)


def test_pairs_are_checked() -> None:
    with pytest.raises(InputError, match="pairs of two objects each"):
        Overlapping.of([(1, 1)])


@pytest.mark.parametrize("policy", ["recent", "motion+distractor_aware"])
def test_masks_of_a_session_do_not_overlap(
    small_model: Sam2, moving_discs: NDArray[np.uint8], policy: str
) -> None:
    """Also after a correction, for which frames are tracked again alone."""
    session = VideoSession(small_model, moving_discs, memory_policy=policy, overlapping=False, history=2**30)
    for object_id, click in ((1, (30, 35)), (2, (36, 38)), (3, (95, 60))):
        session.add_points(0, object_id, click)
    results = list(session.propagate())
    session.add_points(9, 2, (60, 50))
    results += session.propagate(start=9)
    for result in results:
        tracked = [i for i, note in enumerate(result.notes) if note is not None]
        assert result.low_res_logits[tracked].clip(0).astype(bool).sum(0).max(initial=0) <= 1
    assert any(note.rivals for result in results for note in result.notes if note is not None)
