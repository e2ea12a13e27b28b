"""Tracks that jump, end on one object or are exchanged: asked once, first, and in words."""

from collections.abc import Mapping

import numpy as np
import pytest

from sam2_engine.masks import CompressedMask
from sam2_plugins.review import LiveReview, Review, ReviewItem, review_queue
from sam2_plugins.scripting.review_list import ReviewList
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import AcceptedMask, MaskOrigin, MaskScores

SHAPE = (80, 240)
SURE = MaskScores(1.0, 0.95, 0.97)
Tracks = Mapping[int, Mapping[int, AcceptedMask]]


def disc(x: float, y: float = 40, radius: float = 8) -> CompressedMask:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return CompressedMask.from_array((columns - x) ** 2 + (rows - y) ** 2 < radius**2)


def track(*places: float | None, y: float = 40, shown: int | None = 0) -> dict[int, AcceptedMask]:
    """A disc at a place on each frame, shown to the model on one of them; None: it is not there."""
    masks = {}
    for frame, x in enumerate(places):
        mask = CompressedMask.from_array(np.zeros(SHAPE, bool)) if x is None else disc(x, y)
        masks[frame] = AcceptedMask(
            mask, MaskOrigin.TRACKED, SURE if x is not None else MaskScores(0, 0.9, 1)
        )
    if shown is not None:
        masks[shown] = AcceptedMask.painted(masks[shown].mask)
    return masks


def asked(tracks: Tracks) -> list[ReviewItem]:
    """What is nearly sure to be wrong, the most doubtful first."""
    review = Review()
    review.review_items(tracks)
    return [item for item in review.queue() if item.score > 0.9]


def told(tracks: Tracks) -> list[tuple[int, int, str]]:
    return [(item.object_id, item.frame, item.reason) for item in asked(tracks)]


JUMP = (30, 31, 32, 66, 67, 68, 69, 70)


def test_a_jump_comes_first() -> None:
    assert told({1: track(*JUMP), 2: track(*range(150, 158))}) == [
        (1, 3, "it jumps by 34 pixels from where it is on frame 2")
    ]


def test_a_track_backwards_jumps_where_it_came_to() -> None:
    assert [item[:2] for item in told({1: track(*JUMP, shown=7)})] == [(1, 2)]


def test_who_comes_back_from_one_wrong_place_jumps_once() -> None:
    assert [item[:2] for item in told({1: track(30, 31, 32, 80, 34, 35, 36)})] == [(1, 3)]


@pytest.mark.parametrize(
    "places",
    [range(10, 220, 20), (30, 31, 32, 44, 45, 46), (30, 31, 32, None, None, 35), (30, 60, None)],
    ids=["as fast as ever", "less than its size", "hidden for a while", "the only step"],
)
def test_what_is_no_jump(places: tuple[float | None, ...]) -> None:
    assert not asked({1: track(*places)})


def test_two_on_one_object_are_asked_about_once() -> None:
    other = track(*(60 + t for t in range(12)))
    lost = track(*(30 + min(3 * t, 15) for t in range(6)), *(60 + t for t in range(6, 12)))
    found = [item for item in told({1: lost, 2: other}) if "pixels:" in item[2]]
    assert found == [
        (2, 6, "object 1 and object 2 lie on the same pixels: one of them may have lost its own object")
    ]
    (item,) = (item for item in asked({1: lost, 2: other}) if item.object_id == 2)
    assert item.told({1: "left cell"}).startswith("left cell and object 2 lie on the same pixels")


def test_a_part_of_another_object_is_not_the_same() -> None:
    part = {f: AcceptedMask(disc(60, radius=4), MaskOrigin.TRACKED, SURE) for f in range(8)}
    assert not asked({1: track(*[60] * 8), 2: part})


def crossing(exchanged: bool, shown: int | None = 0) -> Tracks:
    """Two that pass each other; while they are together, the one behind is not seen."""
    one, other = [40 + 6 * t for t in range(24)], [178 - 6 * t for t in range(24)]
    hidden = [None if abs(a - b) < 14 else b for a, b in zip(one, other)]
    if exchanged:
        one[12:], hidden[12:] = hidden[12:], one[12:]
    return {1: track(*one, shown=shown), 2: track(*hidden, y=42, shown=shown)}


@pytest.mark.parametrize("shown", [0, 23])
def test_exchanged_objects_are_asked_about(shown: int) -> None:
    assert not asked(crossing(exchanged=False, shown=shown))
    ((object_id, frame, reason),) = told(crossing(exchanged=True, shown=shown))
    assert (object_id, frame) == (1, 13)
    assert reason.startswith("it may have been exchanged with object 2 after frame 11")


def test_a_confirmed_mask_after_it_says_who_is_who() -> None:
    tracks = crossing(exchanged=True)
    review = Review()
    review.review_items(tracks)
    assert [item.score > 0.9 for item in review.queue()[:2]] == [True, False]
    review.change(2, 14, tracks[2][14], verified=True)
    assert review.queue()[0].score < 0.9
    review.change(2, 14, tracks[2][14], verified=False)
    assert review.queue()[0].score > 0.9


def test_after_any_changes_it_is_as_computed_anew() -> None:
    whole, rng = crossing(exchanged=True), np.random.default_rng(0)
    whole = {**whole, 3: track(*(whole_place(t) for t in range(24)))}
    review, now = Review(), {i: dict(masks) for i, masks in whole.items()}
    review.review_items(now)
    for step in range(60):
        object_id, frame = int(rng.integers(1, 4)), int(rng.integers(24))
        mask = whole[int(rng.integers(1, 4))][frame] if rng.random() < 0.7 else None
        now[object_id].pop(frame, None)
        if mask is not None:
            now[object_id][frame] = mask
        review.change(object_id, frame, mask, verified=False)
        anew = Review()
        anew.review_items({i: dict(sorted(masks.items())) for i, masks in now.items()})
        assert review.queue() == anew.queue(), step


def whole_place(t: int) -> float:
    return 60 + t if t < 10 else 160 + t


@pytest.mark.parametrize("jumping", [1, 2])
def test_who_jumps_onto_another_is_told_with_it(jumping: int) -> None:
    tracks = {
        jumping: track(*(30 + t if t < 4 else 80 + t for t in range(9))),
        3 - jumping: track(*range(80, 89)),
    }
    reasons = {item.reason for item in asked(tracks)}
    assert any("jumps by 51 pixels" in reason for reason in reasons)
    assert sum("same pixels" in reason for reason in reasons) == 1


def test_a_window_and_a_list_read_it(session: AnnotationSession) -> None:
    tracks = {1: track(*JUMP), 2: track(*range(150, 158))}
    with session._edit("masks", {"do": "nothing"}):
        for object_id, masks in tracks.items():
            session.add_object()
            for frame, mask in masks.items():
                session.annotations.set_mask(object_id, frame, mask)
    live = LiveReview(session)
    first, listed = review_queue(session)[0], ReviewList(session, review_queue(session))[0]
    assert live.queue()[0] == first
    assert first.reason == listed.reason == "it jumps by 34 pixels from where it is on frame 2"
    live.close()
