"""Divisions and corrections of identity."""

import numpy as np
import pytest

from sam2_engine.errors import InputError


def square(x: int) -> np.ndarray:
    mask = np.zeros((60, 80), bool)
    mask[10:20, x : x + 10] = True
    return mask


@pytest.fixture
def painted(session):
    """Object 1 on frames 0 to 5, object 2 on 2 to 7, each in its own column, frame 3 of 1 verified."""
    for object_id, frames in ((1, range(6)), (2, range(2, 8))):
        session.add_object()
        for frame in frames:
            session.add_mask(frame, object_id, square(20 * object_id + frame))
    session.verify(1, [3])
    return session


def columns(session, object_id):
    """Frame -> first column of the mask."""
    return {f: int(session.mask(object_id, f).any(0).argmax()) for f in session.frames_of(object_id)}


def test_a_division_ends_the_mother_and_makes_daughters(painted):
    daughters = painted.lineage.divide(1, 4)
    assert painted.frames_of(1) == [0, 1, 2, 3]
    assert [painted.objects[i].parents for i in daughters] == [(1,), (1,)]
    assert painted.lineage.children_of(1) == daughters
    painted.add_mask(4, daughters[0], square(5))
    painted.undo()
    painted.undo()
    assert painted.frames_of(1) == [0, 1, 2, 3, 4, 5]
    assert list(painted.objects) == [1, 2]


@pytest.mark.parametrize("frame", [2, 4, 5])
def test_a_mother_divides_once(painted, frame):
    """Was: daughters of two divisions, of different frames, under one mother."""
    daughters = painted.lineage.divide(1, 4)
    named = " and ".join(painted.objects[daughter].name for daughter in daughters)
    with pytest.raises(InputError, match=f"1 has divided already, into {named}; undo that"):
        painted.lineage.divide(1, frame)
    assert painted.lineage.children_of(1) == daughters
    for daughter in daughters:
        painted.lineage.set_parents(daughter, [])
    assert len(painted.lineage.divide(1, 2)) == 2
    painted.undo()
    assert painted.lineage.children_of(1) == ()


def test_an_end_before_an_object_begins_is_refused(painted):
    """Was: all of the object was gone, and the object stayed."""
    for frame in (0, 1, 2):
        with pytest.raises(InputError, match=f"on frame 2, so it cannot end before frame {frame}; remove"):
            painted.lineage.delete_from(2, frame)
    painted.lineage.delete_from(2, 3)
    assert painted.frames_of(2) == [2]
    painted.lineage.delete_from(2, 0, all_of_it=True)  # as an earlier program may have recorded it
    assert painted.frames_of(2) == []


def test_objects_are_called_by_their_names(painted):
    painted.edit_object(1, name="nucleus")
    assert [one.numbered for one in painted.objects.values()] == ["object 1 (nucleus)", "object 2"]
    painted.lineage.swap(1, 2, 4)
    assert painted.undo_name == "swap nucleus and object 2"
    with pytest.raises(InputError, match=r"Nucleus is one object, not two"):
        painted.lineage.merge(1, 1)
    with pytest.raises(InputError, match="The mask of nucleus is"):
        painted.import_masks(0, {1: np.ones((3, 3), bool)})


def test_split_gives_the_rest_to_a_new_object_with_the_children(painted):
    painted.lineage.split(2, 4)
    assert columns(painted, 2) == {2: 42, 3: 43}
    assert columns(painted, 3) == {4: 44, 5: 45, 6: 46, 7: 47}
    assert painted.prompts_of(3).keys() == {4, 5, 6, 7}
    assert painted.objects[3].parents == ()
    for frame in (2, 9):
        with pytest.raises(InputError, match=f"cannot be split at frame {frame}"):
            painted.lineage.split(2, frame)


