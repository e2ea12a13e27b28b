"""Objects of a large plane that may not overlap: settled between tiles as within one, and exchanged back."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sam2_engine import open_frames
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.open_session import open_video_session
from sam2_engine.video.tiled_session import TiledVideoSession
from sam2_engine.video.video_session import FrameOffer, VideoSession

SHAPE = (140, 420)  # the small model's input is 128
Place = Callable[[int, int], tuple[float, float]]
"""Where the model sees an object on a frame."""


def square(x: float, y: float, half: int = 10) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return (abs(columns - x) < half) & (abs(rows - y) < half)


class Seen:
    """Lets tiles offer squares where the objects are said to be seen, each as sure as is said."""

    def __init__(self, place: Place, sureness: dict[int, float]) -> None:
        self.place, self.sureness = place, sureness
        self.regions: dict[tuple[int, int], object] = {}

    def offer(self, offered: FrameOffer) -> FrameOffer:
        x0, y0, x1, y1 = offered.seen
        for row, object_id in enumerate(offered.offer.pasts if offered.offer else ()):
            assert offered.offer is not None
            self.regions[offered.frame, object_id] = offered.seen
            prediction = offered.offer.prediction
            side = prediction.low_res_logits.shape[-1]
            steps, (x, y) = (np.arange(side) + 0.5) / side, self.place(object_id, offered.frame)
            columns, rows = x0 + steps[None] * (x1 - x0), y0 + steps[:, None] * (y1 - y0)
            inside = (abs(columns - x) < 10) & (abs(rows - y) < 10)
            sure = self.sureness.get(object_id, 0.9)
            prediction.low_res_logits[row] = torch.from_numpy(np.where(inside, 10 * sure, -10.0))
            prediction.iou[row], prediction.presence_logit[row] = sure, 6.0
        return offered


def session_of(
    model: Sam2, monkeypatch: pytest.MonkeyPatch, seen: Seen, length: int, **options: object
) -> TiledVideoSession:
    original = VideoSession.offer_frame
    monkeypatch.setattr(VideoSession, "offer_frame", lambda *given: seen.offer(original(*given)))
    frames = np.zeros((length, *SHAPE), np.uint8) + np.arange(SHAPE[1], dtype=np.uint8)
    session = open_video_session(model, open_frames(frames), **options)  # type: ignore[arg-type]
    assert isinstance(session, TiledVideoSession)
    return session


def begun(session: TiledVideoSession, *centers: float) -> None:
    for object_id, x in enumerate(centers, start=1):
        session.add_mask(0, object_id, square(x, 70))


APART = {1: 180.0, 2: 235.0}


def test_pixels_that_objects_of_two_tiles_claim_are_ones(
    small_model: Sam2, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Seen(lambda i, frame: (200, 70) if i == 1 else (212, 70), {1: 0.8, 2: 0.9})
    session = session_of(small_model, monkeypatch, seen, 2, overlapping=False)
    begun(session, *APART.values())
    *_, result = session.propagate()
    assert seen.regions[1, 1] != seen.regions[1, 2]
    one, other = result.masks
    assert (one & other).sum() <= 20 * 2  # grids of tiles are up to half a cell apart
    assert abs(other.sum() - square(212, 70).sum()) < 40  # the higher logit
    assert abs(one.sum() - (square(200, 70) & ~square(212, 70)).sum()) <= 20 * 4  # by a cell
    memories = [session._tiles[region]._objects[i].bank.tracked[1] for (_, i), region in seen.regions.items()]
    assert [int((one.low_res_logits > 0).sum()) for one in memories] == [  # what is remembered
        int((logits > 0).sum()) for logits in result.low_res_logits
    ]


def test_the_less_sure_one_gives_way_unless_they_may_overlap(
    small_model: Sam2, monkeypatch: pytest.MonkeyPatch
) -> None:
    for options, areas in (({"overlapping": False}, 1), ({"overlapping": [(1, 2)]}, 2), ({}, 2)):
        seen = Seen(lambda i, frame: (205, 70), {1: 0.6, 2: 0.9})
        with monkeypatch.context() as patch:
            session = session_of(small_model, patch, seen, 2, **options)
            begun(session, *APART.values())
            if not options:  # as by default: nothing is offered, tiles know nothing of each other
                assert session.overlapping.everything
                continue
            *_, result = session.propagate()
        assert sum(mask.any() for mask in result.masks) == areas
        assert result.masks[1].any()
        if areas == 1:
            assert result.presence[0] < 0.01
            assert result.notes[0] is not None
            assert result.notes[0].rivals == (2,)


def test_a_prompted_mask_in_another_tile_stays(small_model: Sam2, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen(lambda i, frame: (205, 70), {})
    session = session_of(small_model, monkeypatch, seen, 2, overlapping=False)
    begun(session, *APART.values())
    session.add_mask(1, 2, square(210, 70))
    *_, result = session.propagate()
    assert result.masks[1].sum() == square(210, 70).sum()
    assert not (result.masks[0] & result.masks[1]).any()


@pytest.mark.parametrize("reverse", [False, True])
def test_who_was_taken_for_whom_is_exchanged_back_across_tiles(
    small_model: Sam2, monkeypatch: pytest.MonkeyPatch, reverse: bool
) -> None:
    """They pass each other, each is seen as the other one since, and goes on as who it really is again."""
    length, exchanged = 25, set[int]()

    def truth(object_id: int, frame: int) -> float:
        t = length - 1 - frame if reverse else frame
        return 100 + 9 * t if object_id == 1 else 316 - 9 * t

    def place(object_id: int, frame: int) -> tuple[float, float]:
        t = length - 1 - frame if reverse else frame
        is_wrong = t > 12 and not exchanged
        return truth(3 - object_id if is_wrong else object_id, frame), 70

    seen = Seen(place, {})
    session = session_of(small_model, monkeypatch, seen, length, overlapping=False)
    start = length - 1 if reverse else 0
    for object_id in (1, 2):
        session.add_mask(start, object_id, square(truth(object_id, start), 70))
    for result in session.propagate(reverse=reverse):
        for since in result.exchanges.values():
            exchanged.add(result.frame)
            assert abs(since - 12) <= 2
        t = abs(result.frame - start)
        if exchanged or t < 10:
            for index, object_id in enumerate(result.object_ids):
                columns = np.nonzero(result.masks[index])[1]
                assert abs(columns.mean() - truth(object_id, result.frame)) < 3, result.frame
    (frame,) = exchanged
    assert 14 <= abs(frame - start) <= 20
    assert len({region for (_, i), region in seen.regions.items() if i == 1}) >= 3


@pytest.mark.filterwarnings("ignore:The mask of object .* is too small")
def test_parts_of_each_other_are_tracked_as_if_all_might_overlap(small_model: Sam2) -> None:
    """What is offered is what is remembered, in steps as at once."""
    frames = np.random.default_rng(0).integers(0, 200, (4, *SHAPE), dtype=np.uint8)
    runs = []
    for pairs in ([(1, 2)], True):
        session = TiledVideoSession(small_model, frames, overlapping=pairs)
        begun(session, *APART.values())
        runs.append([result.low_res_logits for result in session.propagate()])
    np.testing.assert_allclose(*runs, atol=1e-3)
