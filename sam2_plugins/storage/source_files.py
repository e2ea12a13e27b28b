"""Files of a session's stack: where they are by now, and whether they were written again meanwhile."""

import os
import warnings
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from sam2_engine.errors import InputWarning
from sam2_engine.frames import FrameSource

__all__ = ["path_from", "places_from", "places_of", "source_files", "source_of", "warn_of_rewritten_files"]


_MOST_FILES = 30_000
"""A folder of 20,000 images opens in a second; the chunks of an image may be a million."""


def source_files(source: str | Path | None) -> list[int] | None:
    """Return how many files a stack has, their bytes, and when the last one was written, in nanoseconds.

    Parameters
    ----------
    source
        A file, or a folder with all files below of the most common kind; None if the stack is none.

    Returns
    -------
    list of int or None
        None if there is no file, or there are too many to look at whenever a session is opened.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "0.png").write_bytes(b"12345")
    >>> source_files(folder)[:2]
    [1, 5]
    """
    if source is None:
        return None
    found = [stat for stat in map(_stat, _files(Path(source))) if stat is not None]
    if not found:
        return None
    return [len(found), sum(one.st_size for one in found), max(one.st_mtime_ns for one in found)]


def warn_of_rewritten_files(frames: FrameSource, described: Mapping[str, Any], path: Path) -> None:
    """Warn if a session's frames may be others by now, of which :func:`check_frames` compares a few alone.

    Parameters
    ----------
    frames
        As they are read now.
    described
        The frames in the manifest of the session at ``path``.
    """
    source = source_of(frames, described)
    before, now = described.get("files"), source_files(source)
    if before is None or now is None or before == now:
        return
    made_on = described["source"]
    is_another = made_on is not None and Path(str(source)).resolve() != Path(made_on)
    what = (
        f"{path} was made on {made_on}, and is opened with {source}, which is another file"
        if is_another and Path(made_on).exists()
        else f"{source} was written again since {path} was made on it"
    )
    was, axes = described.get("axes"), frames.axes
    read_as = f" Its axes are {axes} now, and were {was}." if is_another and was not in (None, axes) else ""
    warnings.warn(
        f"{what}. Its first, middle and last frame are the same, the others were not compared: look at some "
        f"masks before you go on.{read_as}",
        InputWarning,
        stacklevel=4,
    )


def source_of(frames: FrameSource, described: Mapping[str, Any]) -> str | Path | None:
    """Return the file of a session's frames: where they are read from now, or were at the beginning."""
    said: str | None = described["source"]
    return said if frames.opened_as is None else frames.opened_as[0]


def path_from(session: Path, source: str | None) -> str | None:
    """Return the way from where a session lies to a file: ``../stacks/cells.tif``; None if there is none."""
    if source is None:
        return None
    try:
        return Path(os.path.relpath(source, session.resolve().parent)).as_posix()
    except ValueError:  # on another drive of Windows
        return None


def places_of(described: Mapping[str, Any], path: Path) -> list[Path]:
    """Return where the file of a session's frames is by now, the best place first, of those that are there.

    A session that was copied or moved together with its file means the one that lies as the original lay to
    the original session. The path of before comes last: with a copy, the original is still there.

    Parameters
    ----------
    described
        The frames in the manifest of the session at ``path``; they have a source.

    Returns
    -------
    list of Path
        Each file once; if none is there, the path of before.
    """
    return places_from(Path(described["source"]), described.get("source_from_here"), path)


def places_from(before: Path, from_here: str | None, session: Path) -> list[Path]:
    """Return where a file that the folder of a session remembers is by now, as :func:`places_of`.

    Parameters
    ----------
    before
        Where it was.
    from_here
        The way to it, as :func:`path_from` returned it for the original session.
    session
        The folder.
    """
    path = session.absolute()
    beside = [path.parent / way for way in (from_here, before.name) if way is not None]
    there: dict[Path, Path] = {}
    for place in (*beside, path / before.name, before):
        if place.exists():
            there.setdefault(place.resolve(), place)
    return [*there.values()] or [before]


def _files(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source]
    # Tables and sessions may lie among the images of a folder, and change with the work on them.
    walked = (Path(folder, name) for folder, _, names in os.walk(source) for name in names)
    files = [*islice(walked, _MOST_FILES + 1)]
    if len(files) > _MOST_FILES:
        return []
    kinds = Counter(file.suffix for file in files)
    usual = max(kinds, key=kinds.__getitem__, default="")
    return [file for file in files if file.suffix == usual]


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
