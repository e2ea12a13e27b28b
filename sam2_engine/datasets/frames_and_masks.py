"""Frames and masks that a user names one by one: folders, stacks, videos; nothing may be left out."""

from pathlib import Path
from typing import Any

from sam2_engine.datasets.annotations import LabelImage
from sam2_engine.datasets.label_folders import pair_by_name
from sam2_engine.datasets.video import VideoRecord
from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.frames.images.folders import images_in
from sam2_engine.labels import LabelFrames, open_labels

__all__ = ["pair_video", "pair_videos"]


def pair_videos(frames: Path, masks: Path, **reading: Any) -> list[VideoRecord]:
    """Pair one video, or one for each folder in ``frames`` if that holds folders of images (DAVIS).

    Parameters
    ----------
    frames, masks
        As for ``pair_video``, or folders of such, with the same names in both.
    reading
        Options of ``open_frames`` for the frames.

    Raises
    ------
    InputError
        As ``pair_video``; if a folder of frames has no masks; or if nothing is there.
    """
    if not frames.is_dir() or images_in(frames):
        return [pair_video(frames, masks, **reading)]
    folders = sorted(folder for folder in frames.iterdir() if folder.is_dir() and images_in(folder))
    if not folders or (masks.is_dir() and images_in(masks)):
        return [pair_video(frames, masks, **reading)]
    records = []
    for folder in folders:
        if not (masks / folder.name).exists():
            raise InputError(f"The sequence {folder} has no masks; expected them in {masks / folder.name}.")
        records.append(pair_video(folder, masks / folder.name, **reading))
    return records


def pair_video(frames: Path, masks: Path, **reading: Any) -> VideoRecord:
    """Pair frames with label images, by order, or, if there are fewer masks than frames, by file name.

    Parameters
    ----------
    frames
        Whatever ``open_frames`` takes.
    masks
        A folder of label images (an image with a palette gives its indices) or a label stack; one value
        per object, 0 is background.
    reading
        Options of ``open_frames`` for the frames.

    Raises
    ------
    InputError
        If there are no masks, they are no labels, differ from the frames in size, or belong to no frame.
    """
    with open_frames(frames, **reading) as source:
        length, shape = len(source), source.shape
    if masks.is_dir() and not images_in(masks):
        raise InputError(f"There are no masks in {masks}; it should hold one label image per frame.")
    labels = open_labels(masks, single=length == 1)
    try:
        _check(masks, labels, shape)
        mask_of_frame = _match(frames, masks, length, len(labels))
    except InputError:
        labels.close()
        raise

    def annotate(frame: int) -> LabelImage:
        return LabelImage.of(labels[mask_of_frame[frame]])

    return VideoRecord(
        frames.stem, lambda: open_frames(frames, **reading), annotate, sorted(mask_of_frame), labels.close
    )


def _check(masks: Path, labels: LabelFrames, shape: tuple[int, int]) -> None:
    if labels.shape != shape:
        raise InputError(
            f"The masks {masks} are {labels.shape[1]} wide and {labels.shape[0]} high, but the frames are "
            f"{shape[1]} wide and {shape[0]} high; save both at the same size."
        )


def _match(frames: Path, masks: Path, length: int, count: int) -> dict[int, int]:
    """Return the index of the mask of each frame that has one."""
    if count == length:
        return {number: number for number in range(length)}
    if not (frames.is_dir() and masks.is_dir()):
        raise InputError(
            f"There are {length} frames in {frames}, but {count} masks in {masks}; give as many."
        )
    files = images_in(masks)
    masks_by_frame = pair_by_name(images_in(frames), files)
    unmatched = [path for path in files if path not in masks_by_frame.values()]
    if unmatched:
        raise InputError(
            f"The mask {unmatched[0]} has no frame: there are {length} frames but {count} masks, so each "
            f"mask must be called like its frame in {frames}."
        )
    return {frame: files.index(path) for frame, path in masks_by_frame.items()}
