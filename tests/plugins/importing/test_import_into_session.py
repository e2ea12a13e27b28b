"""A session takes over masks of other tools: as one step, and never instead of what a person said."""

import numpy as np
import pytest
from painted import PaintedSession

from sam2_engine.errors import InputError
from sam2_plugins.export.cell_tracking import write_cell_tracking_ground_truth, write_cell_tracking_result
from sam2_plugins.export.coco import write_coco
from sam2_plugins.export.ome_zarr_labels import write_ome_zarr_labels
from sam2_plugins.importing.masks import import_masks, open_masks
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.annotations import LARGEST_ID
from sam2_plugins.session.life import Life
from sam2_plugins.session.readable import ResultGenerator, run_to_end

SHAPE, LENGTH = (16, 20), 4


def family():
    """A mother of a large id on frames 0 and 1, her daughter 3 from frame 2 on, and 9 on frame 3."""
    labels = np.zeros((LENGTH, *SHAPE), np.uint32)
    labels[:2, :5, :5] = 70_000
    labels[2:, 6:9, 6:9] = 3
    labels[3, 12:14, 2:4] = 9
    return labels


def empty_session():
    frames = np.zeros((LENGTH, *SHAPE), np.uint8)
    return AnnotationSession(frames, ModelStore("cpu"), axes="TYX", undo_bytes=2**20)


def state(session):
    """Everything that is known."""
    masks = {
        (i, f): (session.mask(i, f).tolist(), f in session.verified(i))
        for i in session.objects
        for f in session.frames_of(i)
    }
    return dict(session.objects), masks


def test_a_session_takes_everything_and_undoes_it_as_one(tmp_path):
    labels = family()
    source = PaintedSession.of(labels, parents={3: (70_000,)})
    source.add(9, "dead")
    write_coco(source, tmp_path / "masks.json")
    session = empty_session()
    clicked = session.add_object("clicked")
    before = state(session)
    with open_masks(tmp_path / "masks.json", SHAPE, LENGTH) as masks:
        steps = import_masks.steps(session, masks, verify=True)
        summary = run_to_end(steps)
    assert str(summary) == "3 objects on 4 frames."
    assert list(session.objects) == [clicked, 3, 9, 70_000]
    for frame in range(LENGTH):
        np.testing.assert_array_equal(session.label_image(frame), labels[frame])
    assert session.objects[3].parents == (70_000,)
    assert session.objects[9].label == "dead"
    assert {i: session.verified(i) for i in (3, 9, 70_000)} == {3: {2, 3}, 9: {3}, 70_000: {0, 1}}
    after = state(session)
    session.undo()
    assert state(session) == before
    session.redo()
    assert state(session) == after
    session.undo()
    with open_masks(labels, SHAPE, LENGTH) as masks:  # the same ids once more
        import_masks(session, masks)
    assert session.verified(3) == frozenset()
    session.remove_object(3)
    with open_masks(labels, SHAPE, LENGTH) as masks:
        assert import_masks(session, masks).existing == (9, 70_000)
    assert session.frames_of(3) == [2, 3]


def test_what_a_person_said_stays_and_parents_that_do_not_fit_are_told(tmp_path):
    labels = family()
    write_coco(PaintedSession.of(labels, parents={3: (70_000,)}), tmp_path / "masks.json")
    session = empty_session()
    own = np.ones(SHAPE, bool)
    session.import_masks(3, {3: own, 70_000: own})
    session.edit_object(3, name="mine")
    session.verify(3, [3])
    with open_masks(tmp_path / "masks.json", SHAPE, LENGTH) as masks:
        summary = import_masks(session, masks)
    assert summary.existing == (3, 70_000)
    assert "masks or clicks before of objects 3, 70000" in str(summary)
    np.testing.assert_array_equal(session.mask(3, 3), own)
    assert session.mask(3, 2).sum() == 9
    assert session.objects[3].name == "mine"
    other = empty_session()
    other.import_masks(3, {70_000: own})  # the mother does not end before her daughter begins
    other.remove_object(70_000)
    late = labels.copy()
    late[3, :5, :5] = 70_000
    write_coco(PaintedSession.of(late, parents={3: (70_000,)}), tmp_path / "late.json")
    with open_masks(tmp_path / "late.json", SHAPE, LENGTH) as masks:
        summary = import_masks(other, masks)
    assert summary.orphans == (3,)
    assert "parents of object 3 were left out" in str(summary)


