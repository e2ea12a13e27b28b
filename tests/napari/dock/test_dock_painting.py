"""Painting in the Labels layer: the session learns of it, and it can be undone."""

from typing import Any

import numpy as np
import pytest
from dock_input import Hand
from dock_steps import WAIT, Open, annotation_of, click, labels, shown_when_idle
from numpy.typing import NDArray

from napari_plugin.layers import BrushStroke

pytestmark = pytest.mark.gui


def test_a_brush_stroke_is_a_mask_prompt_and_can_be_undone(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    annotation = annotation_of(dock)
    session, layer = annotation.session, annotation.masks.layer
    annotation.stack.show_frame(dock.viewer, 1)
    click(dock, 1, 20, 20)
    before = shown_when_idle(dock, qtbot).copy()
    dock.objects.new.click()
    hand = Hand(dock, qtbot)
    for _ in range(3):
        hand.press("W")
    assert dock.objects.paint.isChecked()
    assert dock.viewer.layers.selection.active == layer
    layer.brush_size = 6
    hand.drag((50, 40), (64, 40))
    shown_when_idle(dock, qtbot)
    (prompt,) = session.prompts_of(2)[1]
    assert prompt.mask is not None
    painted = session.mask(2, 1)
    assert painted is not None
    assert painted[40, 50]
    assert painted[40, 64]
    assert 60 < painted.sum() < 200
    np.testing.assert_array_equal(labels(dock)[1] == 2, painted)
    hand.press("Z", "Control")  # not the layer's own undo
    np.testing.assert_array_equal(shown_when_idle(dock, qtbot), before)
    assert session.prompts_of(2) == {}
    hand.press("Z", "Control", "Shift")
    np.testing.assert_array_equal(shown_when_idle(dock, qtbot)[1] == 2, painted)


def test_a_lasso_is_a_mask_prompt(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(discs)
    annotation = annotation_of(dock)
    annotation.stack.show_frame(dock.viewer, 0)
    hand = Hand(dock, qtbot)
    hand.press("W")
    hand.press("W")
    assert dock.objects.lasso.isChecked()
    hand.drag((10, 10), (30, 10), (30, 40), (10, 40), (10, 20))
    shown_when_idle(dock, qtbot)
    mask = annotation.session.mask(1, 0)
    assert mask is not None
    np.testing.assert_array_equal(labels(dock)[0] == 1, mask)
    assert mask[12:38, 12:28].all()
    assert 450 < mask.sum() < 750
    assert len(annotation.prompts.boxes.data) == 0  # the mask has taken its place
    hand.press("Q")
    inner = np.array([[0, 15, 15], [0, 15, 25], [0, 25, 25], [0, 25, 15]])
    annotation.prompts.boxes.add_polygons([inner])
    shown_when_idle(dock, qtbot)
    assert not labels(dock)[0, 17:23, 17:23].any()
    dock.history.undo.click()
    np.testing.assert_array_equal(shown_when_idle(dock, qtbot)[0] == 1, mask)


# A line of one pixel is painted, and said to be too thin to be tracked.
@pytest.mark.filterwarnings("ignore:The mask of object 7:sam2_engine.errors.InputWarning")
def test_erasing_new_labels_and_verified_masks(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> None:
    dock = open_dock(discs)
    annotation = annotation_of(dock)
    session, layer = annotation.session, annotation.masks.layer
    everything = tuple(np.zeros(2400, int) if i == 0 else one.ravel() for i, one in enumerate(_upper_half()))
    layer.data_setitem(everything, 1)
    shown_when_idle(dock, qtbot)
    np.testing.assert_array_equal(session.mask(1, 0), labels(dock)[0] == 1)
    assert labels(dock)[0].sum() == 2400
    layer.data_setitem(tuple(one[:80] for one in everything), 0)
    shown_when_idle(dock, qtbot)
    assert (labels(dock)[0] == 1).sum() == 2320
    layer.data_setitem(tuple(one[80:160] for one in everything), 7)  # a label that nobody has
    shown_when_idle(dock, qtbot)
    assert list(session.objects) == [1, 7]
    assert (labels(dock)[0] == 7).sum() == 80
    beside = session.mask(1, 0)
    assert beside is not None
    assert beside.sum() == 2240  # it was painted itself, so the pixels were taken from it
    dock.history.undo.click()  # one stroke is one step, also where it took pixels from another object
    np.testing.assert_array_equal(shown_when_idle(dock, qtbot)[0] == 1, _rows_from(1))
    assert list(session.objects) == [1]
    dock.history.redo.click()
    assert (shown_when_idle(dock, qtbot)[0] == 7).sum() == 80
    annotation.edit(lambda one: one.verify(1, [0]))
    verified = shown_when_idle(dock, qtbot).copy()
    layer.data_setitem(tuple(one[160:240] for one in everything), 0)
    qtbot.waitUntil(lambda: "is verified on frame" in dock.message.text(), timeout=WAIT)
    np.testing.assert_array_equal(shown_when_idle(dock, qtbot), verified)


def _rows_from(row: int) -> NDArray[np.bool_]:
    """The upper half without its first rows."""
    mask = np.zeros((60, 80), bool)
    mask[row:30] = True
    return mask


def _upper_half() -> list[NDArray[np.intp]]:
    rows, columns = np.mgrid[:30, :80]
    return [np.zeros_like(rows), rows, columns]


def test_both_forms_in_which_napari_reports_a_stroke(
    open_dock: Open, discs: NDArray[np.uint8], qtbot: Any
) -> None:
    dock = open_dock(discs)
    annotation = annotation_of(dock)
    strokes: list[BrushStroke] = []
    annotation.masks._on_paint = strokes.append
    layer = annotation.masks.layer
    annotation.stack.show_frame(dock.viewer, 2)
    layer.paint((2, 10, 12), 3)
    layer.data_setitem((np.array([4]), np.array([5]), np.array([6])), 9)
    painted, single = strokes
    assert set(painted.frames) == {2}
    assert set(painted.after) == {3}
    rows, columns = painted.by_label(2, painted.after)[3]
    there = np.zeros((60, 80), bool)
    there[rows, columns] = True
    np.testing.assert_array_equal(labels(dock)[2] == 3, there)
    assert there[10, 12]
    assert (single.frames, single.rows, single.columns, single.before, single.after) == (4, 5, 6, 0, 9)
