"""Videos of a data set: linked into its folder, or copied."""

import filecmp
import os
import shutil
from pathlib import Path

from sam2_engine.errors import InputError
from sam2_plugins.runtime.atomic_files import os_error_sentence

__all__ = ["check_video", "take_video"]


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
    """Link a video into a folder, or copy it where it cannot be linked; return where it is there.

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
            shutil.copytree(source, aside, copy_function=_link_or_copy)
        else:
            _link_or_copy(str(source), str(aside))
        aside.replace(target)
    except OSError as error:
        _remove(aside)
        raise InputError(os_error_sentence(error, target)) from None
    return target


def _link_or_copy(source: str, target: str) -> str:
    """Give a file a second name, which takes no space; or copy it where there are no links."""
    try:
        os.link(Path(source).resolve(), target)
    except OSError:
        shutil.copy2(source, target)
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
