"""A panel's title with a line above it."""

from qtpy.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

__all__ = ["heading"]


def heading(text: str) -> QWidget:
    """Return a line with a bold title below it."""
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    widget = QWidget()
    layout = QVBoxLayout(widget)
    layout.setContentsMargins(0, 4, 0, 0)
    layout.addWidget(line)
    layout.addWidget(QLabel(f"<b>{text}</b>"))
    return widget
