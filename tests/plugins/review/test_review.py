import gc
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine.masks import CompressedMask
from sam2_plugins.review import LiveReview, Review, ReviewItem, queue, review_queue
from sam2_plugins.review.jumps import REACH
from sam2_plugins.review.mask_features import MaskFeatures
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import AcceptedMask, MaskOrigin, MaskScores

SHAPE = (60, 80)
GOOD = MaskScores(1.0, 0.95, 0.97)


def disc(x: float, y: float, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


def accepted(
    mask: NDArray[np.bool_], scores: MaskScores = GOOD, origin: MaskOrigin = MaskOrigin.TRACKED
) -> AcceptedMask:
    return AcceptedMask(CompressedMask.from_array(mask), origin, scores)


def steady(x: float = 20, y: float = 30, length: int = 9) -> dict[int, AcceptedMask]:
    """A disc that drifts a little, painted on frame 0."""
    masks = {frame: accepted(disc(x + frame / 2, y, 10)) for frame in range(length)}
    return masks | {0: AcceptedMask.painted(masks[0].mask)}


def by_frame(masks: Mapping[int, AcceptedMask], *others: Mapping[int, AcceptedMask]) -> list[ReviewItem]:
    """The doubts of the first object."""
    items = Review().review_items(dict(enumerate((masks, *others), 1)))
    return [item for item in items if item.object_id == 1]


def test_a_mask_is_measured() -> None:
    mask = disc(30, 20, 5)
    mask[50:54, 70:] = True
    features = MaskFeatures.of(accepted(mask))
    rows, columns = np.nonzero(mask)
    assert (features.area, features.pieces, features.at_border) == (len(rows), 2, True)
    assert (features.x, features.y) == pytest.approx((columns.mean(), rows.mean()))
    assert features.outside_largest == pytest.approx(40 / len(rows))


@pytest.mark.parametrize(
    ("box", "at_border"),
    [
        ((0, 5, 10, 20), True),
        ((55, 60, 10, 20), True),
        ((10, 20, 0, 5), True),
        ((10, 20, 75, 80), True),
        ((1, 59, 1, 79), False),
    ],
)
def test_each_side_is_a_border(box: tuple[int, int, int, int], at_border: bool) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[box[0] : box[1], box[2] : box[3]] = True
    assert MaskFeatures.of(accepted(mask)).at_border is at_border


def test_pieces_that_meet_at_a_corner_are_one() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[10:12, 10:12] = mask[12:14, 12:14] = True
    assert MaskFeatures.of(accepted(mask)).pieces == 1


CHANGES = {
    "area": (accepted(disc(23, 30, 6.13)), " % smaller than on frame "),
    "presence": (accepted(disc(23, 30, 10), MaskScores(0.55, 0.95, 0.97)), "not sure whether it is here"),
    "predicted IoU": (accepted(disc(23, 30, 10), MaskScores(1.0, 0.41, 0.97)), "not sure of the outline"),
    "stability": (accepted(disc(23, 30, 10), MaskScores(1.0, 0.95, 0.5)), "the outline is not clear"),
    "shift": (accepted(disc(60, 30, 10)), "it jumps by 3"),
    "absent": (accepted(disc(0, 0, 0), MaskScores(0.2, 0.5, 1.0)), "it is not here, but it is on frame"),
    "pieces": (accepted(disc(20, 30, 8) | disc(40, 30, 6)), "in 2 pieces"),
}


@pytest.mark.parametrize(("changed", "reason"), CHANGES.values(), ids=CHANGES)
def test_what_is_unusual_is_doubted_more_and_named(changed: AcceptedMask, reason: str) -> None:
    before = by_frame(steady())
    after = by_frame(steady() | {6: changed})
    assert max(after, key=lambda doubt: doubt.score).frame == 6
    assert after[6].score > before[6].score + 0.02
    assert reason in after[6].reason


def test_an_area_is_compared_with_a_named_frame() -> None:
    small = disc(23, 30, 6.13)
    masks = {frame: accepted(disc(20, 30, 10)) for frame in range(5)} | {5: accepted(small)}
    percent = 100 * (1 - small.sum() / disc(20, 30, 10).sum())
    assert by_frame(masks)[5].reason == f"it is {percent:.0f} % smaller than on frame 4"


def test_overlap_names_the_other_object_and_counts_only_fractiond_pixels() -> None:
    other = {6: accepted(disc(27, 30, 10))}
    alone, together = by_frame(steady()), by_frame(steady(), other)
    assert together[6].score > alone[6].score
    assert together[5].score == alone[5].score
    fraction = (disc(23, 30, 10) & disc(27, 30, 10)).sum() / disc(23, 30, 10).sum()
    assert together[6].reason == f"it overlaps object 2 by {fraction:.0%}".replace("%", " %")
    diagonal = {6: accepted(np.eye(*SHAPE, dtype=bool) & ~disc(23, 30, 10))}
    assert by_frame(steady(), diagonal)[6] == alone[6]


def test_a_border_reached_is_doubted_and_one_always_touched_is_not() -> None:
    low = MaskScores(1.0, 0.95, 0.97)
    away = {frame: accepted(disc(20, 12, 10), low) for frame in range(5)}
    reached = by_frame(away | {3: accepted(disc(20, 9, 10), low)})[3]
    assert reached.reason.startswith("it touches the border of the image, which it does not on frame")
    always = by_frame({frame: accepted(disc(20, 9, 10), low) for frame in range(5)})
    assert all("border" not in doubt.reason for doubt in always)


def test_painted_and_verified_masks_have_no_doubt_and_prompted_ones_little() -> None:
    bad = MaskScores(0.5, 0.1, 0.1)
    masks = {frame: accepted(disc(20, 30, 10), bad) for frame in range(4)}
    tracked = Review().review_items({1: masks})
    assert all(doubt.score > 0.9 for doubt in tracked)
    masks[0] = accepted(disc(20, 30, 10), bad, MaskOrigin.PAINTED)
    masks[1] = accepted(disc(20, 30, 10), bad, MaskOrigin.PROMPTED)
    scores = [item.score for item in Review().review_items({1: masks}, {1: [2]})]
    assert scores[0] == scores[2] == 0
    assert 0 < scores[1] < 0.25
    assert scores[3] > 0.9


def test_doubt_grows_with_the_distance_from_a_reviewed_frame() -> None:
    masks = steady(length=20)
    tracked = [item.score for item in Review().review_items({1: masks})]
    assert tracked[1] < tracked[5] < tracked[18]
    verified = [item.score for item in Review().review_items({1: masks}, {1: {17}})]
    assert verified[18] < tracked[18]
    assert verified[1] == tracked[1]


def test_one_bad_mask_is_doubted_more_than_those_beside_it() -> None:
    masks = steady() | {6: accepted(disc(23, 30, 5))}
    scores = [item.score for item in by_frame(masks)]
    assert scores[6] > 1.5 * max(scores[5], scores[7])


def test_frames_without_neighbors_and_without_masks() -> None:
    assert Review().review_items({}) == []
    assert Review().review_items({1: {}}) == []
    (only,) = Review().review_items({1: {7: accepted(disc(20, 30, 10), MaskScores(1.0, 1.0, 1.0))}})
    assert (only.frame, only.reason) == (7, "nobody has looked at any frame of it")
    (nothing,) = Review().review_items({1: {7: accepted(disc(0, 0, 0), MaskScores(0.0, 0.0, 1.0))}})
    assert 0 < nothing.score < 0.5


def test_only_what_changed_and_its_neighbors_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    measured, reviewed = [], []
    of, review_mask = MaskFeatures.of, queue.review_mask
    monkeypatch.setattr(MaskFeatures, "of", lambda mask: measured.append(mask) or of(mask))
    monkeypatch.setattr(
        queue, "review_mask", lambda i, view: reviewed.append((i, view.frame)) or review_mask(i, view)
    )
    masks = {1: steady(length=30), 2: steady(60, length=30)}
    review = Review()
    first = review.review_items(masks)
    assert (len(measured), len(reviewed)) == (60, 60)
    measured.clear(), reviewed.clear()
    assert review.review_items(masks) == first
    assert (measured, reviewed) == ([], [])
    masks[1][12] = accepted(disc(40, 30, 4))
    changed = review.review_items(masks)
    assert measured == [masks[1][12]]
    assert sorted(reviewed) == [(1, frame) for frame in range(12 - REACH, 12 + REACH + 1)]
    assert changed == Review().review_items(masks)
    assert changed != first
    del masks[1][12]
    assert review.review_items(masks) == Review().review_items(masks)


def test_after_any_changes_it_is_as_computed_anew() -> None:
    rng = np.random.default_rng(0)
    shapes = [accepted(disc(30 + 3 * i, 30, 6 + i)) for i in range(6)] + [accepted(disc(0, 0, 0))]
    shapes += [replace(shapes[0], origin=origin) for origin in (MaskOrigin.PAINTED, MaskOrigin.PROMPTED)]
    masks: dict[int, dict[int, AcceptedMask]] = {1: {}, 2: {}, 3: {}}
    verified: dict[int, set[int]] = {1: set(), 2: set(), 3: set()}
    review = Review()
    for step in range(400):
        object_id, frame = int(rng.integers(1, 4)), int(rng.integers(12))
        if rng.random() < 0.3:
            masks[object_id].pop(frame, None)
        else:
            masks[object_id][frame] = shapes[rng.integers(len(shapes))]
        (verified[object_id].add if rng.random() < 0.2 else verified[object_id].discard)(frame)
        mask = masks[object_id].get(frame)
        review.change(object_id, frame, mask, verified=frame in verified[object_id])
        if step % 7 == 0:
            ordered = {i: dict(sorted(frames.items())) for i, frames in masks.items()}
            items = Review().review_items(ordered, verified)
            queue = sorted(
                (item for item in items if item.score > 0), key=lambda i: (-i.score, i.object_id, i.frame)
            )
            assert review.queue() == queue
            assert review.worst() == {
                i: max(one.score for one in queue if one.object_id == i)
                for i in {one.object_id for one in queue}
            }
            assert review.review_items(ordered, verified) == items


def test_a_live_review_follows_its_session(session: AnnotationSession, disc_mask: NDArray[np.bool_]) -> None:
    live = LiveReview(session)
    for object_id in (session.add_object(), session.add_object()):
        session.add_mask(0, object_id, np.roll(disc_mask, 9 * object_id, 1))
    list(session.propagate(stop=4))
    assert live.queue() == review_queue(session)
    session.verify(1, [2])
    session.lineage.divide(2, 3)
    assert live.queue() == review_queue(session)
    session.remove_object(1)
    assert live.queue() == review_queue(session)
    while session.undo_name:
        session.undo()
        assert live.queue() == review_queue(session)
    live.close()
    session.add_object()
    assert not live._objects


def test_confirming_a_clicked_mask_leaves_the_others_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = {1: {frame: accepted(disc(30, 30, 8)) for frame in range(40)}}
    masks[1][20] = replace(masks[1][20], origin=MaskOrigin.PROMPTED)
    review = Review()
    review.review_items(masks)
    computed: list[int] = []
    review_mask = queue.review_mask
    monkeypatch.setattr(
        queue, "review_mask", lambda i, inputs: computed.append(inputs.frame) or review_mask(i, inputs)
    )
    review.change(1, 20, masks[1][20], verified=True)
    assert 20 not in {item.frame for item in review.queue()}
    assert computed == [20]
    assert review.review_items(masks, {1: {20}}) == Review().review_items(masks, {1: {20}})


def test_what_is_looked_at_does_not_grow_with_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verified mask and a new name, in a session of 60 masks and in one of 540."""
    changes: list[tuple[int, int]] = []
    change = Review.change

    def counted(self: Review, object_id: int, frame: int, *mask: object, **verified: bool) -> None:
        changes.append((object_id, frame))
        change(self, object_id, frame, *mask, **verified)  # type: ignore[arg-type]

    monkeypatch.setattr(Review, "change", counted)
    for frames, objects in ((20, 3), (60, 9)):
        session = AnnotationSession(np.zeros((frames, 64, 80), np.uint8), ModelStore("cpu"))
        mask = np.zeros((64, 80), bool)
        mask[20:40, 20:40] = True
        for frame in range(frames):
            session.import_masks(frame, dict.fromkeys(range(1, objects + 1), mask))
        live = LiveReview(session)
        live.queue()
        changes.clear()
        session.edit_object(2, name="renamed")
        session.verify(3, [7])
        live.queue()
        assert changes == [(3, 7)]
        live.close()


class Session:
    """What a queue reads of a session, without a model."""

    def __init__(self, masks: Mapping[int, Mapping[int, AcceptedMask]], verified: Collection[int]) -> None:
        self.masks, self.frames = masks, verified
        self.objects = dict.fromkeys(masks, SimpleNamespace(parents=()))

    def frames_of(self, object_id: int) -> list[int]:
        return sorted(self.masks[object_id])

    def accepted(self, object_id: int, frame: int) -> AcceptedMask | None:
        return self.masks[object_id].get(frame)

    def verified(self, object_id: int) -> Collection[int]:
        return self.frames


def test_the_queue_is_worst_first_without_what_is_sure() -> None:
    masks = {4: steady() | {6: accepted(disc(60, 30, 3))}, 9: steady(60) | {3: accepted(disc(0, 0, 0))}}
    found = review_queue(Session(masks, [5]))
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)
    assert {(doubt.object_id, doubt.frame) for doubt in found[:2]} == {(4, 6), (9, 3)}
    assert {doubt.frame for doubt in found} == {1, 2, 3, 4, 6, 7, 8}
    assert all(0 < doubt.score <= 1 and doubt.reason for doubt in found)
    assert review_queue(Session(masks, [5]), min_score=found[2].score) == found[:2]


def test_a_session_is_reviewed(session: AnnotationSession, disc_mask: NDArray[np.bool_]) -> None:
    object_id = session.add_object()
    session.add_mask(0, object_id, disc_mask)
    assert review_queue(session) == []
    for _ in session.propagate(stop=4):
        pass
    review = Review()
    found = review_queue(session, review)
    assert sorted(doubt.frame for doubt in found) == [1, 2, 3, 4]
    assert review_queue(session, review) == found


def test_no_garbage_is_collected_while_a_whole_session_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "_MANY", 3)
    session = AnnotationSession(np.zeros((5, 64, 80), np.uint8), ModelStore("cpu"))
    session.import_masks(0, {1: np.ones((64, 80), bool)})
    collecting = []
    of = MaskFeatures.of
    monkeypatch.setattr(MaskFeatures, "of", lambda mask: collecting.append(gc.isenabled()) or of(mask))
    live = LiveReview(session)
    live.queue()
    for frame in range(1, 5):
        session.import_masks(frame, {1: np.ones((64, 80), bool)})
    live.queue()
    live.close()
    assert collecting == [True, False, False, False, False]
    assert gc.isenabled()
