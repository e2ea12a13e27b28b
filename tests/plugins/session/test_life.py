"""The life of an object: what was decided about it is part of tracking it."""

import contextlib
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam2_engine.errors import InputError
from sam2_plugins.session.life import Life
from sam2_plugins.storage import SessionFolder, open_session

frames = st.integers(0, 12)
gaps = st.lists(
    st.one_of(
        st.tuples(frames, frames).map(sorted).map(tuple),
        frames.map(lambda f: (-math.inf, f)),
        frames.map(lambda f: (f, math.inf)),
    ),
    max_size=4,
)
lives = gaps.map(Life.of_gaps)
SPAN = range(-2, 16)


def living(life: Life) -> set[int]:
    return {frame for frame in SPAN if frame in life}


def disc(x: int) -> np.ndarray:
    y, x_ = np.mgrid[:60, :80]
    return (x_ - x) ** 2 + (y - 20) ** 2 < 64


@given(gaps, lives, lives, frames, frames)
def test_lives_are_sets_of_frames(given_gaps, one, other, first, last):
    inside = {f for f in SPAN if any(a <= f <= b for a, b in given_gaps)}
    assert living(Life.of_gaps(given_gaps)) == set(SPAN) - inside
    span = set(range(first, last + 1))
    assert living(one.without(first, last)) == living(one) - span
    assert living(one.with_frames(first, last)) == living(one) | span
    assert living(one.united(other)) == living(one) | living(other)
    later = {f for f in SPAN if f >= first}
    assert living(one.until(first, other)) == (living(one) - later) | (living(other) & later)
    assert living(one) | {first} <= living(one.seen_on(first))
    assert Life.from_json(one.to_json()) == one == Life.of_gaps(one.gaps)
    within = [f for f in range(first, last + 1) if f in one]
    assert one.within(first, last) == ((within[0], within[-1]) if within else None)
    if first <= last:
        assert bool(one.describe_gaps(first, last)) == any(f not in one for f in range(first, last + 1))


@pytest.fixture
def cell(session):
    """One object clicked on frame 0 of eight and tracked to the end."""
    session.add_points(0, session.add_object(), (20, 20))
    list(session.propagate())
    return session


def known(session):
    return {i: session.frames_of(i) for i in session.objects}


def track_everywhere(session):
    for arguments in ({}, {"reverse": True}, {"start": 0}, {"start": 7, "reverse": True}):
        list(session.propagate(**arguments))
        list(session.propagate(**arguments, missing_only=True))


def divided(session):
    for daughter, x in zip(session.lineage.divide(1, 4), (24, 40)):
        session.add_mask(4, daughter, disc(x))
    track_everywhere(session)
    return {1: [0, 1, 2, 3], 2: [4, 5, 6, 7], 3: [4, 5, 6, 7]}


def a_daughter_taken_back(session):
    divided(session)
    session.lineage.merge(1, 2)
    track_everywhere(session)
    assert session.objects[3].parents == ()
    return {1: list(range(8)), 3: [4, 5, 6, 7]}


def daughters_removed(session):
    divided(session)
    session.remove_object(2)
    session.remove_object(3)
    track_everywhere(session)
    return {1: [0, 1, 2, 3]}


def deleted(session):
    session.lineage.delete_from(1, 5)
    track_everywhere(session)
    return {1: [0, 1, 2, 3, 4]}


def absent(session):
    session.lineage.mark_absent(1, 2, 3)
    session.lineage.mark_absent(1, 6)
    track_everywhere(session)
    return {1: [0, 1, 4, 5, 7]}


def given_a_life(session):
    session.lineage.set_life(1, Life(last=5, absences=((1, 2),)))
    track_everywhere(session)
    return {1: [0, 3, 4, 5]}


def split(session):
    session.lineage.split(1, 5)
    session.verify(2, [6])
    track_everywhere(session)
    return {1: [0, 1, 2, 3, 4], 2: [5, 6, 7]}


def taken_for_a_daughter(session):
    session.lineage.delete_from(1, 4)
    session.add_mask(5, session.add_object(), disc(40))
    session.lineage.set_parents(2, [1])
    track_everywhere(session)
    return {1: [0, 1, 2, 3], 2: [5, 6, 7]}


def clicked_after_it_was_a_daughter(session):
    session.lineage.delete_from(1, 4)
    session.lineage.set_parents(session.add_object(), [1])
    session.add_mask(6, 2, disc(40))
    track_everywhere(session)
    return {1: [0, 1, 2, 3], 2: [6, 7]}


