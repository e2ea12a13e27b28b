"""A plot of one measurement over time."""

import math
from bisect import bisect_left
from collections.abc import Sequence

from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QFontMetrics, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

__all__ = ["LinePlot"]

_MARGIN, _GAP = 4, 3
_DOT = 2.0


class LinePlot(QWidget):
    """A line through values over x, broken where there is no value.

    Attributes
    ----------
    picked
        Emitted with the index of the value nearest to a click, along x.
    """

    picked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._x: list[float] = []
        self._values: list[float | None] = []
        self._titles = ("", "")
        self._marked: int | None = None
        self._color = QColor("white")
        self.setMinimumHeight(110)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def show_values(
        self,
        x: Sequence[float],
        values: Sequence[float | None],
        titles: tuple[str, str] = ("", ""),
        color: str = "white",
    ) -> None:
        """Show values over ascending x, with the titles of x and of the values."""
        usable = (None if value is None or not math.isfinite(value) else float(value) for value in values)
        self._x, self._values = [float(one) for one in x], list(usable)
        self._titles, self._color = titles, QColor(color)
        self._marked = None
        self.update()

    def mark(self, index: int) -> None:
        """Draw a line at the place of a value along x."""
        self._marked = index
        self.update()

    def segments(self) -> list[list[QPointF]]:
        """Return what is drawn, in pixels of this widget: one list of places per unbroken line."""
        known = [value for value in self._values if value is not None]
        if not known:
            return []
        area, low, high = self._area(), min(known), max(known)
        segments: list[list[QPointF]] = [[]]
        for x, value in zip(self._x, self._values):
            if value is None:
                segments.append([])
                continue
            # A value that never changes is drawn in the middle.
            up = (value - low) / (high - low) if high > low else 0.5
            segments[-1].append(QPointF(self._across(x, area), area.bottom() - up * area.height()))
        return [segment for segment in segments if segment]

    def index_at(self, position: float) -> int | None:
        """Return the index of the value that is nearest to a place along x, in pixels."""
        if not self._x:
            return None
        area = self._area()
        places = [self._across(x, area) for x in self._x]
        after = min(bisect_left(places, position), len(places) - 1)
        return min((max(after - 1, 0), after), key=lambda index: abs(places[index] - position))

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw the line, the range of both axes, and their titles."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        muted = QColor(self.palette().windowText().color())
        muted.setAlpha(150)
        painter.setPen(muted)
        segments = self.segments()
        if segments:
            self._write_axes(painter)
            self._draw_mark(painter)
        else:
            painter.drawText(QRectF(self.rect()), Qt.AlignmentFlag.AlignCenter, "No values to draw")
        painter.setPen(QPen(self._color, 1.5))
        painter.setBrush(self._color)
        for segment in segments:
            painter.drawPolyline(QPolygonF(segment))
            for place in segment:
                painter.drawEllipse(place, _DOT, _DOT)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Emit which value is meant."""
        index = self.index_at(event.position().x())
        if index is not None:
            self.picked.emit(index)

    def _draw_mark(self, painter: QPainter) -> None:
        if self._marked is not None:
            area = self._area()
            across = self._across(self._x[self._marked], area)
            painter.drawLine(QPointF(across, area.top()), QPointF(across, area.bottom()))

    def _write_axes(self, painter: QPainter) -> None:
        known, area = [value for value in self._values if value is not None], self._area()
        line = QFontMetrics(self.font()).height()
        left, right = Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        painter.drawLine(area.topLeft(), area.bottomLeft())
        above = QRectF(_MARGIN, _MARGIN, self.width() - 2 * _MARGIN, line)
        painter.drawText(above, left, self._titles[1])
        beside = area.left() - _MARGIN - _GAP
        if max(known) > min(known):
            painter.drawText(QRectF(_MARGIN, area.top() - line / 2, beside, line), right, _short(max(known)))
            painter.drawText(
                QRectF(_MARGIN, area.bottom() - line / 2, beside, line), right, _short(min(known))
            )
        else:
            painter.drawText(
                QRectF(_MARGIN, area.center().y() - line / 2, beside, line), right, _short(known[0])
            )
        below = QRectF(area.left(), area.bottom() + _GAP, area.width(), line)
        painter.drawText(below, left, _short(self._x[0]))
        painter.drawText(below, right, _short(self._x[-1]))
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, self._titles[0])

    def _area(self) -> QRectF:
        """Return where the line is drawn."""
        metrics = QFontMetrics(self.font())
        known = [value for value in self._values if value is not None] or [0.0]
        widest = max(metrics.horizontalAdvance(_short(value)) for value in (min(known), max(known)))
        left, top = widest + _MARGIN + 2 * _GAP, metrics.height() * 1.5 + _MARGIN
        width, height = (
            self.width() - left - 2 * _MARGIN,
            self.height() - top - metrics.height() - 2 * _MARGIN,
        )
        return QRectF(left, top, max(width, 1.0), max(height, 1.0))

    def _across(self, x: float, area: QRectF) -> float:
        first, last = self._x[0], self._x[-1]
        part = (x - first) / (last - first) if last > first else 0.5
        return float(area.left() + part * area.width())


def _short(value: float) -> str:
    return f"{value:.4g}"
