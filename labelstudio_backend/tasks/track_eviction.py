"""Eviction of the least recently used session folders of tracks beyond a cap of bytes."""

import contextlib
import logging
import os
import shutil
import threading
from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["TrackEviction", "is_open"]

_FOLDERS = "project-*/task-*.sam2"
_log = logging.getLogger(__name__)


class TrackEviction:
    """A cap of bytes for the session folders of tracks below one folder, least recently used first.

    Parameters
    ----------
    root
        Where the projects' folders are; it need not exist yet.
    max_bytes
        Cap for all of them. One that is open stays, and so does the one used last, however large.

    Attributes
    ----------
    evicted
        How many were deleted.
    """

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.evicted = 0
        self._root = root
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._sizes: dict[Path, int] | None = None  # by last use, measured when first needed

    @property
    def num_bytes(self) -> int:
        """How much disk space they take; an open one counts as it was when it was opened."""
        with self._lock:
            return sum(self._folder_sizes().values())

    def touch(self, folder: Path) -> None:
        """Record that a folder was opened, changed or closed, and evict others if need be."""
        with self._lock:
            sizes = self._folder_sizes()
            sizes.pop(folder, None)
            if folder.is_dir():
                sizes[folder] = _size(folder)
            excess = sum(sizes.values()) - self._max_bytes
            for old in list(sizes)[:-1]:
                if excess <= 0:
                    return
                if _delete(old):
                    excess -= sizes.pop(old)
                    self.evicted += 1
                    _log.info("stored tracks exceed KEPT_TRACK_BYTES: %s was deleted", old)

    def _folder_sizes(self) -> dict[Path, int]:
        if self._sizes is None:
            found = sorted(self._root.glob(_FOLDERS), key=_last_written)
            self._sizes = {folder: _size(folder) for folder in found}
        return self._sizes


def is_open(folder: Path) -> bool:
    """Whether a session folder is open, here or in another process."""
    if not folder.is_dir():
        return False
    try:
        with _folder_lock(folder):
            return False
    except (Timeout, OSError):
        return True


def _delete(folder: Path) -> bool:
    """Delete a folder unless it is open; return whether it is gone."""
    try:
        with _folder_lock(folder):  # nobody opens it meanwhile; Windows leaves the lock's empty file
            shutil.rmtree(folder, ignore_errors=True)
    except (Timeout, OSError):
        return False
    return not (folder / "state.json").exists()


def _folder_lock(folder: Path) -> AbstractContextManager[object]:
    return FileLock(folder / ".lock", thread_local=False).acquire(timeout=0)


def _last_written(folder: Path) -> float:
    """Return when a session was last written: closing it writes its state."""
    try:
        return (folder / "state.json").stat().st_mtime
    except OSError:
        return 0.0  # never finished


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # written aside, and renamed meanwhile
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - thousands of files
    return total
