"""The session's promises: it owns the annotations, and the engine below it may go at any moment."""

import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.frames import FrameSource, open_frames
from sam2_engine.video.video_session import VideoSession
from sam2_plugins.runtime.jobs import CancelToken, JobQueue
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.masks import MaskOrigin
from tests.damaged_frames import DamagedFrames

WAIT = 60


def masks_by_frame(session, object_id):
    return {frame: session.mask(object_id, frame) for frame in session.frames_of(object_id)}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key])


# ---------------------------------------------------------------------- objects


def test_ids_are_never_used_again(session):
    first, second = session.add_object("nucleus", label="cell"), session.add_object()
    session.remove_object(second)
    third = session.add_object()
    assert (first, second, third) == (1, 2, 3)
    assert session.objects[first].name == "nucleus"
    assert session.objects[first].label == "cell"
    assert session.add_object(object_id=40) == 40
    assert session.add_object() == 41
    for used in (2, 40):
        with pytest.raises(InputError, match=f"id {used} was used before"):
            session.add_object(object_id=used)
    with pytest.raises(InputError, match="positive"):
        session.add_object(object_id=0)


def test_neighboring_objects_have_different_colors(session):
    for _ in range(20):
        session.add_object()
    assert len({described.color for described in session.objects.values()}) == 20


def test_unknown_objects_and_frames_are_refused_in_a_sentence(session):
    with pytest.raises(InputError, match="no object 5"):
        session.add_points(0, 5, (10, 10))
    known = session.add_object()
    with pytest.raises(InputError, match="no frame 8; its frames are 0 to 7"):
        session.add_points(8, known, (10, 10))
    with pytest.raises(InputError, match="no frame -1"):
        session.add_box(-1, known, (1, 1, 9, 9))
    for wrong in (session.remove_object, session.clear_prompts, session.prompts_of):
        with pytest.raises(InputError, match="no object 5"):
            wrong(5)
    assert session.prompts_of(known) == {}
    assert session.frames_of(known) == []


# ---------------------------------------------------------------------- prompts


def test_a_click_is_recorded_and_its_mask_accepted(session):
    one = session.add_object()
    result = session.add_points(2, one, [[20, 20], [70, 5]], [1, 0])
    np.testing.assert_array_equal(session.mask(one, 2), result.masks[0])
    assert session.accepted(one, 2).origin is MaskOrigin.PROMPTED
    score = session.score(one, 2)
    assert score.presence == pytest.approx(result.presence[0])
    assert score.predicted_iou == pytest.approx(result.predicted_iou[0])
    assert score.stability == pytest.approx(result.stability[0])
    (prompt,) = session.prompts_of(one)[2]
    np.testing.assert_array_equal(prompt.points.coordinates, [[20, 20], [70, 5]])
    np.testing.assert_array_equal(prompt.points.labels, [1, 0])
    assert session.mask(one, 3) is None
    assert session.score(one, 3) is None


def test_clicks_add_up_unless_they_replace(session):
    one = session.add_object()
    session.add_points(0, one, (20, 20))
    session.add_points(0, one, (5, 5), [0])
    assert len(session.prompts_of(one)[0]) == 2
    session.add_points(0, one, (21, 21), replace=True)
    (prompt,) = session.prompts_of(one)[0]
    np.testing.assert_array_equal(prompt.points.coordinates, [[21, 21]])


def test_a_new_box_takes_the_place_of_the_last_one_and_a_mask_of_everything(session, disc_mask):
    one = session.add_object()
    session.add_points(0, one, (20, 20), box=(10, 10, 30, 30))
    session.add_box(0, one, (9, 9, 31, 31))
    clicks, box = session.prompts_of(one)[0]
    assert clicks.box is None
    assert box.box.x0 == 9
    session.add_mask(0, one, disc_mask)
    (painted,) = session.prompts_of(one)[0]
    np.testing.assert_array_equal(painted.mask.to_array(), disc_mask)


