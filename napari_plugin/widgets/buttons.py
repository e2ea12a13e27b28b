"""Buttons that never take the focus from the canvas."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_plugin.widgets import keys

__all__ = ["Button", "button"]


class Button(QPushButton):
    """A button that never takes the focus, and says why it is gray.

    Attributes
    ----------
    lacking
        What is missing while it is gray, in a sentence.
    """

    def __init__(self, text: str, tooltip: str) -> None:
        super().__init__(text)
        self._tooltip, self.lacking = tooltip, ""
        self.setToolTip(tooltip)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def offer(self, enabled: bool, lacking: str) -> None:
        """Let it be pressed, or say what is missing."""
        self.lacking = "" if enabled else lacking
        self.setEnabled(enabled)
        self.setToolTip(self._tooltip if enabled else f"{self._tooltip}\n{lacking}.")


def button(text: str, tooltip: str, key: str | None = None, *, checkable: bool = False) -> Button:
    """Return a button that never takes the focus; its tooltip names its key."""
    made = Button(text, tooltip if key is None else keys.with_key(tooltip, key))
    made.setCheckable(checkable)
    return made
