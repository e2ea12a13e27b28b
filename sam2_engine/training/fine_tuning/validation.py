"""Validation on held-out frames: IoU after one click, and J of objects tracked from their masks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from sam2_engine.datasets import AnnotatedVideo
from sam2_engine.evaluation.metrics import mask_iou
from sam2_engine.image.predictor import ImagePredictor
from sam2_engine.masks import mask_center
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.video_session import VideoSession
from sam2_engine.wording import counted

__all__ = [
    "ClickedObjects",
    "Score",
    "click_objects",
    "improvement",
    "one_click_masks",
    "track_validation_frames",
    "validate",
    "validation_frames",
]

_MAX_FRAMES = 40
_MAX_OBJECTS = 24
_MAX_VIDEOS = 8
_PROMPTS_PER_BATCH = 8
_PLACES = 5
"""Clicks on each object, where a few objects are all that is held out."""

Mask = NDArray[np.bool_]
T = TypeVar("T")


@dataclass(frozen=True)
class Score:
    """Score of a model on validation frames.

    Attributes
    ----------
    one_click, tracked
        Mean IoU over objects of the mask that the model prefers after one click at the center; mean J
        of objects tracked from their masks on the last training frame. None: nothing to measure.
    frames, videos
        Validation frames, and videos that were tracked.
    objects
        Validation objects, where these are held out in the place of frames; else 0.
    """

    one_click: float | None
    tracked: float | None
    frames: int
    videos: int
    objects: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the score as it is written to files and JSON lines, where ``tracked`` is ``followed``."""
        values = asdict(self)
        return {"one_click": values.pop("one_click"), "followed": values.pop("tracked"), **values}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Score":
        """Return the score that :meth:`to_dict` gave these values for."""
        return cls(**{"tracked" if name == "followed" else name: value for name, value in values.items()})


def validate(
    model: Sam2,
    videos: Sequence[AnnotatedVideo],
    training: Sequence[Sequence[int]],
    validation: Sequence[Sequence[int]],
    progress: Callable[[int, int | None], None] = lambda done, total: None,
    *,
    by_objects: bool = False,
) -> Score:
    """Score a model on validation frames, at most 40 of them, evenly chosen, and 8 videos.

    A tile of a large plane counts as a frame, or as a video, of its own, but only towards these limits.

    Parameters
    ----------
    model
        The model; it is put into evaluation mode.
    videos, training, validation
        As from ``train_validation_split``.
    progress
        Called with frames and videos done, and all.
    by_objects
        Whether objects are held out, and not frames. As they are few, each is clicked on at five places.
    """
    model.eval()
    chosen = validation_frames(videos, validation)
    usable = _tracked_videos(videos, training, validation)
    total = len(chosen) + len(usable)
    one_click: list[float] = []
    objects = 0
    for number, (v, frame) in enumerate(chosen):
        progress(number, total)
        for place in range(_PLACES if by_objects else 1):
            ids, ground_truth, predicted = one_click_masks(model, videos[v], frame, place=place)
            one_click += [mask_iou(one, other) for one, other in zip(predicted, ground_truth, strict=True)]
        objects += len(ids) if by_objects else 0
    tracked: list[float] = []
    for number, v in enumerate(usable, start=len(chosen)):
        progress(number, total)
        tracked += track_validation_frames(model, videos[v], training[v][-1], validation[v][:_MAX_FRAMES])
    progress(total, total)
    wholes = [id(video.whole or video) for video in videos]
    frames = {(wholes[v], frame) for v, frame in chosen}
    return Score(_mean(one_click), _mean(tracked), len(frames), len({wholes[v] for v in usable}), objects)


def _tracked_videos(
    videos: Sequence[AnnotatedVideo],
    training: Sequence[Sequence[int]],
    validation: Sequence[Sequence[int]],
) -> list[int]:
    """Return at most 8 videos whose last training frame has an object, evenly chosen."""
    usable = [
        v
        for v, video in enumerate(videos)
        if validation[v] and training[v] and video.visible[training[v][-1]]
    ]
    return _evenly(usable, _MAX_VIDEOS)


def validation_frames(
    videos: Sequence[AnnotatedVideo], validation: Sequence[Sequence[int]]
) -> list[tuple[int, int]]:
    """Return at most 40 held-out frames with an object, evenly chosen, as (video, frame)."""
    frames = [(v, f) for v, chosen in enumerate(validation) for f in chosen if videos[v].visible[f]]
    return _evenly(frames, _MAX_FRAMES)


