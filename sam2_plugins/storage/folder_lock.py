"""Lock of a session folder: one process at a time writes it."""

from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from sam2_engine.errors import InputError
from sam2_plugins.runtime.atomic_files import os_error_sentence
from sam2_plugins.storage.creation import LOCK

__all__ = ["NotWritableError", "acquire_lock"]


class NotWritableError(InputError):
    """A session folder in which nothing can be written, so that it can only be read."""


def acquire_lock(path: Path) -> FileLock:
    """Lock a session folder for this process, until the lock is released.

    Raises
    ------
    InputError
        If it is open elsewhere; ``NotWritableError`` if nothing can be written in it.
    """
    lock = FileLock(path / LOCK, thread_local=False)  # opened on one thread, closed on another
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(_where_it_is_open(path, lock)) from None
    except OSError as error:
        hindered_by = path / LOCK if (path / LOCK).exists() else path
        raise NotWritableError(os_error_sentence(error, hindered_by)) from None
    return lock


def _where_it_is_open(path: Path, lock: BaseFileLock) -> str:
    """Return a sentence; where the file system knows no locks, a file stands for one, also of who died."""
    if not isinstance(lock, SoftFileLock):
        return f"{path} is open in another window or process; close it there first."
    holder = (path / LOCK).read_text(errors="replace").splitlines()
    who = f"process {holder[0]} on {holder[1]}" if len(holder) > 1 else "another window or process"
    return f"{path} is open in {who}; close it there first, or delete {path / LOCK} if it no longer runs."
