"""Undo and redo: whatever was done, undone, gives the state before, and redone the state after."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sam2_engine.errors import InputError
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.history import Action


def state(session: AnnotationSession) -> dict[str, Any]:
    """Everything that a user could see."""
    return {
        "objects": dict(session.objects),
        "prompts": {i: session.prompts_of(i) for i in session.objects},
        "masks": {(i, f): session.accepted(i, f) for i in session.objects for f in session.frames_of(i)},
        "verified": {i: session.verified(i) for i in session.objects},
    }


def square(x: int) -> np.ndarray:
    mask = np.zeros((60, 80), bool)
    mask[10:20, x : x + 12] = True
    return mask


ACTIONS = {
    "new": lambda s, a, f: s.add_object(),
    "click": lambda s, a, f: s.add_points(f, a, (20 + 2 * f, 20)),
    "exclude": lambda s, a, f: s.add_points(f, a, (40, 30), [0]),
    "box": lambda s, a, f: s.add_box(f, a, (50, 28, 70, 48)),
    "paint": lambda s, a, f: s.add_mask(f, a, square(5 * f)),
    "clear": lambda s, a, f: s.clear_prompts(a, f),
    "remove": lambda s, a, f: s.remove_object(a),
    "rename": lambda s, a, f: s.edit_object(a, name=f"cell {f}", label="cell"),
    "verify": lambda s, a, f: s.verify(a, [f]),
    "unverify": lambda s, a, f: s.verify(a, s.verified(a), verified=False),
    "forward": lambda s, a, f: list(s.propagate([a], stop=f)),
    "backward": lambda s, a, f: list(s.propagate(start=f, reverse=True)),
    "divide": lambda s, a, f: s.lineage.divide(a, f),
    "split": lambda s, a, f: s.lineage.split(a, f),
    "merge": lambda s, a, f: s.lineage.merge(1, a),
    "swap": lambda s, a, f: s.lineage.swap(1, a, f),
    "delete": lambda s, a, f: s.lineage.delete_from(a, f),
    "parent": lambda s, a, f: s.lineage.set_parents(a, [1]),
}


def act(session: AnnotationSession, name: str, object_id: int, frame: int) -> bool:
    """Do something; refusals are fine, but change nothing."""
    before = state(session)
    try:
        ACTIONS[name](session, object_id, frame)
    except InputError:
        assert state(session) == before
        return False
    return True


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    actions=st.lists(
        st.tuples(st.sampled_from(sorted(ACTIONS)), st.integers(1, 3), st.integers(0, 7)),
        min_size=3,
        max_size=9,
    )
)
def test_any_sequence_undone_gives_the_states_before(discs, store, small_checkpoint, actions):
    session = AnnotationSession(discs, store, small_checkpoint, axes="TYX")
    session.add_points(0, session.add_object(), (20, 20))
    session.add_box(0, session.add_object(), (50, 28, 70, 48))
    list(session.propagate(stop=4))
    states = [state(session)]
    for action in actions:
        if act(session, *action) and state(session) != states[-1]:
            states.append(state(session))
    for before in reversed(states[:-1]):
        assert session.undo()
        assert state(session) == before
    for after in states[1:]:
        assert session.redo()
        assert state(session) == after
    assert session.redo_name is None


def test_what_undo_stores_is_counted_as_it_comes_and_goes(session):
    history = session.history

    def counted():
        assert history.num_bytes == sum(entry.num_bytes for entry in history._undo)
        return history.num_bytes

    session.add_object()
    for x in range(12):
        session.add_mask(0, 1, square(5 * x))
        counted()
    full = counted()
    for _ in range(5):
        session.undo()
    assert counted() < full
    session.redo()
    counted()
    list(session.propagate())  # many frames are one action
    history.max_bytes = counted() // 2
    session.add_mask(0, 1, square(3))
    assert counted() <= history.max_bytes


def test_a_propagation_is_undone_as_a_whole(session):
    session.add_points(0, session.add_object(), (20, 20))
    list(session.propagate())
    assert session.frames_of(1) == list(range(8))
    assert session.undo_name == "tracking"
    session.undo()
    assert session.frames_of(1) == [0]
    assert (session.undo_name, session.redo_name) == ("click on object 1", "tracking")
    session.redo()
    assert session.frames_of(1) == list(range(8))


def test_a_click_within_a_propagation_is_undone_before_the_rest_of_it(session):
    session.add_points(0, session.add_object(), (20, 20))
    steps = session.iter_propagate()
    for _ in range(3):
        next(steps)
    session.add_points(6, 1, (32, 20))
    list(steps)
    session.undo()
    assert session.frames_of(1) == [0, 1, 2, 6]
    session.undo()
    assert session.frames_of(1) == [0, 1, 2]
    session.undo()
    assert session.frames_of(1) == [0]


def test_undo_ends_a_propagation_that_is_under_way(session):
    session.add_points(0, session.add_object(), (20, 20))
    steps = session.iter_propagate()
    next(steps), next(steps)
    session.undo()
    assert list(steps) == []
    assert session.frames_of(1) == [0]


def test_after_undo_the_next_click_gives_what_it_would_have_given(discs, store, small_checkpoint):
    sessions = [AnnotationSession(discs, store, small_checkpoint, axes="TYX") for _ in range(2)]
    for number, session in enumerate(sessions):
        session.add_points(0, session.add_object(), (20, 20))
        if number:
            session.add_points(0, 1, (60, 40), [0])
            session.undo()
        session.add_points(0, 1, (24, 22))
        list(session.propagate(stop=3))
    assert state(sessions[0])["masks"] == state(sessions[1])["masks"]


def test_something_new_makes_redo_impossible(session):
    session.add_object()
    session.add_object()
    session.undo()
    session.edit_object(1, name="nucleus")
    assert session.redo() == ()
    assert session.add_object() == 3, "an id that was undone is not used again"


def test_the_oldest_actions_go_when_the_cap_is_reached(discs, store, small_checkpoint):
    session = AnnotationSession(discs, store, small_checkpoint, axes="TYX", undo_bytes=3000)
    session.add_object()
    for x in range(40):
        session.add_mask(0, 1, square(x))
    undone = 0
    while session.undo():
        undone += 1
    assert 2 < undone < 40
    assert len(session.frames_of(1)) == 1


def test_listeners_hear_of_every_action_and_of_undo(session):
    heard: list[Action] = []
    session.history.subscribe(heard.append)
    session.add_points(0, session.add_object(), (20, 20))
    list(session.propagate(stop=2))
    session.verify(1, [1])
    session.undo()
    done = [action.call["do"] for action in heard]
    assert done == ["add_object", "add_prompt", "follow", "follow", "verify", "undo"]


def test_a_failed_action_leaves_nothing_behind(session):
    session.add_points(0, session.add_object(), (20, 20))
    before, name = state(session), session.undo_name
    with pytest.raises(InputError, match="no mask on frame 5 to verify"):
        session.verify(1, [0, 5])
    assert (state(session), session.undo_name) == (before, name)
