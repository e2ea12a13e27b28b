"""Objects held out for validation, where there are too few frames to hold out whole ones."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sam2_engine.datasets import AnnotatedVideo
from sam2_engine.datasets.annotations import Annotation

__all__ = ["FEWEST_OBJECTS", "holds_out_objects", "split_objects"]

FEWEST_OBJECTS = 5
_MANY_OBJECTS = 20
"""With as many on several images, one of these shows better what was learned than single objects of all."""


class _SomeObjects(Annotation):
    """Some objects of an annotation; the others are there, and their masks are not told."""

    def __init__(self, whole: Annotation, ids: frozenset[int]) -> None:
        self._whole, self._ids = whole, ids & whole.ids
        self.unknown = whole.unknown | (whole.ids - ids)
        self.void = whole.void

    @property
    def shape(self) -> tuple[int, int] | None:
        return self._whole.shape

    @property
    def ids(self) -> frozenset[int]:
        return self._ids

    def mask(self, object_id: int) -> NDArray[np.bool_]:
        return self._whole.mask(object_id)


def holds_out_objects(videos: Sequence[AnnotatedVideo]) -> bool:
    """Whether objects are held out in the place of frames: of one image, or of several with few objects."""
    if any(len(video.visible) > 1 for video in videos):
        return False
    objects = sum(len(ids) for video in videos for ids in video.visible.values())
    return objects >= FEWEST_OBJECTS and (len(videos) == 1 or objects < _MANY_OBJECTS)


def split_objects(
    videos: Sequence[AnnotatedVideo],
) -> tuple[tuple[AnnotatedVideo, ...], list[list[int]], list[list[int]]]:
    """Split images into those that show the objects to train on, and those that show the held-out ones.

    Every third object is held out, of ten or more every fifth: from the second on, by their numbers.

    Returns
    -------
    videos, training, validation
        The images, and the frames of each for training and for validation.
    """
    objects = [(v, i) for v, video in enumerate(videos) for i in sorted(next(iter(video.visible.values())))]
    every = 3 if len(objects) < 10 else 5
    kept = [[i for n, (w, i) in enumerate(objects) if w == v and n % every != 1] for v in range(len(videos))]
    out = [[i for n, (w, i) in enumerate(objects) if w == v and n % every == 1] for v in range(len(videos))]
    parts, training, validation = [], list[list[int]](), list[list[int]]()
    for video, taught, held_out in zip(videos, kept, out, strict=True):
        frames = [*video.visible]
        for ids, is_training in ((taught, True), (held_out, False)):
            if ids:
                parts.append(_with_objects(video, frozenset(ids)))
                training.append(frames if is_training else [])
                validation.append([] if is_training else frames)
    return tuple(parts), training, validation


def _with_objects(video: AnnotatedVideo, ids: frozenset[int]) -> AnnotatedVideo:
    annotate = video.record.annotate
    record = replace(video.record, annotate=lambda frame: _SomeObjects(annotate(frame), ids))
    return AnnotatedVideo(record, {frame: there & ids for frame, there in video.visible.items()})
