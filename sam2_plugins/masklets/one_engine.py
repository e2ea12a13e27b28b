"""Locks by which each video of a data set is searched by one run at a time, on this machine or another."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from sam2_engine.errors import InputError
from sam2_plugins.batch.job import LeftToAnotherError
from sam2_plugins.runtime.atomic_files import os_error_sentence

__all__ = ["LOCKS", "alone_on"]

LOCKS = ".locks"


@contextmanager
def alone_on(name: str, folder: Path) -> Iterator[None]:
    """Keep other runs away from a video of a data set's folder.

    Raises
    ------
    LeftToAnotherError
        If another one is at work on it.
    InputError
        If that cannot be told.
    """
    lock = FileLock(folder / LOCKS / f"{name}.lock", thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LeftToAnotherError(
            f"{name} is being worked on by another run on {folder}; it is left to that one"
            f"{_unless_it_died(lock)}."
        ) from None
    except OSError as error:
        raise InputError(os_error_sentence(error, folder)) from None
    try:
        yield
    finally:
        lock.release()


def _unless_it_died(lock: BaseFileLock) -> str:
    """Say what to do where the file system knows no locks, and a file stands for one, also of who died."""
    return f" (if it no longer runs, delete {lock.lock_file})" if isinstance(lock, SoftFileLock) else ""
