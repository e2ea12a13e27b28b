"""A section that folds away below one line, which then says what is in it."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

__all__ = ["Foldable"]


class Foldable(QWidget):
    """What is needed once, and takes one line afterwards.

    Parameters
    ----------
    title
        Of the line.
    parts
        What folds away.
    """

    def __init__(self, title: str, *parts: QWidget) -> None:
        super().__init__()
        self.toggle = QToolButton()
        self.toggle.setText(title)
        self.toggle.setCheckable(True)
        self.toggle.setAutoRaise(True)
        self.toggle.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.toggle.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys stay with the canvas
        self.toggle.setToolTip("Show or hide the image, its axes, contrast and model")
        self._summary = QLabel()
        self._summary.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._body = QWidget()
        column = QVBoxLayout(self._body)
        column.setContentsMargins(0, 0, 0, 0)
        for part in parts:
            column.addWidget(part)
        line = QHBoxLayout()
        line.addWidget(self.toggle)
        line.addWidget(self._summary, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(line)
        layout.addWidget(self._body)
        self.toggle.toggled.connect(self.unfold)
        self.unfold(True)

    @property
    def unfolded(self) -> bool:
        """Whether all of it is shown."""
        return not self._body.isHidden()

    def unfold(self, unfolded: bool = True) -> None:
        """Show all of it, or only its line."""
        self.toggle.setChecked(unfolded)
        self.toggle.setArrowType(Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow)
        self._body.setVisible(unfolded)
        self._summary.setVisible(not unfolded)

    def summarize(self, words: str) -> None:
        """Say in the line what is folded away."""
        self._summary.setText(words)
        self._summary.setToolTip(words)
