"""Verified masks: no propagation changes them, and they say where to stop and what to start from."""

import numpy as np
import pytest

from sam2_engine.errors import InputError
from sam2_plugins.session.propagation_plan import Direction


@pytest.fixture
def tracked(session):
    session.add_points(0, session.add_object(), (20, 20))
    list(session.propagate())
    return session


def test_a_verified_mask_stays_whatever_comes(tracked):
    before = tracked.accepted(1, 4)
    tracked.verify(1, [4])
    tracked.add_points(0, 1, (60, 40), [0])
    assert [result.frame for result in tracked.propagate()] == [0, 1, 2, 3, 5, 6, 7]
    assert tracked.accepted(1, 4) is before
    with pytest.raises(InputError, match="verified on frame 4; unverify"):
        tracked.add_points(4, 1, (20, 20))
    tracked.verify(1, [4], verified=False)
    tracked.add_points(4, 1, (20, 20))
    assert tracked.accepted(1, 4) is not before


def test_a_correction_goes_to_the_verified_neighbors_only(tracked):
    tracked.verify(1, [1, 6])
    tracked.add_points(3, 1, (26, 20))
    assert tracked.frames_to_visit(start=3) == [3, 4, 5]
    assert tracked.frames_to_visit(start=3, reverse=True) == [3, 2]
    assert tracked.frames_to_visit(start=3, stop=7) == [3, 4, 5, 7]


def test_each_object_has_its_own_verified_frames(tracked):
    two = tracked.add_object()
    tracked.add_box(0, two, (50, 28, 70, 48))
    tracked.verify(1, [2])
    visited = {result.frame: result.object_ids for result in tracked.propagate(stop=3)}
    assert visited == {0: (1, two), 1: (1, two), 2: (two,), 3: (1, two)}


def test_continue_starts_at_the_first_missing_frame(session):
    session.add_points(0, session.add_object(), (20, 20))
    list(session.propagate(stop=2))
    before = {frame: session.accepted(1, frame) for frame in range(3)}
    assert [result.frame for result in session.propagate(missing_only=True)] == [3, 4, 5, 6, 7]
    assert {frame: session.accepted(1, frame) for frame in range(3)} == before
    assert session.frames_to_visit(missing_only=True) == []
    assert list(session.propagate(missing_only=True)) == []


def test_stopped_and_continued_is_the_same_as_in_one_go(discs, store, small_checkpoint):
    from sam2_plugins.session.annotation_session import AnnotationSession

    whole, parts = (AnnotationSession(discs, store, small_checkpoint, axes="TYX") for _ in range(2))
    for one in (whole, parts):
        one.add_points(0, one.add_object(), (20, 20))
    list(whole.propagate())
    list(parts.propagate(stop=2))
    list(parts.propagate(missing_only=True))
    for frame in range(8):
        np.testing.assert_array_equal(whole.mask(1, frame), parts.mask(1, frame))


def test_an_object_without_prompts_is_tracked_from_its_verified_mask(tracked):
    tracked.verify(1, [3])
    tracked.clear_prompts(1)
    seen = tracked.mask(1, 3)
    results = {r.frame: r for r in tracked.propagate()}
    assert sorted(results) == [4, 5, 6, 7]
    np.testing.assert_array_equal(tracked.mask(1, 3), seen)


def test_neighboring_verified_masks_are_what_the_model_goes_by(tracked, disc_mask):
    """With frame 5 verified as something else, the frames before it change when tracked again."""
    list(tracked.propagate(start=0))
    without = tracked.accepted(1, 4)
    moved = np.roll(disc_mask, 25, axis=1)
    tracked.add_mask(5, 1, moved)
    tracked.verify(1, [5])
    list(tracked.propagate(start=1))
    assert tracked.accepted(1, 4) != without


def test_only_what_has_a_mask_can_be_verified(session):
    session.add_object()
    with pytest.raises(InputError, match="no mask on frame 2"):
        session.verify(1, [2])
    with pytest.raises(InputError, match="no object 9"):
        session.verified(9)


def test_each_object_goes_both_ways_from_its_own_prompts(session):
    session.add_points(2, session.add_object(), (24, 20))
    session.add_points(6, session.add_object(), (60, 34))
    for run in session.runs(Direction.BOTH):
        session.propagate(**run)
    assert [session.frames_of(object_id) for object_id in (1, 2)] == [list(range(8))] * 2
    assert not any(session.has_frames(**run) for run in session.runs(Direction.BOTH, missing_only=True))
    session.verify(1, frames=range(8))
    assert str(session.estimate([{"object_ids": (1,)}])) == "nothing left to track"


def test_sentences_and_undo_say_what_people_call_an_object(tracked):
    tracked.edit_object(1, name="left nucleus")
    tracked.verify(1, [4])
    assert tracked.undo_name == "verify left nucleus"
    with pytest.raises(InputError, match=r"^Left nucleus is verified on frame 4"):
        tracked.add_points(4, 1, (20, 20))
