"""Undo and redo, of everything."""

from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_plugin._widget import keys
from napari_plugin._widget.buttons import button

__all__ = ["UndoRow"]


class UndoRow(QWidget):
    """Two buttons, whose tooltips say what they would do."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.undo = button("↶ Undo", "")
        self.redo = button("↷ Redo", "")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.undo)
        layout.addWidget(self.redo)
        self.show_names(None, None)

    def show_names(self, undo: str | None, redo: str | None) -> None:
        """Say what can be undone and redone; None where there is nothing."""
        self.undo.setEnabled(undo is not None)
        self.redo.setEnabled(redo is not None)
        self.undo.setToolTip(keys.with_key(f"Undo: {undo or 'nothing yet'}", keys.UNDO))
        self.redo.setToolTip(keys.with_key(f"Redo: {redo or 'nothing'}", keys.REDO))
