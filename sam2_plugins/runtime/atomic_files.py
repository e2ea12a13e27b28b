"""Files written atomically: complete or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sam2_engine.errors import InputError

__all__ = ["check_output", "new_file", "os_error_sentence", "replacing", "umask"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file aside and rename it when it is complete.

    Yields the path of an empty file in the same folder. Leaving the block renames it to ``path``; an
    exception deletes it and leaves what was at ``path`` as it was.

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
    descriptor, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(descriptor)
    aside = Path(name)
    try:
        yield aside
        aside.chmod(0o666 & ~umask())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def check_output(
    path: Path, *, suffixes: tuple[str, ...], inputs: tuple[Path | None, ...] = (), num_bytes: int = 0
) -> None:
    """Raise for an output that could not be written, before any work is done.

    Parameters
    ----------
    path
        The file to be written.
    suffixes
        Endings that its name may have.
    inputs
        Files that are read, none of which may be overwritten.
    num_bytes
        Space that the file will need.

    Raises
    ------
    InputError
        If the ending is another, the folder is missing or cannot be written to, ``path`` is a folder, a
        device or one of ``inputs``, or there is not enough space.
    """
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{path} must end in {' or '.join(suffixes)}.")
    if not path.parent.is_dir():
        raise InputError(f"The folder {path.parent} of the output does not exist; make it first.")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} exists and is not a file; choose another name for the output.")
    if any(
        source is not None and path.exists() and source.exists() and path.samefile(source)
        for source in inputs
    ):
        raise InputError(
            f"{path} is also the input and would be overwritten; choose another name for the output."
        )
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(os_error_sentence(error, path.parent)) from None
    free = shutil.disk_usage(path.parent).free
    if num_bytes > free:
        raise InputError(
            f"{path} will take {num_bytes / 1e9:.2f} GB, but only {free / 1e9:.2f} GB are free there; "
            "make space or write it elsewhere."
        )


@contextmanager
def new_file(
    path: Path, *, suffixes: tuple[str, ...], overwrite: bool = False, num_bytes: int = 0
) -> Iterator[Path]:
    """Write a file aside, and rename it when the block ends well.

    Raises
    ------
    InputError
        As ``check_output``; or if the file exists, unless it may be overwritten.
    """
    check_output(path, suffixes=suffixes, num_bytes=num_bytes)
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; choose another name, or allow it to be overwritten.")
    with replacing(path) as aside:
        yield aside


def os_error_sentence(error: OSError, path: Path | None = None) -> str:
    """Return one sentence for people about what the operating system refused."""
    where = str(path or error.filename or "").strip()
    reason = error.strerror or str(error) or type(error).__name__
    return f"{where}: {reason}." if where else f"{reason}."


def umask() -> int:
    """Return the permissions that new files of this process do not get."""
    current = os.umask(0o022)
    os.umask(current)
    return current
