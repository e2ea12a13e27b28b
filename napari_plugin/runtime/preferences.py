"""The plugin's page in napari's Preferences, which the manifest declares."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari.settings import get_plugin_settings
from napari.utils.key_bindings import coerce_keybinding

__all__ = [
    "Preferences",
    "keep_choice",
    "on_preferences_changed",
    "read_choice",
    "read_keys",
    "read_preferences",
]

_PLUGIN = "sam2-plugins"
_MEGABYTE = 2**20


@dataclass(frozen=True)
class Preferences:
    """Settings of the plugin.

    Attributes
    ----------
    model
        Name of the model that a new session begins with.
    device
        What models run on; "auto" for the best that there is, or the address of another machine.
    sessions
        Folder for sessions that cannot be saved beside their image; None for the user's own.
    encoded_bytes
        Cap of the encoded frames that a session caches in memory.
    """

    model: str
    device: str
    sessions: Path | None
    encoded_bytes: int


def read_preferences() -> Preferences:
    """Return what is set now."""
    page = _page()
    return Preferences(
        page.model.strip() or "nano",
        page.device_elsewhere.strip() or page.device,
        Path(page.sessions).expanduser() if page.sessions.strip() else None,
        page.encoded_megabytes * _MEGABYTE,
    )


def read_keys() -> dict[str, str]:
    """Return the key of each action of the dock as it is set now; docks that are open keep theirs.

    What is no key is taken as not set.
    """
    page = get_plugin_settings(_PLUGIN).keys
    given = {name: str(getattr(page, name)).strip() for name in type(page).model_fields}
    return {
        name: key if _is_key(key) else str(type(page).model_fields[name].default)
        for name, key in given.items()
    }


def _is_key(key: str) -> bool:
    parts = coerce_keybinding(key).parts
    return bool(parts) and all(part.key for part in parts)  # an unknown one is 0


def read_choice(name: str) -> Any:
    """Return what the user left in a field of the dock."""
    return getattr(get_plugin_settings(_PLUGIN).dock, name)


def keep_choice(name: str, value: Any) -> None:
    """Remember what the user leaves in a field of the dock; docks that are open keep what they have."""
    setattr(get_plugin_settings(_PLUGIN).dock, name, value)


def on_preferences_changed(act: Callable[[Preferences], None]) -> None:
    """Call ``act`` with what is set whenever the user changes it."""
    _page().events.connect(lambda _: act(read_preferences()))


def _page() -> Any:
    return get_plugin_settings(_PLUGIN).annotation
