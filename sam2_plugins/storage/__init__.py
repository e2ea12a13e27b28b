"""Session folders: everything that is done is on disk as it happens, and opens again where it was."""

from sam2_plugins.storage.locations import KeptSession, earlier_reading, keep_session, user_sessions
from sam2_plugins.storage.manifest import read_about
from sam2_plugins.storage.session_folder import SessionFolder, open_session, read_session

__all__ = [
    "KeptSession",
    "SessionFolder",
    "earlier_reading",
    "keep_session",
    "open_session",
    "read_about",
    "read_session",
    "user_sessions",
]
