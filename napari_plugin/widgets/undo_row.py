"""The buttons for undo and redo."""

from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_plugin.widgets import keys
from napari_plugin.widgets.buttons import button
from napari_plugin.widgets.panels.panel import Panel

__all__ = ["UndoRow"]


class UndoRow(Panel):
    """Two buttons, whose tooltips say what they would do."""

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
        self.show_annotation(None)

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
