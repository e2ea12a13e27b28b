"""Many objects with few actions: each click begins one or chooses one, and the list finds it again."""

from typing import Any

import numpy as np
import pytest
from dock_input import CONTROL, Hand
from dock_steps import WAIT, Open, annotation_of, click, labels, shown_when_idle, start, wait_until_tracked
from numpy.typing import NDArray
from qtpy.QtCore import Qt

from napari_plugin.theme import CLICK_SIZE

pytestmark = pytest.mark.gui

ALT = Qt.KeyboardModifier.AltModifier


def two_squares(dock: Any, qtbot: Any) -> None:
    """Objects 1 (left) and 2 (right, current) on the shown frame, as if painted."""
    frame = annotation_of(dock).shown_frame
    left, right = np.zeros((2, 60, 80), bool)
    left[10:30, 10:30] = right[10:30, 50:70] = True
    annotation_of(dock).edit(lambda session: session.import_masks(frame, {1: left, 2: right}))
    shown_when_idle(dock, qtbot)
    annotation_of(dock).select_object(2)


def test_a_click_on_another_mask_chooses_its_object(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    two_squares(dock, qtbot)
    annotation, hand = annotation_of(dock), Hand(dock, qtbot)
    session = annotation.session
    hand.click(20, 20)
    shown_when_idle(dock, qtbot)
    assert annotation.current == 1
    assert dock.objects.list.currentItem().text(0) == "object 1"
    assert session.prompts_of(1) == session.prompts_of(2) == {}
    assert len(annotation.prompts.points.data) == 0
    hand.click(60, 20, CONTROL)  # what is taken away from the current one
    shown_when_idle(dock, qtbot)
    assert annotation.current == 1
    assert session.prompts_of(1) != {}
    hand.click(60, 20, ALT)
    shown_when_idle(dock, qtbot)
    assert annotation.current == 1
    dock.objects.new.click()
    hand.click(20, 20)  # a new one begins wherever it is clicked
    shown_when_idle(dock, qtbot)
    assert annotation.current == 3
    assert session.prompts_of(3) != {}


def test_ten_cells_in_a_movie_are_eleven_actions(open_dock: Open, qtbot: Any) -> None:
    y, x = np.mgrid[:120, :300]
    centers = [(30 + 60 * i, 30 + 60 * j) for j in range(2) for i in range(5)]
    frame = np.full((120, 300), 20, np.uint8)
    for cx, cy in centers:
        frame[(x - cx) ** 2 + (y - cy) ** 2 < 100] = 200
    dock = open_dock(np.stack([frame] * 3))
    dock.objects.each_new.click()  # once, and remembered
    annotation, hand = annotation_of(dock), Hand(dock, qtbot)
    annotation.stack.show_frame(dock.viewer, 0)
    for cx, cy in centers:
        annotation.masks.layer.visible = False  # random weights cover whatever they like
        hand.click(cx, cy)
    hand.press("G")
    wait_until_tracked(dock, qtbot)
    session = annotation.session
    assert len(session.objects) == 10
    assert all(session.frames_of(object_id) == [0, 1, 2] for object_id in session.objects)


def test_the_list_is_sorted_filtered_and_scrolls_with_a_hundred_objects(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    annotation, tree = annotation_of(dock), dock.objects.list
    assert dock.objects.filter.isHidden()
    for _ in range(100):
        annotation.session.add_object()
    mask = np.ones((60, 80), bool)
    annotation.edit(lambda session: session.import_masks(3, {42: mask}))
    shown_when_idle(dock, qtbot)
    names = [item.text(0) for item in tree.rows]
    assert names == [f"object {i}" for i in range(1, 101)]  # 10 after 9
    annotation.select_object(90)
    qtbot.waitUntil(lambda: tree.viewport().rect().intersects(tree.visualItemRect(tree.currentItem())))
    tree.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    assert tree.rows[0].text(0) == "object 42"
    assert dock.objects.filter.isVisibleTo(dock)
    qtbot.keyClicks(dock.objects.filter, "object 4")
    shown = [item.text(0) for item in tree.rows if not item.isHidden()]
    assert shown[0] == "object 42"
    assert len(shown) == 11 + 1  # 4, 40 to 49, and the current one
    annotation.select_object(42)
    Hand(dock, qtbot).press("K")
    assert annotation.current in {4, *range(40, 50)} - {42}


def test_an_image_that_comes_after_the_dock_is_opened(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(wait=False)
    dock.viewer.add_image(discs, name="late")
    qtbot.waitUntil(lambda: dock.annotation is not None, timeout=WAIT)
    assert annotation_of(dock).stack.layer.name == "late"
    dock.viewer.add_image(discs, name="later")
    qtbot.wait(50)
    assert annotation_of(dock).stack.layer.name == "late"


def test_the_line_below_the_tools_says_what_the_next_press_does(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    hint = dock.objects.hint
    assert hint.text().startswith("A click begins a new object")
    click(dock, 0, 20, 20)
    shown_when_idle(dock, qtbot)
    assert hint.text().startswith("A click adds to object 1")
    dock.objects.box.click()
    assert hint.text() == "Drag from corner to corner of object 1."
    dock.viewer.layers.selection.active = annotation_of(dock).stack.layer
    assert hint.text() == "The mouse works in layer 'image'; press a tool, or W, to get it back."
    dock.objects.click.click()
    assert hint.text().startswith("A click adds to object 1")


def test_undo_shows_the_frame_that_it_changed(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(discs)
    annotation = annotation_of(dock)
    annotation.stack.show_frame(dock.viewer, 1)
    click(dock, 1, 20, 20)
    shown_when_idle(dock, qtbot)
    annotation.stack.show_frame(dock.viewer, 5)
    dock.history.undo.click()
    qtbot.waitUntil(lambda: annotation.shown_frame == 1, timeout=WAIT)
    assert not labels(dock).any()
    start(dock)  # nothing to track
    qtbot.waitUntil(lambda: "nothing to track" in dock.message.text(), timeout=WAIT)


def test_help_lists_keys_and_what_happened(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(discs)
    dock.show_message("Saved.")
    dock.history.help.click()
    assert dock.help.isVisible()
    assert "Shift+K" in dock.help.bound.toPlainText()
    assert "Saved." in dock.help.log.toPlainText()
    dock.help.close()
    dock.show_message("")
    dock.objects.new.click()
    assert dock.message.text().startswith("Click on an object")  # the next step


def test_no_dot_is_drawn_on_a_frame_without_clicks(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    annotation = annotation_of(dock)
    annotation.stack.show_frame(dock.viewer, 0)
    click(dock, 0, 20, 20)
    shown_when_idle(dock, qtbot)
    assert annotation.prompts.points.canvas_size_limits == (CLICK_SIZE, CLICK_SIZE)
    annotation.stack.show_frame(dock.viewer, 3)
    assert annotation.prompts.points.canvas_size_limits == (0, 0)
    annotation.stack.show_frame(dock.viewer, 0)
    assert annotation.prompts.points.canvas_size_limits == (CLICK_SIZE, CLICK_SIZE)
