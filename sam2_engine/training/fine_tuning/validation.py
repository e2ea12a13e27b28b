"""How well a model does on frames that it did not learn: by one click, and following from masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from sam2_engine.datasets import AnnotatedVideo
from sam2_engine.evaluation.metrics import mask_iou
from sam2_engine.image.predictor import ImagePredictor
from sam2_engine.masks import mask_center
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.session import VideoSession
from sam2_engine.wording import counted

__all__ = ["Score", "improvement", "measure", "one_click_masks", "track_held_out"]

_MAX_FRAMES = 40
_MAX_OBJECTS = 24
_MAX_FOLLOWED = 8
_AT_ONCE = 8

Mask = NDArray[np.bool_]
T = TypeVar("T")


@dataclass(frozen=True)
class Score:
    """How well a model did.

    Attributes
    ----------
    one_click, followed
        Mean IoU over objects of the mask that the model prefers after one click at the center; mean J
        of objects followed from their true masks on the last learned frame. None: nothing to measure.
    frames, videos
        Held-out frames, and videos that were followed.
    """

    one_click: float | None
    followed: float | None
    frames: int
    videos: int


def measure(
    model: Sam2,
    videos: Sequence[AnnotatedVideo],
    learned: Sequence[Sequence[int]],
    held: Sequence[Sequence[int]],
) -> Score:
    """Measure a model on held-out frames, at most 40 of them, evenly chosen, and 8 videos.

    A tile of a large plane counts as a frame, or as a video, of its own, but only towards these limits.

    Parameters
    ----------
    model
        The model; it is put into evaluation mode.
    videos, learned, held
        As from ``held_out_split``.
    """
    model.eval()
    places = [(v, f) for v, frames in enumerate(held) for f in frames if videos[v].visible[f]]
    places = _evenly(places, _MAX_FRAMES)
    clicked: list[float] = []
    for v, frame in places:
        _, truth, found = one_click_masks(model, videos[v], frame)
        clicked += [mask_iou(one, other) for one, other in zip(found, truth, strict=True)]
    followed: list[float] = []
    tracks = [v for v in range(len(videos)) if held[v] and learned[v] and videos[v].visible[learned[v][-1]]]
    tracks = _evenly(tracks, _MAX_FOLLOWED)
    for v in tracks:
        followed += track_held_out(model, videos[v], learned[v][-1], held[v][:_MAX_FRAMES])
    wholes = [id(video.whole or video) for video in videos]
    frames = {(wholes[v], frame) for v, frame in places}
    return Score(_mean(clicked), _mean(followed), len(frames), len({wholes[v] for v in tracks}))


def _evenly(items: list[T], count: int) -> list[T]:
    return items[:: -(-len(items) // count)] if items else items


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


@torch.inference_mode()
def one_click_masks(
    model: Sam2, video: AnnotatedVideo, frame: int, max_objects: int = _MAX_OBJECTS
) -> tuple[tuple[int, ...], Mask, Mask]:
    """Click at the center of each object of a frame, and take the mask that the model prefers.

    Returns
    -------
    ids
        At most ``max_objects``, evenly chosen.
    truth, found
        (N, H, W) masks.
    """
    annotation = video.annotation(frame)
    ids = tuple(_evenly(sorted(annotation.ids), max_objects))
    truth = np.stack([annotation.mask(object_id) for object_id in ids])
    predictor = ImagePredictor(model)
    predictor.set_image(video.frames[frame], contrast=video.window)
    points = np.array([[mask_center(mask)[0]] for mask in truth], dtype=np.float32)
    found = []
    for start in range(0, len(ids), _AT_ONCE):
        part = points[start : start + _AT_ONCE]
        masks, scores, _ = predictor.predict(
            part, np.ones(part.shape[:2], np.int32), multimask_output=model.config.multimask_output_in_sam
        )
        scores = scores.reshape(len(part), -1)
        masks = masks.reshape(*scores.shape, *truth.shape[1:])
        found.append(masks[np.arange(len(part)), scores.argmax(1)].astype(bool))
    return ids, truth, np.concatenate(found)


@torch.inference_mode()
def track_held_out(model: Sam2, video: AnnotatedVideo, start: int, held: Sequence[int]) -> list[float]:
    """Follow objects from their true masks on ``start``; the J of each on each held-out frame."""
    annotation = video.annotation(start)
    ids = _evenly(sorted(annotation.ids), _MAX_OBJECTS)
    session = VideoSession(model, video.frames, contrast=video.window)
    for object_id in ids:
        session.add_mask(start, object_id, annotation.mask(object_id))
    wanted, ious = set(held), []
    for result in session.propagate(start=start, stop=max(held)):
        if result.frame in wanted:
            truth = video.annotation(result.frame)
            for object_id, mask in zip(result.object_ids, result.masks, strict=True):
                if object_id not in truth.unknown:
                    there = object_id in truth.ids
                    ious.append(mask_iou(mask, truth.mask(object_id) if there else np.zeros_like(mask)))
    return ious


def improvement(before: Score, after: Score) -> str:
    """Say in one line how much was gained."""
    parts = [
        f"{name} {one:.3f} -> {other:.3f} ({other - one:+.3f})"
        for name, one, other in (
            ("IoU after one click", before.one_click, after.one_click),
            ("J when followed from a mask", before.followed, after.followed),
        )
        if one is not None and other is not None
    ]
    if not parts:
        return "Gain: not measured, because there is no frame to hold out."
    return f"Gain on {counted(after.frames, 'held-out frame')}: {', '.join(parts)}."
