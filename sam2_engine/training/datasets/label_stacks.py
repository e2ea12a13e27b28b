"""A stack of frames beside a stack of labels: ``NAME.tif`` and ``NAME_labels.tif``."""

from pathlib import Path

import numpy as np

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.frames.image_files import natural_key
from sam2_engine.training.datasets.annotations import LabelImage, check_labels
from sam2_engine.training.datasets.video import Found

__all__ = ["find_label_stacks"]

_SUFFIXES = (".tif", ".tiff")
_MARKS = ("labels", "label", "masks", "mask", "gt")


def find_label_stacks(folder: Path) -> tuple[list[Found], str] | None:
    """Recognise TIFF stacks, each with a label stack named after it; return what is there, and in words.

    In a stack a frame without any label counts as not annotated: such stacks are seldom finished.
    """
    files = sorted((path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES), key=natural_key)
    labels = {path: stem for path in files if (stem := _stem_of(path)) is not None}
    images = [path for path in files if path not in labels]
    if len(images) == len(labels) == 1:
        pairs = [(images[0], next(iter(labels)))]
    else:
        pairs = [(image, path) for image in images for path, stem in labels.items() if stem == image.stem]
    if not pairs:
        return None
    found = [_stack(image, path) for image, path in pairs]
    return found, f"{len(found)} TIFF stack{'s'[: len(found) != 1]} with label stacks"


def _stem_of(path: Path) -> str | None:
    """Return the name of the stack that a file of labels belongs to; None if it holds no labels."""
    stem = path.stem.lower()
    for mark in _MARKS:
        if stem == mark:
            return ""
        if stem.endswith(("_" + mark, "-" + mark, "." + mark)):
            return path.stem[: -len(mark) - 1]
    return None


def _stack(image: Path, path: Path) -> Found:
    labels = open_frames(path, labels=True)
    with open_frames(image) as frames:
        if len(frames) != len(labels):
            labels.close()
            raise InputError(
                f"{image} has {len(frames)} frames, but {path} has {len(labels)}; give one label image each."
            )

    def annotate(frame: int) -> LabelImage:
        return LabelImage(check_labels(labels[frame], f"{path}, frame {frame}"))

    def has_labels(frame: int) -> bool:
        try:
            return bool(np.any(labels[frame]))
        except InputError:
            return True  # named when it is read

    annotated = [frame for frame in range(len(labels)) if has_labels(frame)]
    if not annotated:
        labels.close()
        raise InputError(f"There is no object in {path}: all labels are 0, the background.")
    return Found(image.stem, lambda: open_frames(image), annotate, annotated, labels.close)
