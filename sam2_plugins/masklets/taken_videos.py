"""Videos of a data set: copies in its folder, which nothing that is done to the originals changes."""

import filecmp
import shutil
from pathlib import Path
from types import ModuleType

from sam2_engine.errors import InputError
from sam2_plugins.runtime.atomic_files import os_error_sentence

__all__ = ["check_video", "take_video"]

try:
    import fcntl as _fcntl

    fcntl: ModuleType | None = _fcntl
except ImportError:  # Windows
    fcntl = None

_CLONE = 0x40049409
"""Linux: the second file shares the first one's blocks (FICLONE of ioctl_ficlone(2))."""
_CHUNK = 16 << 20


def check_video(source: Path, folder: Path) -> Path:
    """Return where a video is in a folder, or will be.

    Raises
    ------
    InputError
        If another video of its name is there.
    """
    target = folder / (f"{source.name}.frames" if source.is_dir() and not source.suffix else source.name)
    if target.exists() and not _is_same(source, target):
        raise InputError(f"{target} is another video of the same name as {source}; rename one of them.")
    return target


def take_video(source: Path, folder: Path) -> Path:
    """Copy a video into a folder, without taking space where the disk can do that; return where it is there.

    Raises
    ------
    InputError
        If another video of its name is there, or it cannot be written.
    """
    target = check_video(source, folder)
    if target.exists():
        return target
    aside = folder / f".{target.name}.taking"
    try:
        _remove(aside)
        if source.is_dir():
            shutil.copytree(source, aside, copy_function=_copy)
        else:
            _copy(str(source), str(aside))
        aside.replace(target)
    except OSError as error:
        _remove(aside)
        raise InputError(os_error_sentence(error, target)) from None
    return target


def _copy(source: str, target: str) -> str:
    """Copy a file; where the file system can (Btrfs, XFS), both share their blocks until one is written.

    Not a second name of the same file: programs that save a stack again write into that very file.
    """
    with Path(source).open("rb") as read, Path(target).open("wb") as written:
        try:
            shared = fcntl is not None and not fcntl.ioctl(written, _CLONE, read.fileno())
        except OSError:  # it cannot, or the two are on different disks
            shared = False
        if not shared:
            shutil.copyfileobj(read, written, _CHUNK)
    shutil.copystat(source, target)
    return target


def _is_same(source: Path, target: Path) -> bool:
    """Whether a video in the folder is this one: by size and time of its files, else by their content."""
    if source.is_dir() != target.is_dir():
        return False
    if not source.is_dir():
        return source.samefile(target) or filecmp.cmp(source, target)
    names = [one.relative_to(source).as_posix() for one in source.rglob("*") if one.is_file()]
    there = {one.relative_to(target).as_posix() for one in target.rglob("*") if one.is_file()}
    same, _, _ = filecmp.cmpfiles(source, target, names)
    return set(names) == there == set(same)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
