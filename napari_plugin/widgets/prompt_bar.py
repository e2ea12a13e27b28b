"""A bar that asks something, or shows the progress of what can be cancelled."""

from collections.abc import Callable

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_plugin.widgets.buttons import button

__all__ = ["PromptBar"]


class PromptBar(QWidget):
    """Shown only while there is something to decide or to wait for.

    Attributes
    ----------
    asked
        Emitted when it appears.
    """

    asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.sentence = QLabel()
        self.sentence.setWordWrap(True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.accept, self.decline = button("", ""), button("", "")
        self._accepted: Callable[[], None] = lambda: None
        self._declined: Callable[[], None] = lambda: None
        self.accept.clicked.connect(lambda: self._end(self._accepted))
        self.decline.clicked.connect(lambda: self._end(self._declined))
        row = QHBoxLayout()
        row.addWidget(self.bar, 1)
        row.addWidget(self.accept)
        row.addWidget(self.decline)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.sentence)
        layout.addLayout(row)
        self.clear()

    def offer(
        self,
        sentence: str,
        accept: str,
        accepted: Callable[[], None],
        decline: str = "Not now",
        declined: Callable[[], None] = lambda: None,
    ) -> None:
        """Ask something; whichever button is pressed, the bar then disappears and its function is called."""
        self._show(sentence, accepted, declined)
        self.accept.setText(accept)
        self.decline.setText(decline)
        self.accept.setVisible(True)
        self.bar.setVisible(False)

    def wait(self, sentence: str, cancelled: Callable[[], None], cancel: str = "Stop") -> None:
        """Show that something is being done, which a button cancels."""
        self._show(sentence, lambda: None, cancelled)
        self.decline.setText(cancel)
        self.accept.setVisible(False)
        self.bar.setRange(0, 0)
        self.bar.setVisible(True)

    def show_progress(self, done: int, total: int | None, sentence: str) -> None:
        """Show how far it is; the bar is busy without an end where nobody knows the total."""
        self.bar.setRange(0, total or 0)
        self.bar.setValue(done)
        self.sentence.setText(sentence)

    def clear(self) -> None:
        """Show nothing."""
        self.setVisible(False)

    def _show(self, sentence: str, accepted: Callable[[], None], declined: Callable[[], None]) -> None:
        self._accepted, self._declined = accepted, declined
        self.sentence.setText(sentence)
        self.setVisible(True)
        self.asked.emit()

    def _end(self, function: Callable[[], None]) -> None:
        self.clear()
        function()
