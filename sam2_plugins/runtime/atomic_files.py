"""Outputs that a user names: checked before any work is done, then written aside."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sam2_engine.disk import NoSpaceError, check_space, is_full, replacing
from sam2_engine.errors import InputError

__all__ = ["check_output", "new_file", "os_error_sentence"]


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
    check_space(path, num_bytes)


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
    if where and is_full(error):
        return str(NoSpaceError(Path(where), reason))
    return f"{where}: {reason}." if where else f"{reason}."
