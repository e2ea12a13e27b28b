"""Reader of folders of frames beside folders of label images, as in DAVIS or with plainer names."""

import re
from collections.abc import Sequence
from pathlib import Path

from sam2_engine.datasets.annotations import LabelImage, ids_persist
from sam2_engine.datasets.video import VideoRecord, warn_left_out
from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.frames.images.folders import images_in, natural_key
from sam2_engine.labels import LabelSet
from sam2_engine.wording import counted

__all__ = ["find_label_folders", "pair_by_name"]

_FRAMES = ("jpegimages", "images", "image", "imgs", "img", "frames", "raw")
_LABELS = ("annotations", "labels", "label", "masks", "mask", "id_masks", "gt")
_RESOLUTIONS = ("480p", "full-resolution", "1080p")
_FRAMES_COMPARED = 6


def find_label_folders(folder: Path, as_video: bool | None) -> tuple[list[VideoRecord], str] | None:
    """Recognize a folder of frames and a folder of labels; return them and a description.

    Both hold either one folder per video, with the same names (DAVIS: ``JPEGImages`` and
    ``Annotations``, perhaps with a resolution in between), or image files. Image files are one video if
    they are alike in size and their ids persist, else separate images.

    Parameters
    ----------
    folder
        Where the two folders are.
    as_video
        Whether image files are a video or separate images; None: decided by sizes and ids.
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
    warn_left_out(faults, len(folders), "videos")
    return videos, f"{counted(len(videos), 'video')} as folders of frames and label images"


def _child(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the folder's subfolder with the first of these names, whatever its capitals."""
    inner = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
    return next((inner[name] for name in names if name in inner), None)


def pair_by_name(frames: Sequence[Path], labels: Sequence[Path]) -> dict[int, Path]:
    """Return the label file of each frame that has one, by the frame's number in the list.

    Files belong together by name, or by the last number in it where no name is the same.
    """
    by_name = {path.stem: path for path in labels}
    pairs = {i: by_name[path.stem] for i, path in enumerate(frames) if path.stem in by_name}
    if pairs:
        return pairs
    by_number = {number: path for path in labels if (number := _last_number(path)) is not None}
    numbers = {i: _last_number(path) for i, path in enumerate(frames)}
    return {i: by_number[number] for i, number in numbers.items() if number in by_number}


def _last_number(path: Path) -> int | None:
    numbers = re.findall(r"\d+", path.stem)
    return int(numbers[-1]) if numbers else None


def _pair(frames: Path, labels: Path) -> tuple[list[Path], dict[int, Path]]:
    files = images_in(frames)
    if not labels.is_dir():
        raise InputError(f"The frames in {frames} have no labels; expected them in {labels}.")
    labels_by_frame = pair_by_name(files, images_in(labels))
    if not labels_by_frame:
        raise InputError(
            f"No label image in {labels} belongs to a frame in {frames}; give both the same file names."
        )
    missing = [
        f"{files[i]} has no label image in {labels}." for i in range(len(files)) if i not in labels_by_frame
    ]
    warn_left_out(missing, len(files), "frames")
    return files, labels_by_frame


def _video(frames: Path, labels: Path) -> VideoRecord:
    files, labels_by_frame = _pair(frames, labels)
    return _record(frames.name, files, *_labels(labels, labels_by_frame))


def _labels(folder: Path, labels_by_frame: dict[int, Path]) -> tuple[LabelSet, list[int]]:
    """Return the label images of a folder in the order of their frames, and these."""
    frames = sorted(labels_by_frame)
    return LabelSet.of_files(str(folder), [labels_by_frame[frame] for frame in frames]), frames


def _record(name: str, files: list[Path], labels: LabelSet, annotated: list[int]) -> VideoRecord:
    numbers = {frame: number for number, frame in enumerate(annotated)}
    return VideoRecord(
        name,
        lambda: open_frames(files[0] if len(files) == 1 else files),
        lambda frame: LabelImage.of(labels[numbers[frame]]),
        annotated,
    )


def _files(frames: Path, folder: Path, as_video: bool | None) -> tuple[list[VideoRecord], str]:
    files, labels_by_frame = _pair(frames, folder)
    labels, annotated = _labels(folder, labels_by_frame)
    if as_video is None:
        as_video = _is_video(files, labels, annotated)
    if as_video:
        return [
            _record(frames.parent.name, files, labels, annotated)
        ], f"a video of {counted(len(files), 'frame')}"
    images = [_image(files[frame], labels, number) for number, frame in enumerate(annotated)]
    return images, f"{counted(len(images), 'image')} with label images"


def _image(file: Path, labels: LabelSet, number: int) -> VideoRecord:
    return VideoRecord(str(file), lambda: open_frames(file), lambda _: LabelImage.of(labels[number]), [0])


def _is_video(files: Sequence[Path], label_set: LabelSet, annotated: Sequence[int]) -> bool:
    """Whether frames are a video: alike in size, and ids that stay with their objects."""
    if len(annotated) < 2:
        return False
    try:
        with open_frames([files[frame] for frame in annotated[:_FRAMES_COMPARED]]):
            labels = [label_set[number].ids for number in range(min(len(annotated), _FRAMES_COMPARED))]
    except InputError:
        return False
    return len({one.shape for one in labels}) == 1 and ids_persist(labels)
