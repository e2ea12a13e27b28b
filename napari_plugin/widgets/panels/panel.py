"""The base class of the panels."""

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_plugin.annotation.controller import AnnotationController
from sam2_plugins.runtime.jobs import Progress

__all__ = ["Panel"]


class Panel(QWidget):
    """A part of the dock, which shows the annotation of the chosen image.

    The dock calls each of its panels when there is another annotation, when anything in it has changed, when
    a frame was tracked, and when the slider was moved; a panel overrides what concerns it.

    Attributes
    ----------
    status_message, failed
        Emitted with a sentence, or an error, for the user.
    annotation
        What is shown; None if there is nothing to annotate.
    """

    status_message = Signal(str)
    failed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.annotation: AnnotationController | None = None

    def show_annotation(self, annotation: AnnotationController | None) -> None:
        """Show another annotation, or nothing."""
        self.annotation = annotation
        self.setEnabled(annotation is not None)
        self.refresh()

    def refresh(self) -> None:
        """Show what is known now: objects, prompts, masks or doubts have changed."""

    def show_frame(self, frame: int) -> None:
        """Show that the viewer shows another frame; this must cost next to nothing."""

    def show_progress(self, progress: Progress) -> None:
        """Show that one more frame was tracked; this must cost next to nothing."""
