"""Session folders: everything that is done is on disk as it happens, and opens again where it was."""

from sam2_plugins.storage.creation import TakenError
from sam2_plugins.storage.locations import (
    OpenedSession,
    last_opening,
    open_or_create_session,
    reopen_session,
    user_sessions,
)
from sam2_plugins.storage.manifest import is_session_folder, read_manifest, reading_of
from sam2_plugins.storage.opening import open_session, read_session
from sam2_plugins.storage.session_folder import SessionFolder

__all__ = [
    "OpenedSession",
    "SessionFolder",
    "TakenError",
    "is_session_folder",
    "last_opening",
    "open_or_create_session",
    "open_session",
    "read_manifest",
    "read_session",
    "reading_of",
    "reopen_session",
    "user_sessions",
]
