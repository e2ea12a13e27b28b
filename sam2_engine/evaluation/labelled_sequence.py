"""Frames with the true masks of their objects, as folders of label images (DAVIS) or label stacks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource, open_frames
from sam2_engine.frames.image_files import images_in
from sam2_engine.mask_utils import PackedMask

__all__ = ["LabelledSequence", "MasksByObject", "pack_labels", "read_sequence", "read_sequences"]

MasksByObject = dict[int, dict[int, PackedMask]]
"""Masks by object id and frame; a frame that is missing is an empty mask."""


@dataclass(frozen=True)
class LabelledSequence:
    """A video, time-lapse, volume or series of images, and the truth.

    Attributes
    ----------
    name
        What people call it.
    frames
        The pictures.
    truth
        The objects' masks, none of them empty.
    annotated
        Frames whose masks are known, ascending; on these an object that is not in ``truth`` is absent.
    """

    name: str
    frames: FrameSource
    truth: MasksByObject
    annotated: tuple[int, ...]

    def first_frame(self, object_id: int) -> int:
        """Return the first frame on which an object is seen."""
        return min(self.truth[object_id])

    def mask(self, object_id: int, frame: int) -> NDArray[np.bool_]:
        """Return the true (H, W) mask."""
        return unpacked(self.truth, object_id, frame, self.frames.shape)


def unpacked(masks: MasksByObject, object_id: int, frame: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return one (H, W) mask, empty if there is none."""
    packed = masks.get(object_id, {}).get(frame)
    return np.zeros(shape, bool) if packed is None else packed.unpack()


def pack_labels(labels: NDArray[Any], frame: int, masks: MasksByObject) -> None:
    """Add the objects of an (H, W) label image, 0 is background, to ``masks``."""
    for value in np.unique(labels[labels > 0]).tolist():
        mask = labels == value
        masks.setdefault(int(value), {})[frame] = PackedMask.of(mask, (mask.shape[0], mask.shape[1]))


def read_sequences(frames: Path, masks: Path, **reading: Any) -> list[LabelledSequence]:
    """Read one sequence, or one for each folder in ``frames`` if that holds folders of images (DAVIS).

    Parameters
    ----------
    frames, masks
        Whatever ``open_frames`` takes, or folders of such, with the same names in both.
    reading
        Options of ``open_frames`` for the frames.

    Raises
    ------
    InputError
        As ``read_sequence``; if a folder of frames has no masks; or if nothing is there.
    """
    if not frames.is_dir() or images_in(frames):
        return [read_sequence(frames, masks, **reading)]
    folders = sorted(folder for folder in frames.iterdir() if folder.is_dir() and images_in(folder))
    if not folders or (masks.is_dir() and images_in(masks)):
        return [read_sequence(frames, masks, **reading)]
    sequences = []
    for folder in folders:
        if not (masks / folder.name).exists():
            raise InputError(f"The sequence {folder} has no masks; expected them in {masks / folder.name}.")
        sequences.append(read_sequence(folder, masks / folder.name, **reading))
    return sequences


def read_sequence(
    frames: Path, masks: Path, *, fixed: Mapping[str, int] | None = None, **reading: Any
) -> LabelledSequence:
    """Read frames and their label images.

    Masks belong to frames by order, or, if there are fewer masks than frames, by file name.

    Parameters
    ----------
    frames
        Whatever ``open_frames`` takes.
    masks
        A folder of label images (an image with a palette gives its indices) or a label stack; one value
        per object, 0 is background.
    fixed, reading
        Options of ``open_frames`` for the frames.

    Raises
    ------
    InputError
        If there are no masks, they are no labels, differ from the frames in size, belong to no frame,
        or hold no object.
    """
    source = open_frames(frames, fixed=fixed, **reading)
    try:
        return _label(frames, masks, source)
    except BaseException:
        source.close()
        raise


def _label(frames: Path, masks: Path, source: FrameSource) -> LabelledSequence:
    """Read the masks of open frames."""
    length = len(source)
    if masks.is_dir() and not images_in(masks):
        raise InputError(f"There are no masks in {masks}; it should hold one label image per frame.")
    with open_frames(masks, labels=True, single=length == 1) as labels:
        _check_labels(masks, labels, source)
        annotated = _frames_of_masks(frames, masks, length, len(labels))
        truth: MasksByObject = {}
        for number, frame in enumerate(annotated):
            pixels = labels[number]
            if pixels.dtype.kind == "i" and pixels.min() < 0:
                raise InputError(f"Frame {number} of {masks} has labels below 0; 0 is background.")
            pack_labels(pixels, frame, truth)
    if not truth:
        raise InputError(f"There is no object in {masks}: all labels are 0, the background.")
    return LabelledSequence(frames.stem, source, dict(sorted(truth.items())), annotated)


def _check_labels(masks: Path, labels: FrameSource, source: FrameSource) -> None:
    if labels.dtype.kind not in "bui" or labels.channels != 1:
        raise InputError(
            f"{masks} holds {labels.description}; masks are label images, with one whole number per pixel."
        )
    if labels.shape != source.shape:
        raise InputError(
            f"The masks {masks} are {labels.shape[1]} wide and {labels.shape[0]} high, but the frames are "
            f"{source.shape[1]} wide and {source.shape[0]} high; save both at the same size."
        )


def _frames_of_masks(frames: Path, masks: Path, length: int, count: int) -> tuple[int, ...]:
    """Return the frame of each mask."""
    if count == length:
        return tuple(range(length))
    if not (frames.is_dir() and masks.is_dir()):
        raise InputError(
            f"There are {length} frames in {frames}, but {count} masks in {masks}; give as many."
        )
    numbers = {path.stem: number for number, path in enumerate(images_in(frames))}
    found = []
    for path in images_in(masks):
        if path.stem not in numbers:
            raise InputError(
                f"The mask {path} has no frame: there are {length} frames but {count} masks, so each mask "
                f"must be called like its frame in {frames}."
            )
        found.append(numbers[path.stem])
    return tuple(found)
