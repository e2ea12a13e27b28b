"""Real mouse and keys on the canvas."""

from typing import Any

import numpy as np
import pytest
from dock_input import CONTROL, SHIFT, Hand
from dock_steps import WAIT, Open, annotation_of, labels
from numpy.typing import NDArray

from napari_plugin.widgets.dock import AnnotationDock
from sam2_plugins.session.propagation_plan import Direction

pytestmark = pytest.mark.gui


@pytest.fixture
def dock(open_dock: Open, discs: NDArray[np.uint8]) -> AnnotationDock:
    dock = open_dock(discs)
    annotation_of(dock).stack.show_frame(dock.viewer, 1)
    return dock


def test_a_click_on_the_canvas_is_a_click_on_that_pixel(dock: AnnotationDock, qtbot: Any) -> None:
    hand = Hand(dock, qtbot)
    hand.click(22, 20)
    hand.click(60, 40, CONTROL)
    hand.click(30, 25)
    session = annotation_of(dock).session
    qtbot.waitUntil(lambda: labels(dock)[1].any(), timeout=WAIT)
    qtbot.waitUntil(
        lambda: sum(len(one.points.labels) for one in session.prompts_of(1)[1] if one.points) == 3,
        timeout=WAIT,
    )
    points = [one.points for one in session.prompts_of(1)[1] if one.points is not None]
    np.testing.assert_allclose(
        np.concatenate([one.coordinates for one in points]), [[22, 20], [60, 40], [30, 25]], atol=0.5
    )
    assert np.concatenate([one.labels for one in points]).tolist() == [1, 0, 1]


def test_a_drag_draws_a_box(dock: AnnotationDock, qtbot: Any) -> None:
    hand = Hand(dock, qtbot)
    hand.press("W")
    assert dock.objects.box.isChecked()
    hand.drag((10, 8), (34, 32))
    session = annotation_of(dock).session
    qtbot.waitUntil(lambda: bool(session.objects and session.prompts_of(1)), timeout=WAIT)
    (prompt,) = session.prompts_of(1)[1]
    assert prompt.box is not None
    np.testing.assert_allclose(prompt.box.corners.ravel(), [10.5, 8.5, 33.5, 31.5], atol=0.6)
    for _ in ("lasso", "brush", "click"):
        hand.press("W")
    assert dock.viewer.layers.selection.active == annotation_of(dock).prompts.points


def test_keys_work_whichever_layer_is_active(dock: AnnotationDock, qtbot: Any) -> None:
    annotation = annotation_of(dock)
    prompts, hand = annotation.prompts, Hand(dock, qtbot)
    layers = (prompts.points, prompts.boxes, annotation.stack.layer, annotation.masks.layer)
    dock.objects.new.click()
    for last, active in enumerate(layers, start=1):
        dock.viewer.layers.selection.active = active
        hand.press("N")
        assert list(annotation.session.objects) == [*range(1, last + 1), last + 1], active.name
        assert annotation.current == last + 1
        hand.press("J")
        assert annotation.current == last
        hand.press("K")
        assert annotation.current == last + 1
        hand.press("Q")
        assert annotation.excluding
        assert dock.objects.exclude.isChecked()
        hand.press("Q")
        assert not annotation.excluding
        prompts.points.add([0, 20, 20])
        hand.press("G")
        assert annotation.propagation.running
        hand.press("G")
        qtbot.waitUntil(lambda: not annotation.propagation.running, timeout=WAIT)
        assert dock.message.text().startswith("Stopped")


def test_keys_are_given_back_when_the_dock_closes(dock: AnnotationDock, qtbot: Any) -> None:
    hand, session = Hand(dock, qtbot), annotation_of(dock).session
    dock.viewer.window.remove_dock_widget(dock)
    hand.press("N")
    assert list(session.objects) == []


def test_a_pressed_tool_works_whatever_else_was_chosen_meanwhile(dock: AnnotationDock, qtbot: Any) -> None:
    annotation, panel = annotation_of(dock), dock.objects
    assert panel.click.isChecked()
    dock.viewer.layers.selection.active = annotation.stack.layer
    assert not any(tool.isChecked() for tool in panel._tools)
    panel.click.click()
    assert panel.click.isChecked()
    annotation.prompts.points.mode = "select"
    assert not panel.click.isChecked()
    Hand(dock, qtbot).press("W")
    assert panel.click.isChecked()
    panel.box.click()
    dock.viewer.dims.ndisplay = 3
    qtbot.wait(100)
    assert not panel.box.isChecked()
    assert "In 3D" in panel.hint.text()
    panel.click.click()
    assert panel.click.isChecked()
    assert "surface" in panel.hint.text()
    dock.viewer.dims.ndisplay = 2
    qtbot.wait(100)
    assert panel.click.isChecked()


def test_an_error_goes_when_the_mistake_is_mended(dock: AnnotationDock, qtbot: Any) -> None:
    dock.propagation.buttons[Direction.FORWARD].click()
    qtbot.waitUntil(lambda: "nothing to track yet" in dock.message.text(), timeout=WAIT)
    Hand(dock, qtbot).click(24, 20)
    qtbot.waitUntil(lambda: labels(dock).any(), timeout=WAIT)
    assert dock.message.text().startswith("New object (N)")  # the next step


def test_each_click_may_be_a_new_object(dock: AnnotationDock, qtbot: Any) -> None:
    annotation, hand = annotation_of(dock), Hand(dock, qtbot)
    dock.objects.each_new.setChecked(True)
    places = ((22, 20), (60, 39), (10, 50))
    for place in places:
        hand.click(*place)
    hand.click(12, 52, SHIFT)  # the opposite, once: it belongs to the third
    hand.click(40, 10, CONTROL)  # what is taken away begins nothing
    qtbot.waitUntil(lambda: len(annotation.prompts.read()) == 3, timeout=WAIT)
    clicks = [prompt.points for prompt in annotation.prompts.read().values()]
    assert [len(points) for points in clicks if points is not None] == [1, 1, 3]
    qtbot.waitUntil(lambda: all(annotation.session.frames_of(i) for i in (1, 2, 3)), timeout=WAIT)
    dock.objects.each_new.setChecked(False)
    hand.click(70, 10, SHIFT)
    qtbot.waitUntil(lambda: len(annotation.prompts.read()) == 4, timeout=WAIT)
