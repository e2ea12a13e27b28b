"""Videos that are meant by files and folders: a folder of videos, or a folder of frames that is one."""

from collections.abc import Iterable
from pathlib import Path

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.frames.file_kinds import IMAGES, TIFF, VIDEO
from sam2_engine.frames.image_files import kind_of_file

__all__ = ["videos_in"]

_VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
_STACK_SUFFIXES = (".zarr", ".ome.zarr", ".nii", ".nii.gz", ".npy", ".gif")


def videos_in(paths: Iterable[Path]) -> list[Path]:
    """Return the videos that files and folders stand for.

    A folder of images, or of TIFF files of one plane each, is one video; any other folder stands for the
    videos and stacks in it, and for its folders of images. What is in it beside them is left out; a video
    that cannot be read stays, to be reported.

    Raises
    ------
    InputError
        If a path is not there, or a folder has no video.
    """
    videos: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"There is no video or folder {path}.")
        if not path.is_dir() or _is_stack(path) or _is_folder_of_frames(path):
            videos.append(path)
            continue
        inside = sorted(one for one in path.iterdir() if not one.name.startswith("."))
        found = [one for one in inside if _is_video(one)]
        if not found:
            raise InputError(
                f"{path} has no videos: give a folder of video files, of stacks or of folders of images."
            )
        videos += found
    return videos


def _is_video(path: Path) -> bool:
    if path.is_dir():
        return _is_stack(path) or _is_folder_of_frames(path)
    return path.name.lower().endswith((*_VIDEO_SUFFIXES, *_STACK_SUFFIXES)) or kind_of_file(path) in (
        VIDEO,
        TIFF,
    )


def _is_stack(path: Path) -> bool:
    return path.name.lower().endswith(_STACK_SUFFIXES)


def _is_folder_of_frames(path: Path) -> bool:
    """Whether the files of a folder are the frames of one video: images, the first of which is one plane."""
    files = sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith("."))
    images = [one for one in files if kind_of_file(one) in IMAGES or kind_of_file(one) == TIFF]
    if not images:
        return False
    if kind_of_file(images[0]) != TIFF:
        return not any(one.name.lower().endswith(_VIDEO_SUFFIXES) for one in files)
    try:
        with open_frames(images[0]) as frames:
            return frames.length == 1
    except InputError:
        return False
