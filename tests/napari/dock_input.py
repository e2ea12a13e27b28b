"""A hand over the canvas: real mouse and key events, for tests in a real window."""

from typing import Any

import numpy as np
from dock_steps import WAIT, annotation_of
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_plugin.widgets.dock import AnnotationDock

LEFT, NO_BUTTON, NONE, CONTROL, SHIFT = (
    Qt.MouseButton.LeftButton,
    Qt.MouseButton.NoButton,
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
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

    def drag(self, start: tuple[float, float], *stops: tuple[float, float]) -> None:
        self._move(*start, NO_BUTTON)
        self._qtbot.mousePress(self._native, LEFT, NONE, self.at(*start))
        before = start
        for stop in stops:
            self._pull_to((before[0] + stop[0]) / 2, (before[1] + stop[1]) / 2)
            self._pull_to(*stop)
            before = stop
        self._qtbot.mouseRelease(self._native, LEFT, NONE, self.at(*stops[-1]))

    def _pull_to(self, x: float, y: float) -> None:
        """Move until the viewer has noticed: napari passes on moves with a delay of some ms."""

        def noticed() -> bool:
            row, column = self._layer.world_to_data(self._viewer.cursor.position)[-2:]
            if np.hypot(column - x, row - y) < 0.3:
                return True
            self._move(x, y, LEFT)
            return False

        self._qtbot.waitUntil(noticed, timeout=WAIT)

    def press(self, key: str, *modifiers: str) -> None:
        held = NONE
        for modifier in modifiers:
            held |= getattr(Qt.KeyboardModifier, f"{modifier}Modifier")
        self._qtbot.keyClick(self._native, getattr(Qt.Key, f"Key_{key}"), held)