def test_a_fault_in_the_last_frame_changes_nothing():
    session = empty_session()
    labels = family().astype(np.int64)
    labels[3, 0, 0] = -1
    with open_masks(labels, SHAPE, LENGTH) as masks, pytest.raises(InputError, match="below 0"):
        import_masks(session, masks)
    assert not session.objects
    assert session.undo_name is None


def test_an_undo_meanwhile_ends_it():
    session = empty_session()
    with open_masks(family(), SHAPE, LENGTH) as masks:
        steps = ResultGenerator(import_masks.steps(session, masks))
        for number, _ in enumerate(steps):
            if number == LENGTH + 1:  # all read, two of them taken
                session.undo()
    assert not steps.result.complete
    assert not session.objects


def take(session, labels, meanwhile):
    """Take labels over, and do something before the last frame is taken."""
    with open_masks(labels, SHAPE, LENGTH) as masks:
        for number, _ in enumerate(import_masks.steps(session, masks, verify=True)):
            if number == 2 * LENGTH - 2:
                meanwhile()


def test_what_was_done_meanwhile_is_undone_before_and_the_import_still_as_one():
    session, alone = empty_session(), empty_session()
    own = session.add_object("mine")
    alone.add_object("mine")
    nothing = state(session)

    def meanwhile():
        session.import_masks(1, {own: np.ones(SHAPE, bool)})
        session.edit_object(70_000, name="renamed")
        session.import_masks(3, {70_000: np.ones(SHAPE, bool)})

    take(session, family(), meanwhile)
    take(alone, family(), lambda: None)
    after = state(session)
    for _ in range(3):
        session.undo()
    assert state(session) == state(alone)
    session.undo()
    assert state(session) == nothing
    for _ in range(4):
        session.redo()
    assert state(session) == after


@pytest.mark.parametrize("what", ["removed", "made", "painted"])
def test_what_touches_the_same_meanwhile_begins_a_new_step(what):
    """Undone in any other order, the session would not be what it was."""
    session = empty_session()
    nothing = state(session)
    acts = {
        "removed": lambda: session.remove_object(3),
        "made": lambda: session.add_object(object_id=9),  # before its mask is there
        "painted": lambda: session.import_masks(3, {3: np.ones(SHAPE, bool)}),
    }
    take(session, family(), acts[what])
    steps = []
    while session.undo_name:
        steps.append(state(session))
        session.undo()
    assert len(steps) == 3
    assert state(session) == nothing
    for before in reversed(steps):  # other values would come out if the steps were not independent
        session.redo()
        assert state(session) == before


def test_the_largest_id_leaves_room_for_others():
    session = empty_session()
    session.import_masks(0, {LARGEST_ID: np.ones(SHAPE, bool)})
    assert session.add_object() == 1
    reopened = empty_session()
    reopened.restore((), session.annotations.highest_used_id)  # costs no memory
    assert reopened.add_object() == 1
    assert reopened.add_object() == 2
    with pytest.raises(InputError, match="at most 4294967295"):
        session.import_masks(0, {LARGEST_ID + 1: np.ones(SHAPE, bool)})


@pytest.mark.parametrize("name", ["masks.json", "labels.zarr"])
def test_what_was_decided_about_an_object_travels(tmp_path, name):
    source = empty_session()
    for frame in range(LENGTH):
        source.import_masks(frame, {1: np.ones(SHAPE, bool), 2: np.ones(SHAPE, bool)})
    source.lineage.mark_absent(1, 1)
    source.lineage.delete_from(2, 2)
    write = write_coco if name == "masks.json" else write_ome_zarr_labels
    write(source, tmp_path / name)
    session = empty_session()
    with open_masks(tmp_path / name, SHAPE, LENGTH) as masks:
        import_masks(session, masks)
    assert {i: one.life for i, one in session.objects.items()} == {
        1: Life(absences=((1, 1),)),
        2: Life(last=1),
    }
    session.undo()
    assert session.objects == {}


@pytest.mark.parametrize("kind", ["reference", "result"])
def test_a_reference_of_tracks_decides_where_they_end(tmp_path, kind):
    """A tracker that lost an object says nothing about where it ends: it may be tracked on."""
    source = PaintedSession.of(np.where(family() == 70_000, 7, family()), parents={3: (7,)})
    write = write_cell_tracking_ground_truth if kind == "reference" else write_cell_tracking_result
    write(source, tmp_path / "01")
    session = empty_session()
    with open_masks(tmp_path / "01", SHAPE, LENGTH) as masks:
        import_masks(session, masks)
    ends = {i: one.life.last for i, one in session.objects.items()}
    assert ends == {3: None, 7: 1 if kind == "reference" else None, 9: None}
    assert session.objects[9].life.first == (3 if kind == "reference" else None)
