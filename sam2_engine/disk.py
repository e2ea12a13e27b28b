"""Files written aside and renamed when they are complete, on disks that may be full."""

import errno
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from sam2_engine.errors import InputError
from sam2_engine.wording import size_in_words

__all__ = [
    "NoSpaceError",
    "check_space",
    "check_space_for",
    "is_full",
    "no_empty_folders",
    "remove_abandoned",
    "remove_folder",
    "replacing",
    "umask",
    "when_full",
]

_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


class NoSpaceError(InputError, OSError):
    """A disk, or somebody's share of it, is full.

    Parameters
    ----------
    path
        The file that could not be written.
    reason
        In the words of the operating system.
    num_bytes
        Space that the file takes, where it is known.

    Examples
    --------
    >>> print(NoSpaceError(Path("labels.tif"), num_bytes=2_500_000_000))
    labels.tif: No space left on device; it takes 2.5 GB: make space there.
    """

    def __init__(self, path: Path, reason: str = "No space left on device", num_bytes: int = 0) -> None:
        takes = f"it takes {size_in_words(num_bytes)}: " if num_bytes else ""
        super().__init__(f"{path}: {reason}; {takes}make space there.")
        self.errno, self.strerror, self.filename = errno.ENOSPC, reason, str(path)
        self.num_bytes = num_bytes

    def __str__(self) -> str:
        return str(self.args[0])


def is_full(error: OSError) -> bool:
    """Whether an error says that a disk, or somebody's share of it, is full, or a file too large for it."""
    return error.errno in _FULL


@contextmanager
def when_full(path: Path, aside: Path | None = None, num_bytes: int = 0) -> Iterator[None]:
    """Name the file in errors of full disks, which do not; or the final one in place of what lies aside.

    Raises
    ------
    NoSpaceError
        If the disk is full.
    """
    try:
        yield
    except OSError as error:
        named = error.filename
        ours = named is None or (aside is not None and Path(os.fsdecode(named)).is_relative_to(aside))
        if is_full(error) and ours:
            reason = error.strerror or "No space left on device"
            raise NoSpaceError(path, reason, getattr(error, "num_bytes", num_bytes)) from None
        raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file aside and rename it when it is complete.

    Yields the path of an empty file in the same folder. Leaving the block renames it to ``path``; an
    exception deletes it and leaves what was at ``path`` as it was.

    Raises
    ------
    NoSpaceError
        If the disk is full.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "notes.txt"
    ...     with replacing(path) as aside:
    ...         _ = aside.write_text("complete")
    ...         before = path.exists()
    ...     before, path.read_text()
    (False, 'complete')
    """
    with when_full(path):
        descriptor, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(descriptor)
    aside = Path(name)
    try:
        with when_full(path, aside):
            yield aside
            aside.chmod(0o666 & ~umask())
            aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def remove_abandoned(path: Path) -> None:
    """Delete what lies aside of a file because a process was killed that wrote it; nobody may write it now.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _, left = tempfile.mkstemp(prefix=".notes-", suffix=".txt", dir=folder)
    ...     remove_abandoned(Path(folder) / "notes.txt")
    ...     Path(left).exists()
    False
    """
    aside = re.compile(re.escape(f".{path.stem}-") + r"[a-z0-9_]{8}" + re.escape(path.suffix))
    for other in path.parent.glob(".*"):
        if aside.fullmatch(other.name) and other.is_file():
            other.unlink(missing_ok=True)


@contextmanager
def no_empty_folders(*folders: Path) -> Iterator[None]:
    """Take folders that are not there yet away again if a block leaves them empty, and those above them.

    So what is refused leaves nothing behind, however late it is refused.

    Examples
    --------
    >>> import tempfile
    >>> home = Path(tempfile.mkdtemp())
    >>> with no_empty_folders(home / "a" / "b"):
    ...     (home / "a" / "b").mkdir(parents=True)
    >>> [*home.iterdir()]
    []
    """
    made = {one for folder in folders for one in (folder, *folder.parents) if not one.exists()}
    try:
        yield
    finally:
        for folder in sorted(made, key=lambda one: len(one.parts), reverse=True):
            with suppress(OSError):  # it holds something by now, or was never made
                folder.rmdir()


def check_space(path: Path, num_bytes: int) -> None:
    """Raise for a file that will not fit, before hours of work for it.

    Raises
    ------
    InputError
        If less is free where it will be.
    """
    check_space_for({path: num_bytes})


def check_space_for(files: Mapping[Path, int]) -> None:
    """Raise for files that will not fit together, on whichever disks they will be.

    Parameters
    ----------
    files
        Bytes by path.

    Raises
    ------
    InputError
        If less is free where they will be, or there is no such folder.
    """
    by_disk: dict[int, list[Path]] = {}
    for path in files:
        try:
            by_disk.setdefault(path.parent.stat().st_dev, []).append(path)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {path.parent}: {error.strerror}.") from None
    for paths in by_disk.values():
        free = shutil.disk_usage(paths[0].parent).free
        num_bytes = sum(files[path] for path in paths)
        if num_bytes > free:
            raise InputError(
                f"{' and '.join(map(str, paths))} will take {size_in_words(num_bytes)}, but only "
                f"{size_in_words(free)} are free there; make space or write it elsewhere."
            )


def remove_folder(path: Path) -> None:
    """Remove a folder as far as it can be, though threads of a write that failed may still be at work in it.

    Zarr's are: it raises what the first of them met, and the others go on.
    """
    for _ in range(20):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(0.05)


def umask() -> int:
    """Return the permissions that new files of this process do not get."""
    current = os.umask(0o022)
    os.umask(current)
    return current
