"""The contrast that the model sees: one intensity window for the stack, changed only on purpose."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget
from superqt.utils import qdebounced

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.annotation.model_changes import use_window
from napari_plugin.widgets.buttons import button
from napari_plugin.widgets.panels.panel import Panel
from napari_plugin.widgets.prompt_bar import PromptBar
from sam2_engine.preprocessing import IntensityWindow, to_rgb
from sam2_engine.weights.pixel_rules import window_of
from sam2_engine.wording import counted
from sam2_plugins.runtime.jobs import Priority
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.readable import known_by_frame

__all__ = ["ContrastPanel", "model_view"]

_SIDE = 72
"""Of the thumbnail, in pixels of the screen."""
_PAUSE = 100
"""Milliseconds: of many frames within a moment only the last one is shown."""


class ContrastPanel(Panel):
    """The shown frame as the model gets it, the window in numbers, and a button to change it.

    Attributes
    ----------
    thumbnail, words, use
        The frame, the numbers, the button.
    prompt_bar
        Says what would be made anew before anything is.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: tuple[object, ...] = ()
        self.thumbnail, self.words = QLabel(), QLabel()
        self.thumbnail.setToolTip("The shown frame as the model sees it")
        self.thumbnail.setFixedSize(_SIDE, _SIDE)
        self.thumbnail.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.words.setWordWrap(True)
        self.use = button(
            "Use current contrast", "Let the model see what the contrast slider of the image shows"
        )
        self.prompt_bar = PromptBar()
        beside = QVBoxLayout()
        beside.addWidget(self.words)
        beside.addWidget(self.use)
        row = QHBoxLayout()
        row.addWidget(self.thumbnail)
        row.addLayout(beside, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.prompt_bar)
        self._show_thumbnail_soon = qdebounced(self._show_thumbnail, timeout=_PAUSE)
        self.use.clicked.connect(self._on_use)

    def show_annotation(self, annotation: AnnotationController | None) -> None:
        """Show what the model sees of another image."""
        self.setVisible(annotation is not None)
        self.prompt_bar.clear()
        super().show_annotation(annotation)

    def refresh(self) -> None:
        """Show the window of now."""
        if self.annotation is not None:
            window, is_rgb = self.annotation.session.window, self.annotation.session.frames.is_rgb
            self.words.setText(f"The model sees {in_words(window)}")
            self.use.setVisible(not is_rgb)  # napari has no contrast for colors
            self._show_thumbnail_soon()

    def show_frame(self, frame: int) -> None:
        """Show another frame in a moment."""
        self._show_thumbnail_soon()

    # ------------------------------------------------------------------ the thumbnail

    def _show_thumbnail(self) -> None:
        annotation = self.annotation
        if annotation is None:
            return
        session, frame = annotation.session, annotation.shown_frame
        wanted = (session, frame, session.window)
        if wanted == self._shown:
            return
        self._shown = wanted

        def views() -> Iterator[NDArray[np.uint8]]:
            yield model_view(session, frame, _SIDE)

        def show(pixels: NDArray[np.uint8]) -> None:
            if self._shown == wanted:
                self.thumbnail.setPixmap(_pixmap(pixels))

        def unreadable(_: BaseException) -> None:
            self.thumbnail.clear()  # whoever needs the frame says why

        annotation.run_steps(
            views(), on_step=show, then=lambda _: None, failed=unreadable, priority=Priority.VISIBLE
        )

    # ------------------------------------------------------------------ another window

    def _on_use(self) -> None:
        annotation = self.annotation
        assert annotation is not None
        session = annotation.session
        low, high = (float(end) for end in annotation.stack.layer.contrast_limits)
        wanted = window_of(session.frames, (low, high))
        assert wanted is not None
        if wanted == (session.window or IntensityWindow((0,), (255,))):
            self.prompt_bar.clear()
            self.status_message.emit("The model sees this contrast already.")
            return
        self.prompt_bar.offer(
            f"The model would see {in_words(wanted)} instead of {in_words(session.window)}. "
            f"{_consequences(session)}",
            "Use it",
            lambda: use_window(annotation, wanted),
        )


def model_view(session: AnnotationSession, frame: int, side: int) -> NDArray[np.uint8]:
    """Return (H, W, 3) colors of a frame as the model gets them, at most ``side`` high and wide."""
    step = -(-max(session.shape) // side)
    colors = to_rgb(session.frames[frame][::step, ::step], session.window)
    return np.ascontiguousarray(np.round(colors * 255).astype(np.uint8))


def in_words(window: IntensityWindow | None) -> str:
    """Say which gray levels are black and white."""
    if window is None:
        return "0 to 255, as they are"
    pairs = [f"{low:.5g} to {high:.5g}" for low, high in zip(window.low, window.high)]
    return pairs[0] if len(pairs) == 1 else f"{', '.join(pairs)} (by channel)"


def _consequences(session: AnnotationSession) -> str:
    """Say what another window makes anew, and what it leaves."""
    frames = known_by_frame(session)
    at_once = len(session.single_frame_prompts())
    others = sum(map(len, frames.values())) - at_once
    clicked = f"{_counted(at_once, 'clicked mask')} made anew at once; " if at_once else ""
    stay = f"{_counted(others, 'other mask')} left until you correct or track again; " if others else ""
    encoded = f"{_counted(len(frames), 'frame')} encoded again when needed. " if frames else ""
    return f"{clicked}{stay}{encoded}Undo takes it back."


def _counted(number: int, noun: str) -> str:
    return f"{counted(number, noun)} {'is' if number == 1 else 'are'}"


def _pixmap(pixels: NDArray[np.uint8]) -> Any:
    height, width, _ = pixels.shape
    image = QImage(pixels.data, width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image)  # a copy
