"""The keys of the dock: neither napari nor the active layer takes any of these.

napari's Labels layers undo by the same keys; on our own one, ours go first.
"""

__all__ = [
    "EXCLUDE",
    "NEW_OBJECT",
    "NEXT_DOUBT",
    "NEXT_OBJECT",
    "PREVIOUS_DOUBT",
    "PREVIOUS_OBJECT",
    "PROPAGATE",
    "PROPAGATE_FROM_SHOWN",
    "REDO",
    "RESUME",
    "TOOL",
    "UNDO",
    "UNVERIFY",
    "VERIFY",
    "with_key",
]

NEW_OBJECT = "N"
EXCLUDE = "Q"
TOOL = "W"
PREVIOUS_OBJECT = "J"
NEXT_OBJECT = "K"
PROPAGATE = "G"
RESUME = "Shift-G"
UNDO = "Control-Z"
REDO = "Control-Shift-Z"
PREVIOUS_DOUBT = "Shift-J"
NEXT_DOUBT = "Shift-K"
VERIFY = "H"
UNVERIFY = "Shift-H"
PROPAGATE_FROM_SHOWN = "U"


def with_key(tooltip: str, key: str) -> str:
    """Return a tooltip that names its key as people write it."""
    return f"{tooltip} (key {key.replace('Control', 'Ctrl').replace('-', '+')})"
