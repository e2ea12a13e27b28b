"""The buttons for undo and redo."""

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.widgets import keys
from napari_plugin.widgets.buttons import button
from napari_plugin.widgets.panels.panel import Panel

__all__ = ["UndoRow"]


class UndoRow(Panel):
    """Two buttons, whose tooltips say what they would do, and one for help.

    Attributes
    ----------
    help_wanted
        Emitted when help is asked for, which is there without an image, too.
    """

    help_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.undo = button("↶ Undo", "")
        self.redo = button("↷ Redo", "")
        self.undo.clicked.connect(self.undo_last)
        self.redo.clicked.connect(self.redo_last)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.undo)
        layout.addWidget(self.redo)
        self.help = button("?", "First steps, keys, and what happened so far")
        self.help.setMaximumWidth(28)
        self.help.clicked.connect(lambda: self.help_wanted.emit())
        layout.addWidget(self.help)
        self.show_annotation(None)

    def show_annotation(self, annotation: AnnotationController | None) -> None:
        """Undo in another annotation."""
        super().show_annotation(annotation)
        self.setEnabled(True)

    def refresh(self) -> None:
        """Say what can be undone and redone."""
        session = None if self.annotation is None else self.annotation.session
        undo, redo = (None, None) if session is None else (session.undo_name, session.redo_name)
        self.undo.setEnabled(undo is not None)
        self.redo.setEnabled(redo is not None)
        self.undo.setToolTip(keys.with_key(f"Undo: {undo or 'nothing yet'}", keys.UNDO))
        self.redo.setToolTip(keys.with_key(f"Redo: {redo or 'nothing'}", keys.REDO))

    def undo_last(self) -> None:
        """Undo the last action: also one that still waits, of which the button knows nothing yet."""
        if self.annotation is not None:
            self.annotation.undo()

    def redo_last(self) -> None:
        """Redo what was undone last."""
        if self.annotation is not None:
            self.annotation.redo()
