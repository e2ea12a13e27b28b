"""What is learned at each step: which frames of which video, and which of its objects."""

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

__all__ = ["Clip", "ClipSampler", "held_out_split", "input_pixels", "load_objects"]

_SMALLEST_AREA = 20
_LARGEST_SHARE = 0.9


@dataclass(frozen=True)
class Clip:
    """Some frames of a video, in the order in which they are learned.

    Attributes
    ----------
    video, frames
        Which frames; a single one is a picture.
    views
        How each of them is looked at.
    candidates
        Ids of the objects to ask for, the preferred ones first.
    max_objects
        How many of them.
    keys
        Names of the frames in their views, the same whenever they are seen so; None if they never
        come back.
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
        What to learn from.
    frames
        The annotated frames of each that may be learned, ascending.
    config
        Sizes and probabilities.
    """

    def __init__(
        self, videos: Sequence[AnnotatedVideo], frames: Sequence[Sequence[int]], config: TrainingConfig
    ) -> None:
        self.videos = videos
        self.frames = frames
        self.config = config
        self.pictures = [
            (v, i) for v, part in enumerate(frames) for i, f in enumerate(part) if videos[v].visible[f]
        ]
        self.starts = [(v, i) for v, i in self.pictures if len(frames[v]) > 1]

    @property
    def has_clips(self) -> bool:
        """Whether there are videos at all."""
        return bool(self.starts)

    def draw(self, step: int) -> list[Clip]:
        """Return the clips of a step: all of one frame, or all of several."""
        rng = np.random.default_rng([self.config.seed, step])
        as_clips = self.has_clips and rng.random() < self.config.clip_share
        draw = self._clip if as_clips else self._picture
        return [
            draw(np.random.default_rng([self.config.seed, step, i])) for i in range(self.config.batch_size)
        ]

    def _picture(self, rng: np.random.Generator) -> Clip:
        number, place = self.pictures[int(rng.integers(len(self.pictures)))]
        return self._made(rng, number, (self.frames[number][place],), self.config.image_objects)

    def _clip(self, rng: np.random.Generator) -> Clip:
        """Take consecutive annotated frames, forwards or backwards, that begin where an object is seen."""
        number, place = self.starts[int(rng.integers(len(self.starts)))]
        frames, length = self.frames[number], self.config.clip_length
        after, before = frames[place : place + length], frames[max(0, place - length + 1) : place + 1][::-1]
        backwards = rng.random() < self.config.augmentation.reverse
        chosen = before if (backwards and len(before) > 1) or len(after) == 1 else after
        return self._made(rng, number, tuple(chosen), self.config.clip_objects)

    def _made(self, rng: np.random.Generator, number: int, frames: tuple[int, ...], max_objects: int) -> Clip:
        video = self.videos[number]
        candidates = tuple(rng.permutation(sorted(video.visible[frames[0]])).tolist())
        if self.config.train_image_encoder:
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


def input_pixels(clip: Clip, place: int, size: int) -> Tensor:
    """Read a frame of a clip as the model's input, (1, 3, size, size), in its view."""
    pixels = clip.video.frames[clip.frames[place]]
    return clip.views[place].pixels(to_model_input(pixels, clip.video.window, size))


def load_objects(clip: Clip, size: int) -> ObjectsOfClip | None:
    """Read the masks of a clip's objects at the size of the input, in the clip's views.

    Objects that are too small to be seen there, or nearly fill the first frame, are passed over; None if
    no object is left.
    """
    annotations = [clip.video.annotation(frame) for frame in clip.frames]
    chosen: list[int] = []
    masks: list[Tensor] = []
    for object_id in clip.candidates:
        first = _resized(annotations[0].mask(object_id), size)
        seen = clip.views[0].masks(first)
        if _SMALLEST_AREA <= int(seen.sum()) <= _LARGEST_SHARE * size * size:
            through = [seen]
            for annotation, view in zip(annotations[1:], clip.views[1:], strict=True):
                there = object_id in annotation.ids
                mask = _resized(annotation.mask(object_id), size) if there else torch.zeros_like(first)
                through.append(view.masks(mask) if there else mask)
            chosen.append(object_id)
            masks.append(torch.cat(through, 1))
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


def held_out_split(
    videos: Sequence[AnnotatedVideo],
) -> tuple[list[list[int]], list[list[int]]]:
    """Part the annotated frames of videos into those to learn and those to measure by.

    Of a video the last fifth of its annotated frames is held out, of pictures every tenth (the second, the
    twelfth, ...). A single frame is learned.

    Returns
    -------
    learned, held
        Frames per video, ascending.
    """
    everything: list[list[int]] = [list(video.visible) for video in videos]
    pictures = [v for v, frames in enumerate(everything) if len(frames) == 1]
    apart = {v for i, v in enumerate(pictures) if i % 10 == 1}
    learned, held = [], []
    for v, frames in enumerate(everything):
        count = -(-len(frames) // 5) if len(frames) > 1 else int(v in apart)
        learned.append(frames[: len(frames) - count])
        held.append(frames[len(frames) - count :])
    return learned, held
