"""The dock fits on the screen of a small laptop, whatever is in it: nothing is crushed or out of reach."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QTreeWidget, QWidget

from napari_plugin.widgets.dock import AnnotationDock
from tests.napari.dock_steps import WAIT, Open, annotation_of, shown_when_idle

pytestmark = pytest.mark.gui
LAPTOP = (1280, 720)


@pytest.fixture
def full(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> AnnotationDock:
    """40 objects and a long message in a small window."""
    dock = open_dock(discs)
    masks = {i: np.zeros((60, 80), bool) for i in range(1, 41)}
    for i, mask in masks.items():
        mask[i : i + 5, i : i + 5] = True
    annotation_of(dock).edit(lambda session: session.import_masks(0, masks, as_prompts=True))
    shown_when_idle(dock, qtbot)
    dock.show_message("A long message that tells what to do, where and why. " * 12)
    dock.viewer.window.resize(*LAPTOP)
    qtbot.wait(300)
    return dock


def is_inside(widget: QWidget, window: QWidget) -> bool:
    corner = widget.mapTo(window, QPoint(0, 0))
    return (
        0 <= corner.x() <= window.width() - widget.width()
        and 0 <= corner.y() <= window.height() - widget.height()
    )


@pytest.mark.parametrize("unfolded", [False, True])
def test_everything_that_is_needed_all_the_time_is_in_a_small_window(
    full: AnnotationDock, qtbot: Any, unfolded: bool
) -> None:
    dock = full
    dock.setup.unfold(unfolded)
    qtbot.wait(200)
    window = dock.window()
    assert (window.width(), window.height()) == LAPTOP
    assert dock.minimumSizeHint().height() <= 500
    for widget in (dock.history.undo, dock.history.redo, dock.strips, dock.setup.toggle):
        assert widget.isVisible()
        assert is_inside(widget, window), widget
        assert widget.height() >= widget.minimumSizeHint().height()
    for number in range(dock.tabs.count()):
        dock.tabs.setCurrentIndex(number)
        qtbot.wait(50)
        assert (window.width(), window.height()) == LAPTOP
        for tree in dock.tabs.currentWidget().findChildren(QTreeWidget):
            titles, row = tree.header().height(), tree.fontMetrics().height()
            assert tree.height() >= titles + 5 * row


def test_nothing_covers_the_list_of_objects(full: AnnotationDock, qtbot: Any) -> None:
    panel = full.objects
    annotation_of(full).edit(lambda session: session.edit_object(40, name="a name that is long " * 5))
    annotation_of(full).select_object(40)
    qtbot.waitUntil(lambda: "(Alt: adds)" in panel.hint.text(), timeout=WAIT)
    full.tabs.setCurrentIndex(0)
    qtbot.wait(200)
    below = panel.list.mapTo(panel, QPoint(0, panel.list.height())).y()
    assert below <= panel.new.mapTo(panel, QPoint(0, 0)).y()
    assert panel.hint.height() >= panel.hint.heightForWidth(panel.hint.width())
    assert panel.hint.height() <= 2.5 * panel.hint.fontMetrics().lineSpacing()


def test_strips_become_thinner_with_their_number(full: AnnotationDock, qtbot: Any) -> None:
    full.strips.draw_soon.flush()
    many = full.strips.strip.height() / 40
    annotation_of(full).undo()
    qtbot.waitUntil(lambda: len(annotation_of(full).session.objects) == 0, timeout=WAIT)
    full.objects.new.click()
    full.strips.draw_soon.flush()
    assert full.strips.strip.height() > many
    assert full.strips.height() <= 90


def test_set_up_folds_away_once_done_and_comes_when_it_is_needed(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    assert not dock.setup.unfolded
    assert "TYX" in dock.setup._summary.text()
    qtbot.mouseClick(dock.setup.toggle, Qt.MouseButton.LeftButton)
    assert dock.setup.unfolded
    assert dock.image.axes.isVisible()
    assert dock.image.axes.width() >= dock.image.axes.fontMetrics().horizontalAdvance("TCZYX") + 10
    dock.image.axes.setFocus()
    dock.image.axes.setText("ZYX")
    qtbot.keyClick(dock.image.axes, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: dock.annotation is not None, timeout=WAIT)
    assert not dock.setup.unfolded
    assert not dock.image.axes.hasFocus()
    dock.model.prompt_bar.offer("Shall it be downloaded?", "Yes", lambda: None)
    assert dock.model.prompt_bar.isVisible()
