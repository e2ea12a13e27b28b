"""Fields of the dock that are as the user left them, also in the next window and at the next start."""

from typing import Any

from magicgui.widgets.bases import ValueWidget
from qtpy.QtWidgets import QCheckBox

from napari_plugin.runtime.preferences import keep_choice, read_choice

__all__ = ["remember_field", "remember_tick"]


def remember_tick(box: QCheckBox, name: str) -> None:
    """Tick a box as the user left it, and remember what the user makes of it.

    Parameters
    ----------
    box
        What the program itself ticks is not remembered.
    name
        Of its setting in the manifest, under "dock".
    """
    box.setChecked(bool(read_choice(name)))
    box.clicked.connect(lambda ticked: keep_choice(name, ticked))


def remember_field(field: ValueWidget, name: str) -> None:
    """Let a typed field hold what the user left in it; of a list, the line that was chosen.

    What is no value of it any more, as a format that is not installed, is passed over.
    """
    left = read_choice(name)
    lines = _lines(field)
    if lines is None:
        field.value = left
    elif left in lines:
        field.value = lines[left]
    field.changed.connect(lambda value: keep_choice(name, value if lines is None else _line_of(lines, value)))


def _lines(field: ValueWidget) -> dict[str, Any] | None:
    """Return the values of a list by their lines, None of another field."""
    native = field.native
    if not hasattr(native, "itemText"):
        return None
    return {native.itemText(row): value for row, value in enumerate(field.choices)}


def _line_of(lines: dict[str, Any], value: Any) -> str:
    return next((line for line, one in lines.items() if one is value or one == value), "")
