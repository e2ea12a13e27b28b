"""A line of text that always has the height that its words need."""

from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QLabel

__all__ = ["Sentence"]


class Sentence(QLabel):
    """Wrapped words; a layout gives a plain label's second line no room of its own.

    Parameters
    ----------
    lines
        Room for so many is kept, so that what is below does not move.
    """

    def __init__(self, lines: int = 1) -> None:
        super().__init__()
        self._lines = lines
        self.setWordWrap(True)

    def setText(self, words: str) -> None:  # noqa: N802 - Qt's name
        """Show other words."""
        super().setText(words)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802 - Qt's name
        """Wrap anew."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        least = self._lines * self.fontMetrics().lineSpacing()
        self.setMinimumHeight(max(least, self.heightForWidth(self.width())))