def test_swap_exchanges_from_here_on_with_what_is_verified(painted):
    painted.lineage.swap(1, 2, 3)
    assert columns(painted, 1) == {0: 20, 1: 21, 2: 22, 3: 43, 4: 44, 5: 45, 6: 46, 7: 47}
    assert columns(painted, 2) == {2: 42, 3: 23, 4: 24, 5: 25}
    assert (painted.verified(1), painted.verified(2)) == (frozenset(), {3})
    painted.lineage.swap(1, 2, 3)
    assert columns(painted, 1) == {f: 20 + f for f in range(6)}


@pytest.mark.parametrize("frame", [-3, 8, 4.0, 4.5])
def test_frames_that_do_not_exist_are_refused(painted, frame):
    """Was: ``delete_from(1, -3)`` deleted all of an object, a division on 4.5 was stored as such."""
    lineage = painted.lineage
    before = dict(painted.objects)
    for change in (
        lambda: lineage.divide(1, frame),
        lambda: lineage.swap(1, 2, frame),
        lambda: lineage.delete_from(1, frame),
        lambda: lineage.mark_absent(1, frame),
        lambda: lineage.mark_absent(1, 2, frame if frame > 2 else 8),
        lambda: painted.add_mask(frame, 1, square(5)),
    ):
        with pytest.raises(InputError, match=r"no frame|whole number"):
            change()
    with pytest.raises(InputError, match=r"cannot be split|whole number"):
        lineage.split(1, frame)
    with pytest.raises(InputError, match="at least one daughter"):
        lineage.divide(1, 4, daughters=0)
    assert painted.objects == before
    assert painted.frames_of(1) == [0, 1, 2, 3, 4, 5]


def test_merge_unites_masks_and_takes_over_the_children(painted):
    painted.add_mask(7, painted.add_object(), square(60))
    painted.lineage.delete_from(2, 6)
    painted.lineage.set_parents(3, [2])
    painted.lineage.merge(1, 2)
    assert list(painted.objects) == [1, 3]
    assert painted.frames_of(1) == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(painted.mask(1, 4), square(24) | square(44))
    assert painted.objects[3].parents == (1,)
    with pytest.raises(InputError, match="one object, not two"):
        painted.lineage.merge(1, 1)


def test_delete_from_here_on_removes_prompts_masks_and_what_was_verified(painted):
    painted.lineage.delete_from(1, 2)
    assert painted.frames_of(1) == [0, 1]
    assert painted.prompts_of(1).keys() == {0, 1}
    assert painted.verified(1) == frozenset()


def test_a_parent_has_ended_before_its_child_begins_and_no_object_descends_from_itself(painted):
    with pytest.raises(InputError, match=r"still there on frame 5.*begins on 2,"):
        painted.lineage.set_parents(2, [1])
    painted.lineage.delete_from(1, 2)
    painted.lineage.set_parents(2, [1])
    with pytest.raises(InputError, match="itself comes from it"):
        painted.lineage.set_parents(1, [2])
    with pytest.raises(InputError, match="no object 8"):
        painted.lineage.set_parents(2, [8])


def test_a_fusion_has_two_parents(painted):
    painted.lineage.delete_from(2, 6)
    painted.add_mask(7, painted.add_object(), square(60))
    painted.lineage.set_parents(3, [2, 1])
    assert painted.objects[3].parents == (1, 2)


def test_the_engine_goes_by_what_was_corrected(session):
    """After a swap, tracking goes on from the exchanged prompts as in a session that began with them."""
    session.add_box(0, session.add_object(), (10, 10, 30, 30))
    session.add_box(0, session.add_object(), (50, 30, 70, 50))
    first = session.mask(1, 0)
    list(session.propagate(stop=2))
    tracked = session.mask(1, 2)
    session.lineage.swap(1, 2, 0)
    np.testing.assert_array_equal(session.mask(2, 0), first)
    list(session.propagate(stop=2))
    np.testing.assert_array_equal(session.mask(2, 2), tracked)
