"""The keys of the dock, as napari's Preferences have them.

By default, neither napari nor the active layer takes any of these. napari's Labels layers undo by the same
keys; on our own one, ours go first.
"""

from napari_plugin.runtime.preferences import read_keys

__all__ = [
    "ACTIONS",
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
    "key_of",
    "with_key",
    "written",
]

NEW_OBJECT = "new_object"
PREVIOUS_OBJECT = "previous_object"
NEXT_OBJECT = "next_object"
EXCLUDE = "exclude"
TOOL = "tool"
PROPAGATE = "track"
RESUME = "resume"
UNDO = "undo"
REDO = "redo"
PREVIOUS_DOUBT = "previous_doubt"
NEXT_DOUBT = "next_doubt"
VERIFY = "verify"
UNVERIFY = "unverify"
PROPAGATE_FROM_SHOWN = "track_again"

ACTIONS = {
    NEW_OBJECT: "new object",
    PREVIOUS_OBJECT: "previous object",
    NEXT_OBJECT: "next object",
    EXCLUDE: "include or exclude",
    TOOL: "clicks, box, lasso, brush in turn",
    PROPAGATE: "track forward, or stop",
    RESUME: "continue, or track what is missing",
    UNDO: "undo",
    REDO: "redo",
    PREVIOUS_DOUBT: "previous doubtful mask",
    NEXT_DOUBT: "next doubtful mask",
    VERIFY: "verify, then go to the next doubtful one",
    UNVERIFY: "unverify",
    PROPAGATE_FROM_SHOWN: "track the current object again from the shown frame on",
}
"""What has a key, in words."""


def key_of(action: str) -> str:
    """Return the key of an action, as napari writes it: ``Shift-K``."""
    return read_keys()[action]


def written(key: str) -> str:
    """Return a key as people write it: ``Shift+K``."""
    return key.replace("Control", "Ctrl").replace("-", "+")


def with_key(tooltip: str, action: str) -> str:
    """Return a tooltip that names the key of its action."""
    return f"{tooltip} (key {written(key_of(action))})"