def test_a_painted_mask_stays_as_it_is_also_when_tracking_passes(session, disc_mask):
    one = session.add_object()
    painted = disc_mask.copy()
    painted[0, 79] = True  # one pixel, which the model's grid cannot hold
    session.add_mask(0, one, painted)
    session.add_mask(4, one, disc_mask)
    list(session.propagate())
    np.testing.assert_array_equal(session.mask(one, 0), painted)
    np.testing.assert_array_equal(session.mask(one, 4), disc_mask)
    assert session.accepted(one, 4).origin is MaskOrigin.PAINTED
    assert session.accepted(one, 3).origin is MaskOrigin.TRACKED


def test_wrong_prompts_change_nothing(session):
    one = session.add_object()
    session.add_points(0, one, (20, 20))
    before = session.mask(one, 0)
    for wrong in (
        lambda: session.add_points(0, one, (200, 20)),
        lambda: session.add_points(0, one, (20, 20), [3]),
        lambda: session.add_box(0, one, (5, 5, 4, 9)),
        lambda: session.add_mask(0, one, np.ones((5, 5))),
    ):
        with pytest.raises(InputError):
            wrong()
    assert len(session.prompts_of(one)[0]) == 1
    np.testing.assert_array_equal(session.mask(one, 0), before)


def test_clearing_prompts_takes_their_masks_and_leaves_tracked_ones(session):
    one = session.add_object()
    session.add_points(0, one, (20, 20))
    session.add_points(5, one, (30, 20))
    list(session.propagate(stop=3))
    with pytest.raises(InputError, match="no prompt on frame 2"):
        session.clear_prompts(one, 2)
    session.clear_prompts(one, 5)
    assert session.frames_of(one) == [0, 1, 2, 3]
    session.clear_prompts(one)
    assert session.frames_of(one) == [1, 2, 3]
    assert session.prompts_of(one) == {}
    with pytest.raises(InputError, match="nothing to track yet"):
        session.propagate()
    session.add_points(0, one, (20, 20))
    assert len(list(session.propagate())) == 8


# ---------------------------------------------------------------------- propagation


def test_propagation_is_the_engines_own(session, discs, store, small_checkpoint):
    one, two = session.add_object(), session.add_object()
    session.add_points(0, one, (20, 20))
    session.add_box(2, two, (50, 28, 70, 48))
    frames = [result.frame for result in session.propagate()]
    engine = VideoSession(
        store.get(small_checkpoint),
        open_frames(discs, axes="TYX"),
        max_conditioning_frames=8,
        remove_small_components=True,
    )
    engine.add_points(0, one, (20, 20))
    engine.add_box(2, two, (50, 28, 70, 48))
    results = list(engine.propagate())
    assert frames == [result.frame for result in results] == list(range(8))
    for result in results:
        for index, object_id in enumerate(result.object_ids):
            np.testing.assert_array_equal(session.mask(object_id, result.frame), result.masks[index])
    assert session.frames_of(two) == [2, 3, 4, 5, 6, 7]


def test_finished_frames_stay_after_cancel_and_one_can_go_on(session, discs, store, small_checkpoint):
    one = session.add_object()
    session.add_points(0, one, (20, 20))
    cancel = CancelToken()
    for result in session.iter_propagate(cancel=cancel):
        if result.frame == 3:
            cancel.cancel()
    assert session.frames_of(one) == [0, 1, 2, 3]
    list(session.propagate(start=4))
    whole = AnnotationSession(discs, store, small_checkpoint, axes="TYX")
    whole.add_points(0, whole.add_object(), (20, 20))
    list(whole.propagate())
    assert_same(masks_by_frame(session, one), masks_by_frame(whole, one))


def test_backwards_and_ranges(session):
    one = session.add_object()
    session.add_points(6, one, (30, 20))
    assert [result.frame for result in session.propagate(reverse=True, stop=2)] == [6, 5, 4, 3, 2]
    assert session.frames_of(one) == [2, 3, 4, 5, 6]


