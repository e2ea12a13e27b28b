"""A panel's title with a line above it."""

from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

__all__ = ["heading"]


def heading(text: str, *beside: QWidget) -> QWidget:
    """Return a line with a bold title below it, and what stands at the right of that."""
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    widget = QWidget()
    layout = QVBoxLayout(widget)
    layout.setContentsMargins(0, 4, 0, 0)
    layout.addWidget(line)
    row = QHBoxLayout()
    row.addWidget(QLabel(f"<b>{text}</b>"), 1)
    for one in beside:
        row.addWidget(one)
    layout.addLayout(row)
    return widget
