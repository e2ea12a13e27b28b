"""Sequence of frames with the ground truth masks of their objects, read by ``sam2_engine.datasets``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_engine.datasets import AnnotatedData, VideoRecord, pair_video, pair_videos
from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource
from sam2_engine.masks import PackedMask

__all__ = [
    "LabeledSequence",
    "MasksByObject",
    "labeled_sequences",
    "pack_labels",
    "read_sequence",
    "read_sequences",
]

MasksByObject = dict[int, dict[int, PackedMask]]
"""Masks by object id and frame; a frame that is missing is an empty mask."""


@dataclass(frozen=True)
class LabeledSequence:
    """A video, time-lapse, volume or series of images, and the ground truth.

    Attributes
    ----------
    name
        Name for users.
    frames
        The frames.
    ground_truth
        The objects' masks, none of them empty.
    annotated
        Frames whose masks are known, ascending; on these an object that is neither in ``ground_truth`` nor
        unknown is absent.
    unknown
        By frame: the objects that are there, but whose mask is not known; they are not scored on it.
    void
        By frame: pixels of which nobody knows what they are; they are not scored.
    """

    name: str
    frames: FrameSource
    ground_truth: MasksByObject
    annotated: tuple[int, ...]
    unknown: Mapping[int, frozenset[int]] = field(default_factory=dict)
    void: Mapping[int, PackedMask] = field(default_factory=dict)

    def first_frame(self, object_id: int) -> int:
        """Return the first frame on which an object is visible."""
        return min(self.ground_truth[object_id])

    def known_frames(self, object_id: int) -> list[int]:
        """Return the annotated frames on which an object's mask, or its absence, is known."""
        return [frame for frame in self.annotated if object_id not in self.unknown.get(frame, ())]

    def mask(self, object_id: int, frame: int) -> NDArray[np.bool_]:
        """Return the ground truth (H, W) mask."""
        return unpacked(self.ground_truth, object_id, frame, self.frames.shape)

    def without_void(self, mask: NDArray[np.bool_], frame: int) -> NDArray[np.bool_]:
        """Return a predicted (H, W) mask without the pixels that are not scored, as DAVIS does."""
        void = self.void_on(frame)
        return mask if void is None else mask & ~void

    def void_on(self, frame: int) -> NDArray[np.bool_] | None:
        """Return the (H, W) pixels that are not scored, None if all are."""
        return self.void[frame].to_array() if frame in self.void else None


def unpacked(masks: MasksByObject, object_id: int, frame: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return one (H, W) mask, empty if there is none."""
    packed = masks.get(object_id, {}).get(frame)
    return np.zeros(shape, bool) if packed is None else packed.to_array()


def pack_labels(labels: NDArray[Any], frame: int, masks: MasksByObject) -> None:
    """Add the objects of an (H, W) label image, 0 is background, to ``masks``."""
    for value in np.unique(labels[labels > 0]).tolist():
        mask = labels == value
        masks.setdefault(int(value), {})[frame] = PackedMask.from_array(mask)


def labeled_sequences(data: AnnotatedData) -> list[LabeledSequence]:
    """Read the masks of a data set; videos and images without any object are left out.

    ``data`` may be closed then: each sequence opens frames of its own.
    """
    visible = [video for video in data.videos if any(video.visible.values())]
    return [_read(video.record, video.visible) for video in visible]


def read_sequences(frames: Path, masks: Path, **reading: Any) -> list[LabeledSequence]:
    """Read what ``pair_videos`` finds, without leaving anything out.

    Raises
    ------
    InputError
        As ``pair_videos``; if a mask cannot be read; or if a sequence holds no object.
    """
    return [_read_complete(record, masks) for record in pair_videos(frames, masks, **reading)]


def read_sequence(frames: Path, masks: Path, **reading: Any) -> LabeledSequence:
    """Read what ``pair_video`` finds; parameters and errors as for ``read_sequences``."""
    return _read_complete(pair_video(frames, masks, **reading), masks)


def _read_complete(record: VideoRecord, masks: Path) -> LabeledSequence:
    try:
        sequence = _read(record, record.annotated)
    finally:
        record.close()
    if not sequence.ground_truth:
        sequence.frames.close()
        raise InputError(f"There is no object in {masks}: all labels are 0, the background.")
    return sequence


def _read(record: VideoRecord, annotated: Iterable[int]) -> LabeledSequence:
    """Read the masks, and open the frames."""
    ground_truth: MasksByObject = {}
    unknown: dict[int, frozenset[int]] = {}
    void: dict[int, PackedMask] = {}
    for frame in annotated:
        annotation = record.annotate(frame)
        for object_id in annotation.ids:
            mask = annotation.mask(object_id)
            ground_truth.setdefault(object_id, {})[frame] = PackedMask.from_array(mask)
        if annotation.unknown:
            unknown[frame] = annotation.unknown
        if annotation.void is not None:
            void[frame] = PackedMask.from_array(annotation.void)
    return LabeledSequence(
        record.name, record.open(), dict(sorted(ground_truth.items())), tuple(annotated), unknown, void
    )
