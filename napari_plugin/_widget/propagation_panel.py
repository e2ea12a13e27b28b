"""Following objects: where to, how far it is, and Stop."""

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_plugin._widget import keys
from napari_plugin._widget.heading import heading
from napari_plugin.propagation import Direction
from sam2_plugins.jobs import Progress

__all__ = ["PropagationPanel"]

_LABELS = {Direction.BACKWARD: "◀ Backward", Direction.BOTH: "◀ Both ▶", Direction.FORWARD: "Forward ▶"}


class PropagationPanel(QWidget):
    """Buttons, a progress bar, and the speed and time left in words.

    Attributes
    ----------
    started
        Emitted with a ``Direction``.
    stopped
        Emitted when the user wants it to stop.
    """

    started = Signal(object)
    stopped = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons = {direction: QPushButton(text) for direction, text in _LABELS.items()}
        for direction, button in self.buttons.items():
            button.setToolTip(f"Follow all objects from their prompts, {direction.value}")
            button.clicked.connect(lambda _=False, direction=direction: self.started.emit(direction))
        forward = self.buttons[Direction.FORWARD]
        forward.setToolTip(keys.with_key(forward.toolTip(), keys.PROPAGATE))
        self.from_shown = QCheckBox("start at the shown frame")
        self.from_shown.setToolTip("Not at the first prompts: for a correction in the middle")
        self.follow_view = QCheckBox("show each frame")
        self.follow_view.setToolTip("Let the viewer go along while objects are followed")
        self.stop = QPushButton("Stop")
        self.stop.setToolTip(keys.with_key("Stop after this frame; finished frames stay", keys.PROPAGATE))
        self.stop.clicked.connect(self.stopped.emit)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.speed = QLabel()
        row = QHBoxLayout()
        for button in self.buttons.values():
            row.addWidget(button)
        progress = QHBoxLayout()
        progress.addWidget(self.bar, 1)
        progress.addWidget(self.stop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(heading("Follow through the stack"))
        layout.addLayout(row)
        layout.addWidget(self.from_shown)
        layout.addWidget(self.follow_view)
        layout.addLayout(progress)
        layout.addWidget(self.speed)
        for widget in (*self.buttons.values(), self.from_shown, self.follow_view, self.stop):
            widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys stay with the canvas
        self.show_running(False)

    def start_or_stop(self) -> None:
        """Do what the key stands for: Stop if it is running, else Forward."""
        (self.stop if self.stop.isEnabled() else self.buttons[Direction.FORWARD]).click()

    def show_running(self, running: bool) -> None:
        """Offer to start or to stop."""
        for button in self.buttons.values():
            button.setEnabled(not running)
        self.stop.setEnabled(running)

    def show_nothing_yet(self) -> None:
        """Empty the progress bar."""
        self.bar.setRange(0, 1)
        self.bar.setValue(0)
        self.speed.clear()

    def show_progress(self, progress: Progress) -> None:
        """Show how far it is; the bar is busy without an end if nobody knows the length."""
        self.bar.setRange(0, progress.total or 0)
        self.bar.setValue(progress.done)
        self.speed.setText(str(progress))
