"""What cannot be done is gray, with the reason, and what was typed gives the keys back to the canvas."""

from typing import Any

import numpy as np
import pytest
from dock_input import Hand
from dock_steps import WAIT, Open, annotation_of, click, labels, show_tab, shown_when_idle
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLineEdit

from sam2_plugins.export.formats import FORMATS

pytestmark = pytest.mark.gui


def test_formats_that_cannot_hold_the_session_are_gray_with_the_reason(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    panel = dock.export
    show_tab(dock, "Files")
    assert not panel.save.isEnabled()
    assert "No object has a mask" in panel.why_not.text()
    click(dock, 0, 20, 20)
    shown_when_idle(dock, qtbot)
    assert panel.save.isEnabled()
    assert panel.why_not.isHidden()
    model, yolo = panel.format.native.model(), list(FORMATS).index("yolo")
    reason = FORMATS["yolo"].why_not(annotation_of(dock).session)
    assert reason is None or not model.item(yolo).isEnabled()
    for row, one in enumerate(FORMATS.values()):
        reason = one.why_not(annotation_of(dock).session)
        assert model.item(row).isEnabled() == (reason is None)
        if reason is not None:
            assert model.item(row).toolTip() == reason
            panel.format.value = one
            assert not panel.save.isEnabled()
            assert panel.why_not.text() == reason


def test_what_acts_on_a_mask_is_gray_where_there_is_none(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    hand = Hand(dock, qtbot)
    assert not dock.objects.remove.isEnabled()
    assert "There is no object yet" in dock.objects.remove.toolTip()
    assert not any(one.isEnabled() for one in (dock.review.verify, dock.review.unverify, dock.review.next))
    hand.press("H")
    assert dock.message.text() == "The current object has no mask here to be verified."
    annotation_of(dock).stack.show_frame(dock.viewer, 1)
    click(dock, 1, 20, 20)
    qtbot.waitUntil(lambda: labels(dock)[1].any(), timeout=WAIT)
    assert dock.objects.remove.isEnabled()
    assert dock.review.verify.isEnabled()
    assert dock.review.propagate.isEnabled()
    hand.press("H")
    qtbot.waitUntil(dock.review.unverify.isEnabled, timeout=WAIT)
    assert not dock.review.verify.isEnabled()
    annotation_of(dock).stack.show_frame(dock.viewer, 2)
    assert not dock.review.unverify.isEnabled()


def test_enter_gives_the_keys_back_to_the_canvas(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    dock.setup.unfold()
    for field in dock.findChildren(QLineEdit):
        if field.isVisible() and field.focusPolicy() != Qt.FocusPolicy.NoFocus:
            field.setFocus()
            qtbot.keyClick(field, Qt.Key.Key_Return)
            assert QApplication.focusWidget() is not field
            qtbot.waitUntil(lambda: dock.annotation is not None, timeout=WAIT)  # the axes were read anew
    Hand(dock, qtbot).press("N")
    qtbot.waitUntil(lambda: dock.objects.list.topLevelItemCount() == 1, timeout=WAIT)


def test_strokes_and_lassos_of_a_rolled_view_are_left_out_with_the_reason(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs, scale=(10, 1, 1))
    hand = Hand(dock, qtbot)
    annotation = annotation_of(dock)
    dock.viewer.dims.order = (1, 0, 2)  # time against x, at one y
    dock.viewer.reset_view()
    dock.objects.paint.click()
    masks = annotation.masks.layer
    qtbot.wait(50)  # the canvas is drawn so
    hand.click(20, 2)
    assert masks.selected_label == 1
    shown_when_idle(dock, qtbot)
    assert not np.asarray(masks.data).any()
    assert "A stroke across time points was left out: the view is rolled" in dock.message.text()
    assert annotation.session.objects == {}
    outline = np.array([[1, 20, 10], [1, 20, 30], [4, 20, 30], [4, 20, 10]])
    annotation.prompts.boxes.add_polygons([outline])
    shown_when_idle(dock, qtbot)
    assert "A box or lasso across time points was left out" in dock.message.text()
    assert annotation.session.objects == {}
