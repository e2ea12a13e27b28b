"""Outputs, checked before any work is done, then written aside: those that a user names, and small ones."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sam2_engine.disk import NoSpaceError, check_space, is_full, replacing
from sam2_engine.errors import InputError, OptionError

__all__ = ["check_is_no_input", "check_output", "check_output_folder", "new_file", "os_error_sentence"]
__all__ += ["write_json"]


_SESSION = "session.json"
"""By which one tells a session's folder."""


def check_output(
    path: Path,
    *,
    suffixes: tuple[str, ...],
    inputs: tuple[Path | None, ...] = (),
    overwrite: bool = False,
    num_bytes: int = 0,
) -> None:
    """Raise for an output that could not be written, before any work is done.

    With :func:`check_output_folder` the rule of all commands: what is there is replaced on request only.

    Parameters
    ----------
    path
        The file to be written.
    suffixes
        Endings that its name may have.
    inputs
        Files that are read, none of which may be overwritten.
    overwrite
        Whether a file that is there may be replaced.
    num_bytes
        Space that the file will need.

    Raises
    ------
    InputError
        If the ending is another, the folder is missing or cannot be written to, ``path`` is there and may
        not be replaced, is a folder, a device or one of ``inputs``, or there is not enough space.
    """
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{path} must end in {' or '.join(suffixes)}.")
    _check_parent(path)
    if path.exists() and not path.is_file():
        raise InputError(f"{path} exists and is not a file; choose another name for the output.")
    check_is_no_input(path, inputs)
    if path.exists() and not overwrite:
        raise _exists(path)
    _check_writable(path.parent)
    check_space(path, num_bytes)


def check_is_no_input(path: Path, inputs: tuple[Path | None, ...]) -> None:
    """Refuse an output that is one of the inputs, under whatever name.

    Raises
    ------
    InputError
        If it is.
    """
    if any(one is not None and path.exists() and one.exists() and path.samefile(one) for one in inputs):
        raise InputError(
            f"{path} is also the input and would be overwritten; choose another name for the output."
        )


def check_output_folder(
    path: Path,
    *,
    is_earlier: Callable[[Path], bool] | None = None,
    overwrite: bool = False,
    with_parents: bool = False,
) -> None:
    """Raise for a folder that could not be written, before any work is done; an empty one may be there.

    Parameters
    ----------
    path
        The folder to be.
    is_earlier
        Tells whether a folder is an earlier output of this kind. Only such a folder is ever replaced: a slip
        of the hand must not delete somebody's images. None where files of other names stay.
    overwrite
        Whether an earlier output may be replaced.
    with_parents
        Whether the folders above it are made, too, where they are missing.

    Raises
    ------
    InputError
        If the folder's parent is missing or cannot be written to, or it exists and may not be replaced.
    """
    parent = path.parent
    if with_parents:
        parent = next((one for one in path.absolute().parents if one.exists()), parent)
    else:
        _check_parent(path)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} exists and is not a folder; choose another name for the output.")
    if path.is_dir() and any(not one.is_dir() for one in path.rglob("*")):
        if is_earlier is not None and not is_earlier(path):
            raise InputError(f"The folder {path} holds something else; choose another name for the output.")
        if not overwrite:
            raise _exists(path)
    _check_writable(path if path.is_dir() else parent)


def _check_parent(path: Path) -> None:
    if (path.parent / _SESSION).is_file():
        raise InputError(f"{path.parent} is the folder of a session, for its own files; write elsewhere.")
    if not path.parent.is_dir():
        raise InputError(f"The folder {path.parent} of the output does not exist; make it first.")


def _check_writable(folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(os_error_sentence(error, folder)) from None


def _exists(path: Path) -> InputError:
    return OptionError(
        f"{path} exists; choose another name, or replace it with {{overwrite}}.", overwrite=True
    )


@contextmanager
def new_file(
    path: Path,
    *,
    suffixes: tuple[str, ...],
    inputs: tuple[Path | None, ...] = (),
    overwrite: bool = False,
    num_bytes: int = 0,
) -> Iterator[Path]:
    """Write a file aside, and rename it when the block ends well.

    Raises
    ------
    InputError
        As ``check_output``.
    """
    check_output(path, suffixes=suffixes, inputs=inputs, overwrite=overwrite, num_bytes=num_bytes)
    with replacing(path) as aside:
        yield aside
        if path.exists() and not overwrite:  # another process has written it meanwhile
            raise _exists(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file of JSON, which is there wholly or as it was.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    try:
        with replacing(path) as aside:
            aside.write_text(json.dumps(content), encoding="utf-8")
    except OSError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(os_error_sentence(error, path)) from None


def os_error_sentence(error: OSError, path: Path | None = None) -> str:
    """Return one sentence for people about what the operating system refused."""
    where = str(path or error.filename or "").strip()
    reason = error.strerror or str(error) or type(error).__name__
    if where and is_full(error):
        return str(NoSpaceError(Path(where), reason))
    return f"{where}: {reason}." if where else f"{reason}."
