"""Clicks in a 3D view: they act on the surface of a mask under the mouse, as they do on a slice."""

from typing import Any

import numpy as np
import pytest
from dock_input import CONTROL, LEFT, NO_BUTTON, NONE
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_plugin.layers import Tool
from napari_plugin.widgets.dock import AnnotationDock
from tests.napari.dock_steps import WAIT, Open, annotation_of, shown_when_idle

pytestmark = pytest.mark.gui
NEAR, FAR = 1, 2


@pytest.fixture
def dock(open_dock: Open, discs: NDArray[np.uint8], qtbot: Any) -> AnnotationDock:
    """Two cubes in a volume: one at the left, in front of a part of one at the right; planes come nearer."""
    dock = open_dock(np.concatenate([discs] * 4), name="ct", axis_labels=("z", "y", "x"))
    cubes = np.zeros((2, 24, 60, 80), bool)
    cubes[0, 14:20, 20:40, 10:30] = cubes[1, 4:10, 20:40, 25:60] = True

    def act(session: Any) -> None:
        for frame in range(24):
            masks = {i: cube[frame] for i, cube in enumerate(cubes, 1) if cube[frame].any()}
            session.import_masks(frame, masks)

    annotation_of(dock).edit(act)
    shown_when_idle(dock, qtbot)
    dock.viewer.dims.ndisplay = 3
    dock.viewer.reset_view()
    qtbot.wait(100)
    annotation_of(dock).select_object(NEAR)
    return dock


class Hand3D:
    """The mouse over a volume."""

    def __init__(self, dock: AnnotationDock, qtbot: Any) -> None:
        window = dock.viewer.__wrapped__.window._qt_window  # type: ignore[attr-defined]
        self._canvas, self._dock, self._qtbot = window._qt_viewer.canvas, dock, qtbot

    def at(self, z: float, y: float, x: float) -> QPoint:
        node = self._canvas.layer_to_visual[annotation_of(self._dock).prompts.points].node
        position = node.get_transform("visual", "canvas").map([x, y, z, 1])
        return QPoint(*(round(float(value / position[3])) for value in position[:2]))

    def click(self, z: float, y: float, x: float, modifier: Any = NONE) -> None:
        native, place = self._canvas.native, self.at(z, y, x)
        spot = QPointF(native.mapToGlobal(place))
        move = QMouseEvent(QEvent.Type.MouseMove, QPointF(place), spot, NO_BUTTON, NO_BUTTON, NONE)
        QApplication.sendEvent(native, move)
        self._qtbot.mouseClick(native, LEFT, modifier, place)

    def drag(self, start: tuple[float, float, float], by: int) -> None:
        native, place = self._canvas.native, self.at(*start)
        self._qtbot.mousePress(native, LEFT, NONE, place)
        for step in (by // 2, by):
            there = place + QPoint(step, 0)
            spot = QPointF(native.mapToGlobal(there))
            move = QMouseEvent(
                QEvent.Type.MouseMove, QPointF(there), spot, Qt.MouseButton.NoButton, LEFT, NONE
            )
            QApplication.sendEvent(native, move)
            self._qtbot.wait(50)
        self._qtbot.mouseRelease(native, LEFT, NONE, place + QPoint(by, 0))


def clicks_of(dock: AnnotationDock, object_id: int) -> dict[int, list[tuple[float, ...]]]:
    """Return x, y and label of clicks by frame."""
    found = {}
    for (owner, frame), prompt in annotation_of(dock).prompts.read().items():
        if owner == object_id and prompt.points is not None:
            places = prompt.points.coordinates.tolist()
            found[frame] = [(*place, label) for place, label in zip(places, prompt.points.labels)]
    return found


def test_a_click_on_another_surface_chooses_its_object(dock: AnnotationDock, qtbot: Any) -> None:
    annotation, hand = annotation_of(dock), Hand3D(dock, qtbot)
    assert annotation.tools.active is Tool.CLICK
    hand.click(9, 30, 50)
    assert annotation.current == FAR
    hand.click(19, 30, 27)  # both lie there: the one in front is seen
    assert annotation.current == NEAR
    assert not annotation.prompts.points.data.size


def test_a_click_on_the_own_surface_is_a_click_on_the_plane_that_it_hits(
    dock: AnnotationDock, qtbot: Any
) -> None:
    hand = Hand3D(dock, qtbot)
    hand.click(19, 30, 20)
    assert clicks_of(dock, NEAR) == {19: [(pytest.approx(20, abs=1), pytest.approx(30, abs=1), 1)]}
    hand.click(19, 35, 14, CONTROL)
    qtbot.waitUntil(lambda: len(clicks_of(dock, NEAR)[19]) == 2, timeout=WAIT)
    assert clicks_of(dock, NEAR)[19][1] == (pytest.approx(14, abs=1), pytest.approx(35, abs=1), 0)
    session = annotation_of(dock).session
    shown_when_idle(dock, qtbot)
    assert list(session.prompts_of(NEAR)) == [19]


def test_a_drag_turns_the_view_and_a_click_beside_says_why_nothing_happens(
    dock: AnnotationDock, qtbot: Any
) -> None:
    annotation, hand = annotation_of(dock), Hand3D(dock, qtbot)
    before = tuple(dock.viewer.scene.camera.angles)
    hand.drag((19, 30, 20), 60)
    assert tuple(dock.viewer.scene.camera.angles) != before
    assert not annotation.prompts.points.data.size
    dock.viewer.scene.camera.angles = before
    hand.click(19, 5, 70)
    assert "act on the surfaces of masks" in dock.message.text()
    assert not annotation.prompts.points.data.size
    dock.objects.box.click()
    hand.click(19, 30, 20)
    assert not annotation.prompts.points.data.size
    assert "other tools are back with the slices" in dock.objects.hint.text()