def _evenly(items: list[T], count: int) -> list[T]:
    return items[:: -(-len(items) // count)] if items else items


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


@torch.inference_mode()
def one_click_masks(
    model: Sam2, video: AnnotatedVideo, frame: int, max_objects: int = _MAX_OBJECTS, place: int = 0
) -> tuple[tuple[int, ...], Mask, Mask]:
    """Click once on each object of a frame, and take the mask that the model prefers; ``click_objects``.

    Returns
    -------
    ids
        At most ``max_objects``, evenly chosen.
    ground_truth, predicted
        (N, H, W) masks.
    """
    clicked = click_objects(model, video, frame, max_objects, place)
    return clicked.ids, clicked.ground_truth, clicked.logits > 0


@dataclass(frozen=True, eq=False)
class ClickedObjects:
    """What a model gives after one click at the center of each of N objects.

    Attributes
    ----------
    ids
        The objects.
    ground_truth, logits, predicted_iou
        (N, H, W) masks, (N, H, W) logits of the mask that the model prefers, and its (N,) predicted IoU.
    """

    ids: tuple[int, ...]
    ground_truth: Mask
    logits: NDArray[np.float32]
    predicted_iou: NDArray[np.float32]


@torch.inference_mode()
def click_objects(
    model: Sam2, video: AnnotatedVideo, frame: int, max_objects: int = _MAX_OBJECTS, place: int = 0
) -> ClickedObjects:
    """Click once on each object of a frame: at its center, or, at another ``place``, anywhere on it.

    Of at most ``max_objects``, evenly chosen.
    """
    annotation = video.annotation(frame)
    ids = tuple(_evenly(sorted(annotation.ids), max_objects))
    ground_truth = np.stack([annotation.mask(object_id) for object_id in ids])
    predictor = ImagePredictor(model)
    predictor.set_image(video.frames[frame], contrast=video.window)
    points = np.array([[_place(mask, place)] for mask in ground_truth], dtype=np.float32)
    logits, ious = [], []
    for start in range(0, len(ids), _PROMPTS_PER_BATCH):
        part = points[start : start + _PROMPTS_PER_BATCH]
        masks, scores, _ = predictor.predict(
            part,
            np.ones(part.shape[:2], np.int32),
            multimask_output=model.config.multimask_output_in_sam,
            return_logits=True,
        )
        scores = scores.reshape(len(part), -1)
        masks = masks.reshape(*scores.shape, *ground_truth.shape[1:])
        logits.append(masks[np.arange(len(part)), scores.argmax(1)])
        ious.append(scores.max(1))
    return ClickedObjects(ids, ground_truth, np.concatenate(logits), np.concatenate(ious))


def _place(mask: NDArray[np.bool_], number: int) -> tuple[int, int]:
    """Return the (x, y) of a click on a mask: its center, or a pixel that depends on the number alone."""
    if number == 0:
        return mask_center(mask)[0]
    rows, columns = np.nonzero(mask)
    chosen = int(np.random.default_rng(number).integers(len(rows)))
    return int(columns[chosen]), int(rows[chosen])


@torch.inference_mode()
def track_validation_frames(
    model: Sam2, video: AnnotatedVideo, start: int, validation: Sequence[int]
) -> list[float]:
    """Track objects from their masks on ``start``; the J of each on each validation frame."""
    annotation = video.annotation(start)
    ids = _evenly(sorted(annotation.ids), _MAX_OBJECTS)
    session = VideoSession(model, video.frames, contrast=video.window)
    for object_id in ids:
        session.add_mask(start, object_id, annotation.mask(object_id))
    frames, ious = set(validation), []
    for result in session.propagate(start=start, stop=max(validation)):
        if result.frame in frames:
            ground_truth = video.annotation(result.frame)
            for object_id, mask in zip(result.object_ids, result.masks, strict=True):
                if object_id not in ground_truth.unknown:
                    is_there = object_id in ground_truth.ids
                    ious.append(
                        mask_iou(mask, ground_truth.mask(object_id) if is_there else np.zeros_like(mask))
                    )
    return ious


def improvement(before: Score, after: Score) -> str:
    """Return in one line how much better the second score is."""
    parts = [
        f"{name} {one:.3f} -> {other:.3f} ({other - one:+.3f})"
        for name, one, other in (
            ("IoU after one click", before.one_click, after.one_click),
            ("J when tracked from a mask", before.tracked, after.tracked),
        )
        if one is not None and other is not None
    ]
    if not parts:
        return "Gain: not measured, because there is no frame to hold out."
    on = counted(after.objects or after.frames, f"held-out {'object' if after.objects else 'frame'}")
    return f"Gain on {on}: {', '.join(parts)}."
