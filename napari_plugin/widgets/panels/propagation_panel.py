"""The Track section: buttons, options, progress and estimate of a propagation."""

from qtpy.QtCore import Qt
from qtpy.QtGui import QEnterEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import qdebounced

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.widgets import keys
from napari_plugin.widgets.buttons import button
from napari_plugin.widgets.heading import heading
from napari_plugin.widgets.panels.panel import Panel
from napari_plugin.widgets.remembered import remember_tick
from napari_plugin.widgets.sentence import Sentence
from sam2_engine import InputError
from sam2_plugins.runtime.jobs import Progress
from sam2_plugins.session.propagation_plan import Direction

__all__ = ["PropagationPanel"]

_LABELS = {Direction.BACKWARD: "◀ Backward", Direction.BOTH: "◀ Both ▶", Direction.FORWARD: "Forward ▶"}
_PAUSE = 100
"""Milliseconds: of many changes within a moment one estimate is made."""


class PropagationPanel(Panel):
    """Buttons, a progress bar, and the speed and time left in words."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons = {direction: QPushButton(text) for direction, text in _LABELS.items()}
        for direction, one in self.buttons.items():
            one.clicked.connect(lambda _=False, direction=direction: self._start(direction))
        self.from_shown = QCheckBox("start at the shown frame")
        self.from_shown.setToolTip("Not at the first clicks, boxes or masks: for a correction in the middle")
        self.show_each_frame = QCheckBox("show each frame")
        self.show_each_frame.setToolTip("Let the viewer go along while objects are tracked")
        self.only_current = QCheckBox("only the current object")
        self.only_current.setToolTip("The masks of the others stay as they are")
        self.tracks = QCheckBox("show tracks")
        self.tracks.setToolTip("Where the objects go, and which came from which, as a layer of lines")
        self.stop = button("Stop", "Stop after this frame; finished frames stay", keys.PROPAGATE)
        self.resume = button("Track missing", "", keys.RESUME)
        self.stop.clicked.connect(self._stop)
        self.resume.clicked.connect(self._resume)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.speed = QLabel()
        self.estimate = Sentence()
        self.estimate.setToolTip("From the frames tracked so far with this model on this device")
        self._estimate_soon = qdebounced(self._estimate, timeout=_PAUSE)
        row = QHBoxLayout()
        for one in self.buttons.values():
            row.addWidget(one)
        options, choices = (
            QGridLayout(),
            (self.from_shown, self.show_each_frame, self.only_current, self.tracks),
        )
        for number, choice in enumerate(choices):
            options.addWidget(choice, number // 2, number % 2)
        progress = QHBoxLayout()
        progress.addWidget(self.bar, 1)
        progress.addWidget(self.stop)
        progress.addWidget(self.resume)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(heading("Track through the stack"))
        layout.addLayout(row)
        layout.addLayout(progress)
        layout.addWidget(self.speed)
        layout.addWidget(self.estimate)
        layout.addLayout(options)
        for widget in (*self.buttons.values(), *choices):
            widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys stay with the canvas
        for box, name in (
            (self.from_shown, "start_at_shown"),
            (self.show_each_frame, "show_each_frame"),
            (self.only_current, "only_current"),
            (self.tracks, "tracks"),
        ):
            remember_tick(box, name)
        self.show_each_frame.toggled.connect(self._on_show_each_frame)
        self.from_shown.toggled.connect(self._estimate_soon)
        self.only_current.toggled.connect(self._estimate_soon)
        self.tracks.clicked.connect(self._on_tracks)

    def start_or_stop(self) -> None:
        """Do what the key stands for: Stop if it is running, else Forward."""
        (self.stop if self.stop.isEnabled() else self.buttons[Direction.FORWARD]).click()

    def continue_tracking(self) -> None:
        """Do what the key stands for: what the button says, which may be just about to change."""
        self._estimate_soon.flush()
        self.resume.click()

    def show_annotation(self, annotation: AnnotationController | None) -> None:
        """Offer to track the objects of another annotation, unless it has a single frame."""
        self._show_nothing_yet()
        super().show_annotation(annotation)
        self._on_show_each_frame(self.show_each_frame.isChecked())
        self.setVisible(annotation is None or annotation.stack.plan.length > 1)

    def refresh(self) -> None:
        """Offer to start, to stop, or to continue."""
        propagation = None if self.annotation is None else self.annotation.propagation
        running = propagation is not None and propagation.running
        for one in self.buttons.values():
            one.setEnabled(not running)
        self.stop.setEnabled(running)
        self.tracks.setChecked(self.annotation is not None and self.annotation.tracks.shown)
        if running:
            self.resume.setEnabled(False)
        self._estimate_soon()

    def _offer_to_resume(self) -> None:
        annotation = self.annotation
        left = [] if annotation is None else annotation.propagation.left(annotation.session)
        stopped = annotation is not None and annotation.propagation.stopped
        self.resume.setEnabled(bool(left))
        self.resume.setText("Continue" if stopped else "Track missing")
        tooltip = "Go on where it was stopped" if stopped else "Track whatever has no mask yet, both ways"
        self.resume.setToolTip(keys.with_key(tooltip, keys.RESUME))

    def _show_nothing_yet(self) -> None:
        self.bar.setRange(0, 1)
        self.bar.setValue(0)
        self.speed.clear()
        self.speed.setVisible(False)

    def show_progress(self, progress: Progress) -> None:
        """Show how far it is; the bar is busy without an end if nobody knows the length."""
        self.bar.setRange(0, progress.total or 0)
        self.bar.setValue(progress.done)
        self.speed.setText(str(progress))
        self.speed.setVisible(True)

    def enterEvent(self, event: QEnterEvent) -> None:  # noqa: N802 - Qt's name
        """Estimate anew when the mouse comes: the slider may have been moved."""
        self._estimate_soon()
        super().enterEvent(event)

    def _estimate(self) -> None:
        """Say what each direction would take, in tooltips and forward also in a line, and what is left."""
        self._offer_to_resume()
        for direction, one in self.buttons.items():
            expected = self._expected(direction)
            tooltip = f"Track objects from their clicks, boxes and masks, {direction.value}"
            if direction is Direction.FORWARD:
                tooltip = keys.with_key(tooltip, keys.PROPAGATE)
                self.estimate.setText(f"Forward: {expected}" if expected else "")
            one.setToolTip(f"{tooltip}\n{expected}" if expected else tooltip)

    def _expected(self, direction: Direction) -> str:
        annotation = self.annotation
        if annotation is None or annotation.closed or annotation.propagation.running:
            return ""
        start = annotation.shown_frame if self.from_shown.isChecked() else None
        try:
            planned = annotation.session.runs(direction, self._chosen(annotation), start)
            expected, left_out = annotation.session.estimate(planned), annotation.session.left_out(planned)
            return f"{expected}. {left_out}" if left_out else str(expected)
        except InputError:  # there is nothing to track
            return ""

    def _chosen(self, annotation: AnnotationController) -> tuple[int, ...] | None:
        return (annotation.current,) if self.only_current.isChecked() else None

    def _start(self, direction: Direction) -> None:
        if self.annotation is not None:
            self.status_message.emit("")
            chosen = self._chosen(self.annotation)
            self.annotation.propagate(direction, self.from_shown.isChecked(), chosen)

    def _resume(self) -> None:
        if self.annotation is not None:
            self.status_message.emit("")
            self.annotation.resume()

    def _stop(self) -> None:
        if self.annotation is not None:
            self.annotation.propagation.stop()

    def _on_show_each_frame(self, shown: bool) -> None:
        if self.annotation is not None:
            self.annotation.show_each_frame = shown

    def _on_tracks(self, shown: bool) -> None:
        if self.annotation is not None:
            self.annotation.tracks.show(shown)
