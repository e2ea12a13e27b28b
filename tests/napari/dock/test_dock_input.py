"""Real mouse and keys on the canvas."""

from typing import Any

import numpy as np
import pytest
from dock_input import CONTROL, Hand
from dock_steps import WAIT, Open, annotation_of, labels
from numpy.typing import NDArray

from napari_plugin.widgets.dock import AnnotationDock

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
    qtbot.waitUntil(lambda: 1 in session.prompts_of(1), timeout=WAIT)
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
    assert list(session.objects) == [1]
