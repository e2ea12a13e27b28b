"""Buttons that never take the focus from the canvas."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_plugin.widgets import keys

__all__ = ["button"]


def button(text: str, tooltip: str, key: str | None = None, *, checkable: bool = False) -> QPushButton:
    """Return a button that never takes the focus; its tooltip names its key."""
    made = QPushButton(text)
    made.setToolTip(tooltip if key is None else keys.with_key(tooltip, key))
    made.setCheckable(checkable)
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return made
