"""Rows of typed fields, which magicgui makes."""

from magicgui.widgets import SpinBox
from magicgui.widgets.bases import ButtonWidget, ValueWidget
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFormLayout

__all__ = ["form"]


def form(*fields: ValueWidget) -> QFormLayout:
    """Return fields below each other, each beside its label; one with a text of its own has none."""
    rows = QFormLayout()
    for field in fields:
        beside = () if isinstance(field, ButtonWidget) or not field.label else (field.label,)
        rows.addRow(*beside, field.native)
        typed = isinstance(field, SpinBox)  # all other keys stay with the canvas
        field.native.setFocusPolicy(Qt.FocusPolicy.ClickFocus if typed else Qt.FocusPolicy.NoFocus)
    return rows