def test_frames_to_visit(session):
    one, two = session.add_object(), session.add_object()
    with pytest.raises(InputError, match="nothing to track yet"):
        session.frames_to_visit()
    session.add_points(2, one, (20, 20))
    session.add_points(5, two, (20, 20))
    assert list(session.frames_to_visit()) == [2, 3, 4, 5, 6, 7]
    assert list(session.frames_to_visit([two])) == [5, 6, 7]
    assert list(session.frames_to_visit(start=0, stop=3)) == [2, 3]
    assert list(session.frames_to_visit(reverse=True)) == [5, 4, 3, 2, 1, 0]
    assert list(session.frames_to_visit(start=1, reverse=True)) == [1, 0]
    with pytest.raises(InputError, match="from frame 4 to frame 3"):
        session.frames_to_visit(start=4, stop=3)
    with pytest.raises(InputError, match="backwards from frame 3 to frame 6"):
        session.frames_to_visit(start=3, stop=6, reverse=True)
    with pytest.raises(InputError, match="no frame 9"):
        session.frames_to_visit(stop=9)
    with pytest.raises(InputError, match="no object 7"):
        session.frames_to_visit([7])


def test_a_click_between_two_frames_and_a_removal_lose_nothing(session):
    one, two = session.add_object(), session.add_object()
    session.add_points(0, one, (20, 20))
    session.add_points(0, two, (60, 40))
    steps = session.iter_propagate()
    for _ in range(3):
        next(steps)
    session.add_points(1, one, (22, 20))
    session.remove_object(two)
    late = session.add_object()
    session.add_points(4, late, (60, 36))
    rest = [(result.frame, result.object_ids) for result in steps]
    assert rest == [(3, (1,)), (4, (1, late)), (5, (1, late)), (6, (1, late)), (7, (1, late))]
    assert session.frames_of(one) == list(range(8))
    assert session.frames_of(two) == []
    assert two not in session.objects


def test_only_the_objects_asked_for_are_tracked(session):
    one, two = session.add_object(), session.add_object()
    session.add_points(0, one, (20, 20))
    session.add_points(0, two, (60, 40))
    list(session.propagate([two], stop=2))
    assert session.frames_of(one) == [0]
    assert session.frames_of(two) == [0, 1, 2]


# ---------------------------------------------------------------------- the engine comes and goes


def test_the_engine_is_rebuilt_from_the_annotations(session):
    one, two = session.add_object(), session.add_object()
    session.add_points(0, one, (20, 20))
    session.add_points(0, one, (5, 50), [0])
    session.add_mask(3, one, session.mask(one, 0))
    session.add_points(1, two, (60, 38), box=(50, 28, 70, 48))
    list(session.propagate())
    before = masks_by_frame(session, one), masks_by_frame(session, two)
    session.drop_engine()
    list(session.propagate())
    assert_same(masks_by_frame(session, one), before[0])
    assert_same(masks_by_frame(session, two), before[1])


def test_a_correction_made_with_memories_survives_the_engine(session):
    one = session.add_object()
    session.add_points(0, one, (20, 20))
    list(session.propagate())
    session.add_points(4, one, (28, 20))  # predicted with the memories of frames 0 to 3
    corrected = session.mask(one, 4)
    session.drop_engine()
    list(session.propagate())
    np.testing.assert_array_equal(session.mask(one, 4), corrected)


def test_dropping_the_engine_between_two_frames_goes_on(session):
    one = session.add_object()
    session.add_points(0, one, (20, 20))
    frames = []
    for result in session.propagate():
        frames.append(result.frame)
        if result.frame in (2, 7):
            session.drop_engine()
    assert frames == list(range(8))


def test_sessions_share_encoded_frames_under_one_cap(discs, store, small_checkpoint):
    cache = FeatureCache()
    one, two, three = (
        AnnotationSession(frames, store, small_checkpoint, axes="TYX", cache=cache)
        for frames in (discs, discs, discs + 1)
    )
    for session in (one, two, three):
        session.add_points(0, session.add_object(), (20, 20))
    assert len(cache) == 2  # the first two encode the same frame
    np.testing.assert_array_equal(one.mask(1, 0), two.mask(1, 0))
    cache.max_bytes = 3 * cache.num_bytes // 2
    list(one.propagate())
    list(three.propagate())
    assert len(cache) == 3
    assert cache.num_bytes <= cache.max_bytes
    one.drop_engine()
    assert len(cache) == 0


