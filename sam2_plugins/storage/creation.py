"""Creation of a folder in one step, and what a killed creation left."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from sam2_engine.disk import remove_folder, umask
from sam2_engine.errors import InputError

__all__ = ["LOCK", "TakenError", "clear_leftovers", "is_half_made", "making"]

LOCK = ".lock"
_STATE = "state.json"
_MADE_FIRST = {LOCK, "session.json", "masks.zarr", "actions.jsonl", "journal.jsonl"}
_JOURNALS = ("actions.jsonl", "journal.jsonl")


class TakenError(InputError):
    """A folder that is there already."""


@contextmanager
def making(path: Path) -> Iterator[Path]:
    """Make a folder aside and rename it when the block ends; if that fails, nothing is there.

    Parameters
    ----------
    path
        Must not exist, or be empty.

    Raises
    ------
    TakenError
        If another process has made it meanwhile.

    Examples
    --------
    >>> path = Path(tempfile.mkdtemp()) / "work.sam2"
    >>> with making(path) as aside:
    ...     _ = (aside / "notes.txt").write_text("complete")
    ...     before = path.exists()
    >>> before, (path / "notes.txt").read_text()
    (False, 'complete')
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(path)
    aside, lock = _begin(path)
    try:
        aside.chmod(0o777 & ~umask())
        yield aside
        lock.release()
        _put_into_place(aside, path)
    except BaseException:
        lock.release()
        remove_folder(aside)
        raise


def _begin(path: Path) -> tuple[Path, FileLock]:
    """Make a folder and lock it: while it is locked, it is no leftover.

    Another process may take it for one before it is.
    """
    while True:
        aside = Path(tempfile.mkdtemp(prefix=_prefix(path), dir=path.parent))
        lock = FileLock(aside / LOCK, thread_local=False)
        with suppress(Timeout, FileNotFoundError):
            lock.acquire(timeout=0)
            if (aside / LOCK).exists():
                return aside, lock
            lock.release()


def _put_into_place(aside: Path, path: Path) -> None:
    try:
        with suppress(FileNotFoundError):
            path.rmdir()
        aside.rename(path)
    except OSError:
        if path.is_dir() and any(path.iterdir()):
            raise TakenError(f"{path} was made by another window or process; open it instead.") from None
        raise


def is_half_made(path: Path) -> bool:
    """Whether a folder is what a killed creation of an earlier program left: nothing was done in it yet."""
    try:
        names = {entry.name for entry in path.iterdir()}
        begun = any((path / name).stat().st_size for name in _JOURNALS if name in names)
    except OSError:
        return False
    temporary = {name for name in names if name.startswith((".state-", ".session-"))}
    return bool(names) and _STATE not in names and not begun and names - temporary <= _MADE_FIRST


def clear_leftovers(path: Path) -> None:
    """Remove what killed creations of a folder left beside it, and the folder if it is half-made.

    What another process is making now stays.
    """
    candidates = list(path.parent.glob(_prefix(path).replace("[", "[[]") + "*"))
    for leftover in [*candidates, *([path] if is_half_made(path) else [])]:
        lock = FileLock(leftover / LOCK, thread_local=False)
        with suppress(OSError, Timeout):
            lock.acquire(timeout=0)
            try:
                if os.name == "posix":  # who has made it this very moment, and not locked it yet, notices
                    leftover = leftover.rename(path.with_name(f"{_prefix(path)}{uuid4().hex}"))
            finally:
                lock.release()
            shutil.rmtree(leftover)


def _prefix(path: Path) -> str:
    return f".{path.name}-"
