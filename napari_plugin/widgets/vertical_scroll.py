"""A column that scrolls up and down when there is no room for it, and never sideways."""

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QWidget

__all__ = ["VerticalScroll"]

_NEVER, _ALWAYS = Qt.ScrollBarPolicy.ScrollBarAlwaysOff, Qt.ScrollBarPolicy.ScrollBarAlwaysOn


class VerticalScroll(QScrollArea):
    """Holds a widget: as wide as that needs, as high as there is room.

    Parameters
    ----------
    widget
        What is shown.
    least, most
        Heights in pixels; most is None for no limit.
    """

    def __init__(self, widget: QWidget, least: int, most: int | None = None) -> None:
        super().__init__()
        self._least, self._most = least, most
        self.setWidget(widget)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(_NEVER)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys stay with the canvas
        widget.installEventFilter(self)

    def minimumSizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the room without which nothing is seen."""
        inner = self.widget().minimumSizeHint()
        bar = self.verticalScrollBar().sizeHint().width()
        return QSize(inner.width() + bar, min(self._height(), self._least))

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """Return the room for all of it, up to the limit."""
        return QSize(self.widget().sizeHint().width(), self._height())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Ask for another size when what is shown needs one."""
        if event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Resize):
            if self._most is not None:
                scrolls = self._height() >= self._most
                self.setVerticalScrollBarPolicy(_ALWAYS if scrolls else _NEVER)
                self.setFixedHeight(self._height())
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))

    def _height(self) -> int:
        inner = self.widget()
        # With a limit, the width without a bar: else the bar that comes and goes would decide about itself.
        width = (self.viewport() if self._most is None else self).contentsRect().width()
        by_width = inner.heightForWidth(width) if inner.hasHeightForWidth() else -1
        height = inner.sizeHint().height() if by_width < 0 else by_width
        return height if self._most is None else min(height, self._most)