class Unreadable(FrameSource):
    """Frames of which some cannot be read for a while."""

    def __init__(self, frames):
        super().__init__(
            "broken.tif", shape=(60, 80), channels=1, dtype=frames.dtype, length=len(frames), axes="TYX"
        )
        self._frames = frames
        self.broken: set[int] = set()

    def _read(self, frame):
        if frame in self.broken:
            raise OSError("the disk is gone")
        return self._frames[frame]


def test_a_frame_that_cannot_be_read_leaves_the_annotations_as_they_were(discs, store, small_checkpoint):
    frames = Unreadable(discs)
    session = AnnotationSession(frames, store, small_checkpoint)
    one = session.add_object()
    session.add_points(0, one, (20, 20))
    frames.broken = {1, 5}
    with pytest.raises(InputError, match=r"Frame 1 of broken\.tif cannot be read"):
        session.add_points(1, one, (22, 20))
    assert list(session.prompts_of(one)) == [0]
    frames.broken = {5}
    with pytest.warns(InputWarning, match="passed over frame 5, which has no masks now"):
        list(session.propagate())
    assert session.frames_of(one) == [0, 1, 2, 3, 4, 6, 7]
    frames.broken = set()
    assert [result.frame for result in session.propagate(missing_only=True)] == [5]
    assert session.frames_of(one) == list(range(8))


# ---------------------------------------------------------------------- threads


def test_clicks_go_ahead_of_a_propagation_on_the_queue(session):
    one, two = session.add_object(), session.add_object()
    session.add_points(0, one, (20, 20))
    session.add_points(0, two, (60, 40))
    order: list[str] = []
    third_frame, clicked = threading.Event(), threading.Event()

    def on_step(result):
        order.append(f"frame {result.frame}")
        if result.frame == 2:
            third_frame.set()
            assert clicked.wait(WAIT)

    def click():
        session.add_points(7, two, (60, 33))
        order.append("click")

    with JobQueue() as queue:
        job = queue.submit_steps(session.propagate(), on_step=on_step)
        assert third_frame.wait(WAIT)
        done = queue.submit(click)
        clicked.set()
        done.result(WAIT)
        assert job.result(WAIT) == 8
    assert order == ["frame 0", "frame 1", "frame 2", "click", *(f"frame {i}" for i in range(3, 8))]
    assert session.accepted(two, 7).origin is MaskOrigin.PROMPTED


def test_two_threads_click_read_and_propagate_at_once(session):
    one, two = session.add_object(), session.add_object()
    session.add_points(0, one, (20, 20))
    session.add_points(0, two, (60, 40))
    errors: list[BaseException] = []
    finished = threading.Event()

    def read():
        try:
            while not finished.is_set():
                for frame in range(8):
                    assert session.label_image(frame).shape == (60, 80)
                    session.frames_of(one)
        except BaseException as error:
            errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    with JobQueue() as queue:
        job = queue.submit_steps(session.propagate())
        for frame in (1, 3, 5):
            session.add_points(frame, two, (60, 40 - frame))
        assert job.result(WAIT) == 8
    finished.set()
    reader.join(WAIT)
    assert not errors
    assert session.frames_of(one) == session.frames_of(two) == list(range(8))


# ---------------------------------------------------------------------- label image


def test_the_label_image_is_wide_enough_and_empty_where_nothing_is_known(session, disc_mask):
    assert session.label_image(0).dtype == np.uint16
    session.add_mask(0, session.add_object(object_id=70_000), disc_mask)
    labels = session.label_image(0)
    assert labels.dtype == np.uint32
    np.testing.assert_array_equal(labels == 70_000, disc_mask)
    assert not session.label_image(1).any()


def test_painted_wins_over_clicked_wherever_they_overlap(session, disc_mask):
    painted, clicked = session.add_object(), session.add_object()
    session.add_mask(0, painted, disc_mask)
    session.add_points(0, clicked, (20, 20))
    assert (session.mask(clicked, 0) & disc_mask).any()
    labels = session.label_image(0)
    np.testing.assert_array_equal(labels == painted, disc_mask)
    np.testing.assert_array_equal(labels == clicked, session.mask(clicked, 0) & ~disc_mask)


# ---------------------------------------------------------------------- masks of other tools