DECISIONS = [
    divided,
    a_daughter_taken_back,
    daughters_removed,
    deleted,
    absent,
    given_a_life,
    split,
    taken_for_a_daughter,
    clicked_after_it_was_a_daughter,
]


@pytest.mark.parametrize("decide", DECISIONS)
def test_what_was_decided_stays_whatever_is_tracked(cell, decide):
    assert known(cell) == {1: list(range(8))}
    expected = decide(cell)
    assert known(cell) == expected
    while cell.undo_name != "click on object 1":
        cell.undo()
    while cell.redo_name:
        cell.redo()
    assert known(cell) == expected
    track_everywhere(cell)
    assert known(cell) == expected


@pytest.mark.parametrize("decide", DECISIONS)
def test_it_stays_after_reopening(cell, decide, store, tmp_path):
    expected = decide(cell)
    SessionFolder.create(tmp_path / "work.sam2", cell).close()
    again, folder = open_session(tmp_path / "work.sam2", store, cell.frames)
    track_everywhere(again)
    assert known(again) == expected
    folder.close()


def test_undoing_the_division_lets_the_mother_live_on(cell):
    divided(cell)
    while cell.undo_name != "tracking" or len(cell.objects) > 1:
        cell.undo()
    list(cell.propagate())
    assert known(cell) == {1: list(range(8))}


def test_a_plan_says_what_it_leaves_out(cell):
    divided(cell)
    assert cell.left_out([{}]) == "Not tracked: object 1 from frame 4 on (it divides)."
    assert cell.left_out([{"reverse": True}]) == (
        "Not tracked: object 1.1 before frame 4; object 1.2 before frame 4."
    )
    cell.lineage.mark_absent(2, 5, 6)
    assert "object 1.1 on frames 5 to 6" in cell.left_out([{}])
    assert cell.left_out([{"object_ids": [1], "stop": 3}]) == ""
    with pytest.raises(InputError, match=r"nothing to track\. Not tracked: object 1 from frame 4 on"):
        list(cell.propagate([1], start=5))
    assert cell.frames_to_visit([2]) == [4, 7]


def test_marked_again_it_is_back(cell):
    cell.lineage.delete_from(1, 3)
    cell.add_mask(5, 1, disc(30))
    assert cell.objects[1].life == Life(absences=((3, 4),))
    list(cell.propagate())
    assert known(cell) == {1: [0, 1, 2, 5, 6, 7]}
    cell.undo()
    cell.undo()
    assert cell.objects[1].life == Life(last=2)
    cell.import_masks(6, {1: disc(30)})
    assert cell.objects[1].life == Life(absences=((3, 5),))


def test_an_empty_mask_brings_nothing_back(cell):
    cell.lineage.delete_from(1, 3)
    cell.add_mask(5, 1, np.zeros((60, 80), bool))
    assert cell.objects[1].life == Life(last=2)


def test_nobody_is_there_after_dividing_or_before_birth(cell):
    divided(cell)
    before = known(cell)
    for object_id, frame in ((1, 4), (1, 6), (2, 3)):
        for mark in (
            lambda i, f: cell.add_points(f, i, (20, 20)),
            lambda i, f: cell.add_mask(f, i, disc(20)),
            lambda i, f: cell.import_masks(f, {i: disc(20)}),
        ):
            with pytest.raises(InputError, match=f"cannot be marked on frame {frame}"):
                mark(object_id, frame)
    assert known(cell) == before
    cell.lineage.set_parents(2, [])
    cell.lineage.set_parents(3, [])
    cell.add_mask(6, 1, disc(20))
    cell.add_mask(3, 2, disc(40))
    assert known(cell) == {1: [0, 1, 2, 3, 6], 2: [3, 4, 5, 6, 7], 3: [4, 5, 6, 7]}


def test_two_that_are_swapped_exchange_their_ends(cell):
    cell.add_mask(0, cell.add_object(), disc(60))
    list(cell.propagate())
    cell.lineage.delete_from(1, 6)
    cell.lineage.swap(1, 2, 3)
    track_everywhere(cell)
    assert known(cell) == {1: list(range(8)), 2: list(range(6))}


def test_a_mother_that_is_her_daughter_did_not_divide(cell):
    divided(cell)
    cell.lineage.merge(1, 2)
    assert cell.objects[3].parents == ()
    track_everywhere(cell)
    assert known(cell)[1] == list(range(8))


def test_every_direction_of_every_object_alone(cell):
    expected = divided(cell)
    for i, reverse, start in itertools.product((1, 2, 3), (False, True), (None, 0, 3, 4, 7)):
        with contextlib.suppress(InputError):  # there is nothing to track
            list(cell.propagate([i], start=start, reverse=reverse))
        assert known(cell) == expected
