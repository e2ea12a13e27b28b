"""Creation of a folder in one step, and what a killed creation left."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from sam2_engine.disk import remove_folder, umask

__all__ = ["LOCK", "clear_leftovers", "is_half_made", "making"]

LOCK = ".lock"
_STATE = "state.json"
_MADE_FIRST = {LOCK, "session.json", "masks.zarr", "actions.jsonl", "journal.jsonl"}
_JOURNALS = ("actions.jsonl", "journal.jsonl")


@contextmanager
def making(path: Path) -> Iterator[Path]:
    """Make a folder aside and rename it when the block ends; if that fails, nothing is there.

    Parameters
    ----------
    path
        Must not exist, or be empty.

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
    aside = Path(tempfile.mkdtemp(prefix=_prefix(path), dir=path.parent))
    lock = FileLock(aside / LOCK, thread_local=False)  # while it is held, it is no leftover
    try:
        aside.chmod(0o777 & ~umask())
        lock.acquire(timeout=0)
        yield aside
        lock.release()
        with suppress(FileNotFoundError):
            path.rmdir()
        aside.rename(path)
    except BaseException:
        lock.release()
        remove_folder(aside)
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
            lock.release()
            shutil.rmtree(leftover)


def _prefix(path: Path) -> str:
    return f".{path.name}-"
