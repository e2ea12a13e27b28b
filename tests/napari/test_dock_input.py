"""Real mouse and keys on the canvas."""

from typing import Any

import numpy as np
import pytest
from dock_steps import WAIT, Open, annotation_of, labels
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_plugin._widget.dock import AnnotationDock

pytestmark = pytest.mark.gui

LEFT, NO_BUTTON, NONE, CONTROL = (
    Qt.MouseButton.LeftButton,
    Qt.MouseButton.NoButton,
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ControlModifier,
)


class Hand:
    """Mouse and keyboard over the viewer's canvas."""

    def __init__(self, dock: AnnotationDock, qtbot: Any) -> None:
        window = dock.viewer.__wrapped__.window._qt_window  # type: ignore[attr-defined]
        self._canvas = window._qt_viewer.canvas
        self._native = self._canvas.native
        self._viewer = dock.viewer
        self._layer = annotation_of(dock).prompts.points
        self._qtbot = qtbot

    def at(self, x: float, y: float) -> QPoint:
        """Return the place on the canvas of pixel (x, y)."""
        node = self._canvas.layer_to_visual[self._layer].node
        position = node.get_transform("visual", "canvas").map([x, y, 0, 1])
        return QPoint(*(round(float(value / position[3])) for value in position[:2]))

    def _move(self, x: float, y: float, button: Any) -> None:
        """Send the move itself: ``QTest`` would move the X server's pointer, which a tooltip may catch."""
        place = QPointF(self.at(x, y))
        spot = QPointF(self._native.mapToGlobal(place.toPoint()))
        kind = QEvent.Type.MouseMove
        QApplication.sendEvent(self._native, QMouseEvent(kind, place, spot, NO_BUTTON, button, NONE))

    def click(self, x: float, y: float, modifier: Any = NONE) -> None:
        self._move(x, y, NO_BUTTON)
        self._qtbot.mouseClick(self._native, LEFT, modifier, self.at(x, y))

    def drag(self, start: tuple[float, float], stop: tuple[float, float]) -> None:
        middle = ((start[0] + stop[0]) / 2, (start[1] + stop[1]) / 2)
        self._move(*start, NO_BUTTON)
        self._qtbot.mousePress(self._native, LEFT, NONE, self.at(*start))
        for place in (middle, stop):
            self._pull_to(*place)
        self._qtbot.mouseRelease(self._native, LEFT, NONE, self.at(*stop))

    def _pull_to(self, x: float, y: float) -> None:
        """Move until the viewer has noticed: napari passes on moves with a delay of some ms."""

        def noticed() -> bool:
            row, column = self._layer.world_to_data(self._viewer.cursor.position)[-2:]
            if np.hypot(column - x, row - y) < 0.3:
                return True
            self._move(x, y, LEFT)
            return False

        self._qtbot.waitUntil(noticed, timeout=WAIT)

    def press(self, key: str) -> None:
        self._qtbot.keyClick(self._native, key)


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
    hand.press("W")
    assert dock.viewer.layers.selection.active == annotation_of(dock).prompts.points


@pytest.mark.parametrize("active", ["points", "boxes", "image", "masks"])
def test_keys_work_whichever_layer_is_active(dock: AnnotationDock, qtbot: Any, active: str) -> None:
    annotation = annotation_of(dock)
    layers = {
        "points": annotation.prompts.points,
        "boxes": annotation.prompts.boxes,
        "image": annotation.stack.layer,
        "masks": annotation.masks.layer,
    }
    dock.viewer.layers.selection.active = layers[active]
    hand = Hand(dock, qtbot)
    hand.press("N")
    assert list(annotation.session.objects) == [1, 2]
    assert annotation.current == 2
    hand.press("J")
    assert annotation.current == 1
    hand.press("K")
    assert annotation.current == 2
    hand.press("Q")
    assert annotation.excluding
    assert dock.objects.exclude.isChecked()
    hand.press("Q")
    assert not annotation.excluding
    annotation.prompts.points.add([0, 20, 20])
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
