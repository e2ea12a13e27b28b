"""The strip of states: one thin bar per object over all frames."""

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPoint, Qt, Signal
from qtpy.QtGui import QColor, QHelpEvent, QImage, QMouseEvent, QPainter, QPaintEvent, QPixmap, QResizeEvent
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_plugin.annotation.frame_states import FrameState
from napari_plugin.theme import STATE_COLORS

__all__ = ["ObjectStrip"]

_ROW, _LEAST_ROW, _GAP = 7, 3, 2
_HEIGHT = 64
"""Of all bars, in pixels: with many objects each is thinner."""
_CURSOR = QColor("white")
_CURRENT = QColor(255, 255, 255, 130)


class ObjectStrip(QWidget):
    """States of objects (rows) over frames (left to right), with a line at the shown frame.

    Attributes
    ----------
    picked
        Emitted with object id and frame when the user clicks on a bar.
    """

    picked = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._names: dict[int, str] = {}
        self._states: NDArray[np.uint8] = np.zeros((0, 1), np.uint8)
        self._frame, self._current = 0, 0
        self._row = _ROW
        self._pixmap: QPixmap | None = None
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def show_states(self, names: dict[int, str], states: NDArray[np.uint8], current: int) -> None:
        """Show objects by id and name, their (objects, frames) states, and which one is current."""
        if (
            list(names) != list(self._names)
            or states.shape != self._states.shape
            or (states != self._states).any()
        ):
            self._pixmap = None
        self._names, self._states, self._current = dict(names), states, current
        self._row = min(max(_HEIGHT // max(len(names), 1) - _GAP, _LEAST_ROW), _ROW)
        self.setFixedHeight(max(len(names), 1) * (self._row + _GAP) + _GAP)
        self.update()

    def show_frame(self, frame: int) -> None:
        """Move the line to a frame."""
        if frame != self._frame:
            self._frame = frame
            self.update()

    def place_at(self, position: QPoint) -> tuple[int, int] | None:
        """Return the object id and frame that are drawn at a position of this widget."""
        row, frames = (position.y() - _GAP // 2) // (self._row + _GAP), self._states.shape[1]
        if not 0 <= row < len(self._names) or not 0 <= position.x() < self.width():
            return None
        return list(self._names)[row], position.x() * frames // self.width()

    def pixmap(self) -> QPixmap:
        """Return all bars as one image, drawn again only after a change."""
        if self._pixmap is None:
            width = max(self.width(), 1)
            columns = np.arange(width) * self._states.shape[1] // width
            height = len(self._names) * (self._row + _GAP) + _GAP
            indices = np.full((height, (width + 3) // 4 * 4), len(FrameState), np.uint8)
            for row, states in enumerate(np.maximum.reduceat(self._states, columns, axis=1)):
                top = _GAP + row * (self._row + _GAP)
                indices[top : top + self._row, :width] = states
            pixels = indices.tobytes()
            image = QImage(pixels, width, height, indices.shape[1], QImage.Format.Format_Indexed8)
            colors = [QColor(STATE_COLORS[state.name.lower()]).rgba() for state in FrameState]
            image.setColorTable([*colors, 0])
            self._pixmap = QPixmap.fromImage(image)
        return self._pixmap

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw bars, the shown frame and the current object."""
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self.pixmap())
        frames = self._states.shape[1]
        left, right = (round(f * self.width() / frames) for f in (self._frame, self._frame + 1))
        painter.setPen(_CURSOR)
        painter.drawRect(left, 0, max(right - left - 1, 1), self.height() - 1)
        if self._current in self._names:
            top = list(self._names).index(self._current) * (self._row + _GAP) + _GAP - 1
            painter.setPen(_CURRENT)
            painter.drawRect(0, top, self.width() - 1, self._row + 1)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Jump to what was clicked on."""
        place = self.place_at(event.position().toPoint())
        if place is not None:
            self.picked.emit(*place)

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Draw anew for another width."""
        self._pixmap = None

    def event(self, event: QEvent) -> bool:
        """Say under the mouse what is drawn there."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            place = self.place_at(event.pos())
            if place is not None:
                row = list(self._names).index(place[0])
                state = FrameState(int(self._states[row, place[1]])).name.lower()
                text = f"{self._names[place[0]]}, frame {place[1]}: {state}"
                QToolTip.showText(event.globalPos(), text, self)
            return True
        return bool(super().event(event))
