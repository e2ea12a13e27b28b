"""Reader of stacks of frames beside stacks of labels: ``NAME.tif`` and ``NAME_labels.tif``."""

from functools import cached_property
from pathlib import Path

import numpy as np

from sam2_engine.datasets.annotations import LabelImage
from sam2_engine.datasets.video import VideoRecord
from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.frames.file_kinds import TIFF, kind_of
from sam2_engine.frames.images.folders import natural_key
from sam2_engine.labels import LabelFrames, open_labels
from sam2_engine.wording import counted

__all__ = ["find_label_stacks"]

_LABEL_NAMES = ("labels", "label", "masks", "mask", "gt")


def _is_tiff(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and kind_of(path) == TIFF


def find_label_stacks(folder: Path) -> tuple[list[VideoRecord], str] | None:
    """Recognize TIFF stacks, each with a label stack named after it; return them and a description.

    In a stack a frame without any label counts as not annotated: such stacks are seldom finished.
    """
    files = sorted((path for path in folder.iterdir() if _is_tiff(path)), key=natural_key)
    labels = {path: stem for path in files if (stem := _stem_of(path)) is not None}
    images = [path for path in files if path not in labels]
    if len(images) == len(labels) == 1:
        pairs = [(images[0], next(iter(labels)))]
    else:
        pairs = [(image, path) for image in images for path, stem in labels.items() if stem == image.stem]
    if not pairs:
        return None
    records = [_stack(image, path) for image, path in pairs]
    return records, f"{counted(len(records), 'TIFF stack')} with label stacks"


def _stem_of(path: Path) -> str | None:
    """Return the name of the stack that a file of labels belongs to; None if it holds no labels."""
    stem = path.stem.lower()
    for name in _LABEL_NAMES:
        if stem == name:
            return ""
        if stem.endswith(("_" + name, "-" + name, "." + name)):
            return path.stem[: -len(name) - 1]
    return None


class _LabelStack:
    """A label stack that is opened on demand, again after it was closed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def images(self) -> LabelFrames:
        return open_labels(self._path)

    def annotate(self, frame: int) -> LabelImage:
        return LabelImage.of(self.images[frame])

    def any(self, frame: int) -> bool:
        try:
            return bool(np.any(self.images[frame].ids))
        except InputError:
            return True  # reported when it is read

    def close(self) -> None:
        if (images := self.__dict__.pop("images", None)) is not None:
            images.close()


def _stack(image: Path, path: Path) -> VideoRecord:
    labels = _LabelStack(path)
    try:
        with open_frames(image) as frames:
            length, count = len(frames), len(labels.images)
        if length != count:
            raise InputError(
                f"{image} has {length} frames, but {path} has {count}; give one label image each."
            )
        annotated = [frame for frame in range(count) if labels.any(frame)]
        if not annotated:
            raise InputError(f"There is no object in {path}: all labels are 0, the background.")
    except InputError:
        labels.close()
        raise
    return VideoRecord(image.stem, lambda: open_frames(image), labels.annotate, annotated, labels.close)
