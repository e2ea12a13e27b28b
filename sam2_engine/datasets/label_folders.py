"""Folders of frames beside folders of label images, as DAVIS has them, or with plainer names."""

import re
from collections.abc import Sequence
from pathlib import Path

from sam2_engine.datasets.annotations import LabelImage, persists, read_label_file
from sam2_engine.datasets.video import VideoRecord, warn_of
from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.frames.image_files import images_in, natural_key
from sam2_engine.wording import counted

__all__ = ["find_label_folders", "paired"]

_FRAMES = ("jpegimages", "images", "image", "imgs", "img", "frames", "raw")
_LABELS = ("annotations", "labels", "label", "masks", "mask", "id_masks", "gt")
_RESOLUTIONS = ("480p", "full-resolution", "1080p")
_LOOK_AT = 6


def find_label_folders(folder: Path, as_video: bool | None) -> tuple[list[VideoRecord], str] | None:
    """Recognize a folder of frames and a folder of labels; return what is there, and in words.

    Both hold either one folder per video, with the same names (DAVIS: ``JPEGImages`` and
    ``Annotations``, perhaps with a resolution in between), or image files. Image files are one video if
    they are alike in size and their ids persist, else pictures.

    Parameters
    ----------
    folder
        Where to look.
    as_video
        Whether image files are a video or pictures; None: decide by looking.
    """
    frames, labels = _child(folder, _FRAMES), _child(folder, _LABELS)
    if frames is None or labels is None:
        return None
    for name in _RESOLUTIONS:
        finer_frames, finer_labels = _child(frames, (name,)), _child(labels, (name,))
        if finer_frames is not None and finer_labels is not None:
            frames, labels = finer_frames, finer_labels
            break
    if images_in(frames):
        return _files(frames, labels, as_video)
    videos, faults = [], []
    folders = sorted((path for path in frames.iterdir() if path.is_dir()), key=natural_key)
    for path in folders:
        try:
            videos.append(_video(path, labels / path.name))
        except InputError as error:
            faults.append(str(error))
    if not videos:
        raise InputError(faults[0] if faults else f"There are no images in {frames}.")
    warn_of(faults, len(folders), "videos")
    return videos, f"{counted(len(videos), 'video')} as folders of frames and label images"


def _child(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the folder's subfolder with the first of these names, whatever its capitals."""
    inner = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
    return next((inner[name] for name in names if name in inner), None)


def paired(frames: Sequence[Path], labels: Sequence[Path]) -> dict[int, Path]:
    """Return the label file of each frame that has one, by the frame's number in the list.

    Files belong together by name, or by the last number in it where no name is the same.
    """
    by_name = {path.stem: path for path in labels}
    found = {i: by_name[path.stem] for i, path in enumerate(frames) if path.stem in by_name}
    if found:
        return found
    by_number = {number: path for path in labels if (number := _last_number(path)) is not None}
    numbers = {i: _last_number(path) for i, path in enumerate(frames)}
    return {i: by_number[number] for i, number in numbers.items() if number in by_number}


def _last_number(path: Path) -> int | None:
    numbers = re.findall(r"\d+", path.stem)
    return int(numbers[-1]) if numbers else None


def _pairs(frames: Path, labels: Path) -> tuple[list[Path], dict[int, Path]]:
    files = images_in(frames)
    if not labels.is_dir():
        raise InputError(f"The frames in {frames} have no labels; expected them in {labels}.")
    twins = paired(files, images_in(labels))
    if not twins:
        raise InputError(
            f"No label image in {labels} belongs to a frame in {frames}; give both the same file names."
        )
    missing = [f"{files[i]} has no label image in {labels}." for i in range(len(files)) if i not in twins]
    warn_of(missing, len(files), "frames")
    return files, twins


def _video(frames: Path, labels: Path) -> VideoRecord:
    files, twins = _pairs(frames, labels)
    return _found(frames.name, files, twins)


def _found(name: str, files: list[Path], twins: dict[int, Path]) -> VideoRecord:
    return VideoRecord(
        name,
        lambda: open_frames(files[0] if len(files) == 1 else files),
        lambda frame: LabelImage(read_label_file(twins[frame])),
        sorted(twins),
    )


def _files(frames: Path, labels: Path, as_video: bool | None) -> tuple[list[VideoRecord], str]:
    files, twins = _pairs(frames, labels)
    if as_video is None:
        as_video = _is_video(files, twins)
    if as_video:
        return [_found(frames.parent.name, files, twins)], f"a video of {counted(len(files), 'frame')}"
    pictures = [_found(str(files[i]), [files[i]], {0: twin}) for i, twin in sorted(twins.items())]
    return pictures, f"{counted(len(pictures), 'picture')} with label images"


def _is_video(files: Sequence[Path], twins: dict[int, Path]) -> bool:
    """Whether frames follow each other: alike in size, and ids that stay with their objects."""
    if len(twins) < 2:
        return False
    numbers = sorted(twins)[:_LOOK_AT]
    try:
        with open_frames([files[i] for i in numbers]):
            labels = [read_label_file(twins[i]) for i in numbers]
    except InputError:
        return False
    return len({one.shape for one in labels}) == 1 and persists(labels)
