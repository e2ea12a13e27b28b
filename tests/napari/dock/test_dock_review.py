"""Review in the dock: the strip, the queue, verifying, tracking again, and corrections of identity."""

from typing import Any

import numpy as np
import pytest
from dock_input import Hand
from dock_steps import (
    WAIT,
    Open,
    annotation_of,
    click,
    labels,
    rows_of,
    show_tab,
    shown_when_idle,
    start,
    wait_until_tracked,
)
from numpy.typing import NDArray
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QMenu

from napari_plugin.annotation.frame_states import FrameState, states_of
from napari_plugin.widgets.dock import AnnotationDock
from napari_plugin.widgets.objects.object_menu import object_menu
from sam2_plugins.review import ReviewItem
from sam2_plugins.session.propagation_plan import Direction

pytestmark = pytest.mark.gui


@pytest.fixture
def tracked(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> AnnotationDock:
    """Two objects, both tracked over six frames."""
    dock = open_dock(discs)
    click(dock, 0, 20, 20)
    dock.objects.new.click()
    click(dock, 0, 60, 40)
    start(dock)
    wait_until_tracked(dock, qtbot)
    return dock


def show(dock: AnnotationDock, frame: int) -> None:
    annotation_of(dock).stack.show_frame(dock.viewer, frame)


def put_in_queue(dock: AnnotationDock, qtbot: Any, *doubts: ReviewItem) -> None:
    """Let the review say what this test is about, in place of what it thinks of masks of random weights."""
    review = annotation_of(dock).review

    def settled() -> bool:
        return review.idle and review.worst(1) is not None

    qtbot.waitUntil(settled, timeout=WAIT)
    review.queue = list(doubts)
    review.update_soon = lambda: None  # type: ignore[method-assign]
    review.updated.emit()


def test_keys_of_the_review_whichever_layer_is_active(tracked: AnnotationDock, qtbot: Any) -> None:
    dock, annotation = tracked, annotation_of(tracked)
    put_in_queue(
        dock,
        qtbot,
        ReviewItem(2, 4, 0.9, ("moved",)),
        ReviewItem(1, 3, 0.8, ("area",)),
        ReviewItem(1, 5, 0.7, ("area",)),
    )
    assert dock.review.list.topLevelItem(0).text(3) == "moved"
    dock.review.next.click()
    assert dock.message.text() == "object 2, frame 4: moved."
    hand = Hand(dock, qtbot)
    layers = (
        annotation.stack.layer,
        annotation.masks.layer,
        annotation.prompts.boxes,
        annotation.prompts.points,
    )
    for layer in layers:
        dock.viewer.layers.selection.active = layer
        dock.review.show_annotation(annotation)  # begin at the worst again
        hand.press("K", "Shift")
        assert (annotation.current, annotation.shown_frame) == (2, 4)
        hand.press("K", "Shift")
        assert (annotation.current, annotation.shown_frame) == (1, 3)
        hand.press("J", "Shift")
        assert (annotation.current, annotation.shown_frame) == (2, 4)
        hand.press("H")
        qtbot.waitUntil(lambda: annotation.session.verified(2) == {4}, timeout=WAIT)
        assert (annotation.current, annotation.shown_frame) == (1, 3)  # gone on to the next
        annotation.go_to(2, 4)
        hand.press("H", "Shift")
        qtbot.waitUntil(lambda: not annotation.session.verified(2), timeout=WAIT)
    before = annotation.session.accepted(1, 3), annotation.session.accepted(2, 4)
    annotation.go_to(2, 3)
    hand.press("U")
    wait_until_tracked(dock, qtbot)
    assert annotation.session.accepted(1, 3) is before[0]
    assert annotation.session.accepted(2, 4) is not before[1]


def test_doubt_is_computed_and_jumping_centers_and_zooms(tracked: AnnotationDock, qtbot: Any) -> None:
    dock, annotation = tracked, annotation_of(tracked)
    show_tab(dock, "Review")
    qtbot.waitUntil(lambda: annotation.review.worst(1) is not None, timeout=WAIT)
    assert "masks are doubtful" in dock.review.summary.text()
    worst = annotation.review.worst(1)
    assert worst is not None
    assert dock.objects.list.topLevelItem(0).text(3) == f"{worst:.0%}"
    accepted = annotation.session.accepted(1, 2)
    assert accepted is not None
    put_in_queue(dock, qtbot, ReviewItem(1, 2, 0.9, ("area",)))
    zoom = dock.viewer.scene.camera.zoom
    dock.review.list.itemClicked.emit(dock.review.list.topLevelItem(0), 0)
    assert annotation.shown_frame == 2
    rows, columns = accepted.mask.box
    center = ((rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2)
    np.testing.assert_allclose(dock.viewer.scene.camera.center[-2:], center, atol=0.01)
    assert dock.viewer.scene.camera.zoom != zoom


def test_verified_masks_refuse_clicks_and_stay(tracked: AnnotationDock, qtbot: Any) -> None:
    dock, annotation = tracked, annotation_of(tracked)
    annotation.go_to(1, 3)
    dock.review.verify.click()
    shown_when_idle(dock, qtbot)
    assert dock.objects.list.topLevelItem(0).text(2) == "1"
    verified = annotation.session.accepted(1, 3)
    click(dock, 3, 30, 30)
    qtbot.waitUntil(lambda: "unverify it there" in dock.message.text(), timeout=WAIT)
    shown_when_idle(dock, qtbot)
    assert (1, 3) not in annotation.prompts.read()  # the click that was refused is gone
    assert annotation.session.accepted(1, 3) is verified
    annotation.go_to(1, 1)
    tail = annotation.session.accepted(1, 4)
    dock.review.propagate.click()
    wait_until_tracked(dock, qtbot)
    assert annotation.session.accepted(1, 3) is verified
    assert annotation.session.accepted(1, 4) is tail  # beyond the verified frame nothing is done anew


def test_the_strip_shows_states_and_jumps(tracked: AnnotationDock, qtbot: Any) -> None:
    dock, annotation = tracked, annotation_of(tracked)
    put_in_queue(dock, qtbot, ReviewItem(1, 2, 0.9, ("area",)))
    annotation.edit(lambda session: session.verify(2, [5]))
    annotation.edit(lambda session: session.lineage.delete_from(1, 4))
    shown_when_idle(dock, qtbot)
    states = states_of(annotation.session, annotation.review.doubtful)
    empty, predicted, verified, prompted, doubtful = FrameState
    assert states[0].tolist() == [prompted, predicted, doubtful, predicted, empty, empty]
    assert states[1].tolist() == [prompted, predicted, predicted, predicted, predicted, verified]
    dock.strips.draw_soon.flush()
    strip = dock.strips.strip
    second = QPoint(round(strip.width() * 3.5 / 6), strip.height() - 5)
    assert strip.place_at(second) == (2, 3)
    image = strip.pixmap().toImage()
    colors = [image.pixelColor(round(strip.width() * (f + 0.5) / 6), 5).name() for f in (0, 1, 2, 4)]
    assert len(set(colors)) == 4
    qtbot.mouseClick(strip, Qt.MouseButton.LeftButton, pos=second)
    assert (annotation.current, annotation.shown_frame) == (2, 3)


def test_stop_and_continue(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(np.concatenate([discs] * 5))
    annotation = annotation_of(dock)
    click(dock, 0, 20, 20)
    start(dock)
    assert not dock.propagation.resume.isEnabled()
    qtbot.waitUntil(lambda: labels(dock)[2].any(), timeout=WAIT)
    dock.propagation.stop.click()
    wait_until_tracked(dock, qtbot)
    session = annotation.session
    before = {frame: session.accepted(1, frame) for frame in session.frames_of(1)}
    assert 3 <= len(before) < 30
    qtbot.waitUntil(dock.propagation.resume.isEnabled, timeout=WAIT)
    Hand(dock, qtbot).press("G", "Shift")
    wait_until_tracked(dock, qtbot)
    assert session.frames_of(1) == list(range(30))
    assert all(session.accepted(1, frame) is mask for frame, mask in before.items())
    dock.propagation._estimate_soon.flush()
    assert not dock.propagation.resume.isEnabled()


def action(menu: QMenu, text: str) -> Any:
    return next(one for one in menu.actions() if one.text().startswith(text))


def test_the_menu_of_an_object(tracked: AnnotationDock, qtbot: Any) -> None:
    dock, annotation = tracked, annotation_of(tracked)
    session = annotation.session
    show(dock, 3)

    def choose(object_id: int, text: str, other: str | None = None) -> None:
        menu = object_menu(annotation, object_id, lambda: None, dock)
        chosen = action(menu, text)
        (chosen if other is None else action(chosen.menu(), other)).trigger()
        shown_when_idle(dock, qtbot)

    later = session.accepted(1, 4)
    choose(1, "Swap from frame 3 on with", "object 2")
    assert session.accepted(2, 4) is later
    choose(1, "Split at frame 3")
    assert session.frames_of(1) == [0, 1, 2]
    assert session.frames_of(3) == [3, 4, 5]
    assert annotation.current == 3
    choose(3, "Came from", "object 1")
    assert session.objects[3].parents == (1,)
    choose(3, "Merge into", "object 1")
    assert session.frames_of(1) == [0, 1, 2, 3, 4, 5]
    assert rows_of(dock.objects.list) == [["object 1", "6"], ["object 2", "6"]]
    choose(2, "Ends before frame 3")
    assert session.frames_of(2) == [0, 1, 2]
    choose(2, "Absent on frame 3")
    show(dock, 1)
    choose(2, "Absent on frame 1")
    assert session.frames_of(2) == [0, 2]
    dock.history.undo.click()
    shown_when_idle(dock, qtbot)
    show(dock, 3)
    choose(1, "Divides at frame 3")
    assert [one.parents for one in session.objects.values()] == [(), (), (1,), (1,)]
    assert annotation.current == 4
    assert dock.message.text() == "Click on each daughter on frame 3: object 1.1 and object 1.2."
    for frame in range(6):
        np.testing.assert_array_equal(labels(dock)[frame], session.label_image(frame))
    dock.history.undo.click()
    shown_when_idle(dock, qtbot)
    assert list(session.objects) == [1, 2]
    assert session.frames_of(1) == [0, 1, 2, 3, 4, 5]


def test_what_was_decided_in_the_menu_stays_when_everything_is_tracked_again(
    tracked: AnnotationDock, qtbot: Any
) -> None:
    dock, annotation = tracked, annotation_of(tracked)
    session = annotation.session
    show(dock, 3)
    for object_id, text in ((1, "Divides at frame 3"), (2, "Ends before frame 3")):
        action(object_menu(annotation, object_id, lambda: None, dock), text).trigger()
        shown_when_idle(dock, qtbot)
    for daughter in (3, 4):
        annotation.edit(lambda session, i=daughter: session.add_box(3, i, (10, 10, 30, 30)))
        shown_when_idle(dock, qtbot)
    for direction in Direction:
        dock.propagation.buttons[direction].click()
        wait_until_tracked(dock, qtbot)
        assert "Not tracked: object" in dock.message.text()
        assert {i: session.frames_of(i) for i in session.objects} == {
            1: [0, 1, 2],
            2: [0, 1, 2],
            3: [3, 4, 5] if direction is not Direction.BACKWARD else [3],
            4: [3, 4, 5] if direction is not Direction.BACKWARD else [3],
        }


def test_an_object_is_renamed_in_the_list(tracked: AnnotationDock, qtbot: Any) -> None:
    dock, session = tracked, annotation_of(tracked).session
    dock.objects.list.topLevelItem(0).setText(0, "mother")
    shown_when_idle(dock, qtbot)
    assert session.objects[1].name == "mother"
    dock.objects.list.topLevelItem(0).setText(0, "  ")
    assert dock.objects.list.topLevelItem(0).text(0) == "mother"
    dock.history.undo.click()
    shown_when_idle(dock, qtbot)
    assert dock.objects.list.topLevelItem(0).text(0) == "object 1"


def test_corrections_of_the_current_object_have_a_button(tracked: AnnotationDock, qtbot: Any) -> None:
    dock, annotation = tracked, annotation_of(tracked)
    annotation.select_object(2)
    show(dock, 3)
    dock.objects.correct.click()
    menu = next(one for one in dock.objects.findChildren(QMenu) if one.isVisible())
    action(menu, "Absent").trigger()
    menu.close()
    shown_when_idle(dock, qtbot)
    assert 3 not in annotation.session.objects[2].life
