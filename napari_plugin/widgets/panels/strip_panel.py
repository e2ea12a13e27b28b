"""The strip of states below the tabs, which goes along with the slider and jumps to a click."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QScrollArea, QVBoxLayout, QWidget
from superqt.utils import qdebounced

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.annotation.frame_states import states_of
from napari_plugin.widgets.objects.object_strip import ObjectStrip
from napari_plugin.widgets.panels.panel import Panel
from sam2_plugins.runtime.jobs import Progress

__all__ = ["StripPanel"]

_MAX_HEIGHT = 80
_PAUSE = 100
"""Milliseconds: many changes within a moment are drawn once."""


class StripPanel(Panel):
    """States of all objects over all frames; hidden for a single image."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.strip = ObjectStrip()
        self.strip.picked.connect(self._on_picked)
        self._scroll = QScrollArea()
        self._scroll.setWidget(self.strip)
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._scroll)
        self.draw_soon = qdebounced(self._draw, timeout=_PAUSE)

    def show_annotation(self, annotation: AnnotationController | None) -> None:
        """Show the states in another annotation."""
        super().show_annotation(annotation)
        self.setVisible(annotation is not None and annotation.stack.plan.length > 1)

    def refresh(self) -> None:
        """Draw in a moment."""
        self.draw_soon()

    def show_progress(self, progress: Progress) -> None:
        """Draw in a moment."""
        self.draw_soon()

    def show_frame(self, frame: int) -> None:
        """Move the line to a frame."""
        self.strip.show_frame(frame)

    def _draw(self) -> None:
        annotation = self.annotation
        if annotation is not None:
            session = annotation.session
            names = {one.id: one.name for one in session.objects.values()}
            states = states_of(session, annotation.review.doubtful)
            self.strip.show_states(names, states, annotation.current)
            self.strip.show_frame(annotation.shown_frame)
            self._scroll.setFixedHeight(min(self.strip.height() + 2, _MAX_HEIGHT))

    def _on_picked(self, object_id: int, frame: int) -> None:
        if self.annotation is not None:
            self.annotation.go_to(object_id, frame)