def test_masks_of_another_tool_keep_their_ids_and_can_be_corrected(session, disc_mask):
    undo_group = object()
    for frame in range(8):
        session.import_masks(frame, {70000: np.roll(disc_mask, 2 * frame, axis=1), 5: disc_mask}, undo_group)
    assert list(session.objects) == [5, 70000]
    assert session.label_image(1).dtype == np.uint32
    np.testing.assert_array_equal(session.mask(70000, 3), np.roll(disc_mask, 6, axis=1))
    assert session.prompts_of(70000) == {}
    session.add_points(3, 70000, (60, 40), [0])
    given = session.prompts_of(70000)[3]
    assert [prompt.mask is not None for prompt in given] == [True, False]
    session.undo()
    np.testing.assert_array_equal(session.mask(70000, 3), np.roll(disc_mask, 6, axis=1))
    session.undo()
    assert session.objects == {}


def test_imported_masks_leave_what_a_person_did(session, disc_mask):
    session.add_mask(2, session.add_object(), disc_mask)
    session.import_masks(3, {1: disc_mask})
    session.verify(1, [3])
    for frame in (2, 3, 4):
        session.import_masks(frame, {1: ~disc_mask})
    areas = [int(session.mask(1, frame).sum()) for frame in (2, 3, 4)]
    assert areas == [disc_mask.sum(), disc_mask.sum(), (~disc_mask).sum()]


def test_imported_masks_that_do_not_fit(session, disc_mask):
    with pytest.raises(InputError, match=r"mask of object 1 is \(59, 80\)"):
        session.import_masks(0, {1: disc_mask[1:]})
    with pytest.raises(InputError, match="no frame 8"):
        session.import_masks(8, {1: disc_mask})
    with pytest.raises(InputError, match="positive"):
        session.import_masks(0, {0: disc_mask})
    assert session.objects == {}


def test_masks_imported_as_prompts_are_tracked_and_undone_at_once(
    session: AnnotationSession, disc_mask: NDArray[np.bool_]
) -> None:
    other = np.roll(disc_mask, (15, 40), (0, 1))
    session.import_masks(2, {4: disc_mask, 7: other}, as_prompts=True)
    results = list(session.propagate())
    assert [result.object_ids for result in results] == [(4, 7)] * 6
    np.testing.assert_array_equal(session.mask(7, 2), other)
    session.undo()
    session.undo()
    assert session.objects == {}


def test_a_session_that_nobody_uses_is_freed_at_once(
    discs: NDArray[np.uint8], store: ModelStore, small_checkpoint: Path
) -> None:
    """It must not wait for Python's garbage collection, which comes rarely, with all its frames."""
    session = AnnotationSession(discs, store, small_checkpoint, axes="TYX")
    object_id = session.add_object()
    session.add_points(0, object_id, (20, 20))
    list(session.propagate())
    session.lineage.split(object_id, 3)
    session.undo()
    gc.collect()
    gc.disable()
    try:
        parts = (session, session.frames, session.annotations, session.history, session.engine._engine)
        left = [weakref.ref(part) for part in parts]
        del session, parts
        assert [one() for one in left] == [None] * len(left)
    finally:
        gc.enable()


# ---------------------------------------------------------------------- damaged frames


def test_tracking_goes_on_after_a_damaged_frame(discs, store, small_checkpoint):
    session = AnnotationSession(DamagedFrames(discs, {3}), store, small_checkpoint)
    cell, other = session.add_object(), session.add_object()
    session.add_points(0, cell, (20, 20))
    session.add_points(5, other, (60, 35))
    with pytest.warns(InputWarning, match="passed over frame 3, which has no masks now"):
        results = list(session.propagate())
    assert [result.frame for result in results if result.problem] == [3]
    assert session.frames_of(cell) == [0, 1, 2, 4, 5, 6, 7]
    assert session.frames_of(other) == [5, 6, 7]
    assert not session.label_image(3).any()
    session.add_points(4, cell, (28, 20))
    assert [result.frame for result in session.propagate(start=4)] == [4, 5, 6, 7]
    with pytest.raises(InputError, match="Frame 3 of damaged"):
        session.add_points(3, cell, (26, 20))
    session.history.undo()
    assert session.frames_of(cell) == [0, 1, 2, 4, 5, 6, 7]
