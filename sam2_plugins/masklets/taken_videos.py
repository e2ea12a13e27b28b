"""Videos of a data set: linked into its folder, or copied."""

import os
import shutil
from pathlib import Path

from sam2_engine.errors import InputError
from sam2_plugins.runtime.atomic_files import os_error_sentence

__all__ = ["take_video"]


def take_video(source: Path, folder: Path) -> Path:
    """Link a video into a folder, or copy it where it cannot be linked; return where it is there.

    Raises
    ------
    InputError
        If another video of its name is there, or it cannot be written.
    """
    target = folder / (f"{source.name}.frames" if source.is_dir() and not source.suffix else source.name)
    if target.exists():
        if not _is_same(source, target):
            raise InputError(f"{target} is another video of the same name as {source}; rename one of them.")
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
    """Whether a video in the folder is this one: the same files, or files of the same sizes."""
    if source.is_dir() != target.is_dir():
        return False
    if source.is_dir():
        return [(p.name, p.stat().st_size) for p in sorted(source.iterdir()) if p.is_file()] == [
            (p.name, p.stat().st_size) for p in sorted(target.iterdir()) if p.is_file()
        ]
    return source.samefile(target) or source.stat().st_size == target.stat().st_size


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
