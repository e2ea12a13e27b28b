"""Samples of each step: which frames of which video, and which of its objects."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sam2_engine.datasets import AnnotatedVideo
from sam2_engine.preprocessing import to_model_input
from sam2_engine.training.fine_tuning.augmentation import View, draw_view
from sam2_engine.training.fine_tuning.config import TrainingConfig
from sam2_engine.training.fine_tuning.interactive_training import ObjectsOfClip

__all__ = ["Clip", "ClipSampler", "input_pixels", "load_objects", "train_validation_split"]

_MIN_AREA = 20
_MAX_SHARE = 0.9


@dataclass(frozen=True)
class Clip:
    """Frames of a video, in the order in which they are propagated.

    Attributes
    ----------
    video, frames
        Which frames; a single one is an image.
    views
        Augmented view of each of them.
    candidates
        Ids of the objects to prompt, the preferred ones first.
    max_objects
        How many of them.
    keys
        Keys of the frames in these views in the feature cache; None if the views never recur.
    """

    video: AnnotatedVideo
    frames: tuple[int, ...]
    views: tuple[View, ...]
    candidates: tuple[int, ...]
    max_objects: int
    keys: tuple[str, ...] | None = None


class ClipSampler:
    """Draws the clips of a step from the step's number alone, so that a resumed run repeats them.

    Parameters
    ----------
    videos
        What to train on.
    frames
        The training frames of each, ascending.
    config
        Sizes and probabilities.
    """

    def __init__(
        self, videos: Sequence[AnnotatedVideo], frames: Sequence[Sequence[int]], config: TrainingConfig
    ) -> None:
        self.videos = videos
        self.frames = frames
        self.config = config
        self.images = [
            (v, i) for v, part in enumerate(frames) for i, f in enumerate(part) if videos[v].visible[f]
        ]
        self.starts = [(v, i) for v, i in self.images if len(frames[v]) > 1]

    @property
    def has_clips(self) -> bool:
        """Whether there are videos at all."""
        return bool(self.starts)

    def draw(self, step: int) -> list[Clip]:
        """Return the clips of a step: all of one frame, or all of several."""
        rng = np.random.default_rng([self.config.seed, step])
        as_clips = self.has_clips and rng.random() < self.config.clip_share
        draw = self._draw_clip if as_clips else self._draw_image
        return [
            draw(np.random.default_rng([self.config.seed, step, i])) for i in range(self.config.batch_size)
        ]

    def _draw_image(self, rng: np.random.Generator) -> Clip:
        number, index = self.images[int(rng.integers(len(self.images)))]
        return self._make_clip(rng, number, (self.frames[number][index],), self.config.image_objects)

    def _draw_clip(self, rng: np.random.Generator) -> Clip:
        """Take consecutive annotated frames, forwards or backwards, that begin where an object is visible."""
        number, index = self.starts[int(rng.integers(len(self.starts)))]
        frames, length = self.frames[number], self.config.clip_length
        after, before = frames[index : index + length], frames[max(0, index - length + 1) : index + 1][::-1]
        backwards = rng.random() < self.config.augmentation.reverse
        chosen = before if (backwards and len(before) > 1) or len(after) == 1 else after
        return self._make_clip(rng, number, tuple(chosen), self.config.clip_objects)

    def _make_clip(
        self, rng: np.random.Generator, number: int, frames: tuple[int, ...], max_objects: int
    ) -> Clip:
        video = self.videos[number]
        candidates = tuple(rng.permutation(sorted(video.visible[frames[0]])).tolist())
        if self.config.changes_encoder:
            seed = [int(value) for value in rng.integers(2**31, size=2)]
            views = self._views(number, frames, seed)
            return Clip(video, frames, tuple(views), candidates, max_objects)
        view = int(rng.integers(self.config.views))
        views = self._views(number, frames, [self.config.seed, number, view])
        keys = tuple(f"{number}-{frame}-{view}" for frame in frames)
        if view == 0:
            views = [View() for _ in frames]
        return Clip(video, frames, tuple(views), candidates, max_objects, keys)

    def _views(self, number: int, frames: Sequence[int], seed: list[int]) -> list[View]:
        is_video = len(self.frames[number]) > 1
        return draw_view(
            self.config.augmentation, np.random.default_rng(seed), [[*seed, f] for f in frames], is_video
        )


def input_pixels(clip: Clip, index: int, size: int) -> Tensor:
    """Read a frame of a clip as the model's input, (1, 3, size, size), in its view."""
    pixels = clip.video.frames[clip.frames[index]]
    return clip.views[index].pixels(to_model_input(pixels, clip.video.window, size))


def load_objects(clip: Clip, size: int) -> ObjectsOfClip | None:
    """Read the masks of a clip's objects at the size of the input, in the clip's views.

    Objects that are too small there, or nearly fill the first frame, are skipped; None if no object is left.
    """
    annotations = [clip.video.annotation(frame) for frame in clip.frames]
    chosen: list[int] = []
    masks: list[Tensor] = []
    for object_id in clip.candidates:
        first = _resized(annotations[0].mask(object_id), size)
        visible = clip.views[0].masks(first)
        if _MIN_AREA <= int(visible.sum()) <= _MAX_SHARE * size * size:
            by_frame = [visible]
            for annotation, view in zip(annotations[1:], clip.views[1:], strict=True):
                is_there = object_id in annotation.ids
                mask = _resized(annotation.mask(object_id), size) if is_there else torch.zeros_like(first)
                by_frame.append(view.masks(mask) if is_there else mask)
            chosen.append(object_id)
            masks.append(torch.cat(by_frame, 1))
        if len(chosen) == clip.max_objects:
            break
    if not chosen:
        return None
    known = torch.tensor([[i not in a.unknown for a in annotations] for i in chosen])
    return ObjectsOfClip(torch.cat(masks), known)


def _resized(mask: np.ndarray, size: int) -> Tensor:
    """Resize an (H, W) mask to (1, 1, size, size) bool as frames are resized."""
    pixels = torch.from_numpy(mask)[None, None].float()
    resized = F.interpolate(pixels, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return resized > 0.5


def train_validation_split(
    videos: Sequence[AnnotatedVideo],
) -> tuple[list[list[int]], list[list[int]]]:
    """Split the annotated frames of videos into those for training and those for validation.

    Of a video the last fifth of its annotated frames is for validation, of images every tenth (the second,
    the twelfth, ...). A single frame is for training.

    Returns
    -------
    training, validation
        Frames per video, ascending.
    """
    annotated: list[list[int]] = [list(video.visible) for video in videos]
    images = [v for v, frames in enumerate(annotated) if len(frames) == 1]
    validation_images = {v for i, v in enumerate(images) if i % 10 == 1}
    training, validation = [], []
    for v, frames in enumerate(annotated):
        count = -(-len(frames) // 5) if len(frames) > 1 else int(v in validation_images)
        training.append(frames[: len(frames) - count])
        validation.append(frames[len(frames) - count :])
    return training, validation
