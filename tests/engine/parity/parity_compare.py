"""Run our engine on a parity case, and measure how far its answer is from another package's."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from parity_cases import IMAGE_CASES, ImageCase, Prompt, Track, VideoCase, draw_frames, rectangle
from seeded_weights import PRESENCE_BIAS, draw_weights

from sam2_engine.feature_cache import FeatureCache
from sam2_engine.image.predictor import ImagePredictor
from sam2_engine.modeling.config import VARIANTS
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.video_session import VideoSession

RELATIVE = 2e-4
"""Largest allowed difference of low-resolution logits, as a share of the largest logit of the same mask."""
IOU = 0.9995
"""Smallest allowed overlap of a mask with the other package's, at the size of the frame."""
HISTORY = 1 << 30
NO_OBJECT = -1024.0


@dataclass(frozen=True)
class Answer:
    """What a package says about a number of masks.

    Attributes
    ----------
    logits
        (..., h, w) low-resolution logits, possibly thinned out.
    peak
        (...) largest magnitude of each mask's logits, before thinning.
    masks
        (..., H, W) bool at the size of the frame.
    scores
        (...) presence (0..1) in videos, predicted IoU on images.
    """

    logits: NDArray[np.float32]
    peak: NDArray[np.float32]
    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Difference:
    """How far two answers are apart, at the worst of their masks."""

    relative: float
    score: float
    iou: float
    same_absent: bool

    @property
    def small(self) -> bool:
        return self.relative <= RELATIVE and self.score <= RELATIVE and self.iou >= IOU and self.same_absent


def difference(ours: Answer, theirs: Answer) -> Difference:
    """Compare two answers; frames without the object count by being the same ones."""
    assert ours.logits.shape == theirs.logits.shape
    assert ours.masks.shape == theirs.masks.shape
    our_absent, their_absent = ours.peak == -NO_OBJECT, theirs.peak == -NO_OBJECT
    present = ~(our_absent | their_absent)
    apart = np.abs(ours.logits - theirs.logits).max(axis=(-2, -1))
    union = (ours.masks | theirs.masks).sum((-2, -1))
    overlap = np.where(union == 0, 1.0, (ours.masks & theirs.masks).sum((-2, -1)) / np.maximum(union, 1))
    return Difference(
        relative=float((apart / theirs.peak)[present].max(initial=0.0)),
        score=float(np.abs(ours.scores - theirs.scores).max()),
        iou=float(overlap.min()),
        same_absent=bool((our_absent == their_absent).all()),
    )


def peak_of(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    peak: NDArray[np.float32] = np.abs(logits).max(axis=(-2, -1))
    return peak


@lru_cache(maxsize=1)
def _drawn_model(variant: str, image_size: int) -> tuple[Sam2, FeatureCache]:
    with torch.device("meta"):
        model = Sam2(VARIANTS[variant].with_image_size(image_size))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    model.load_state_dict(draw_weights(shapes), assign=True)
    return model.eval().requires_grad_(False), FeatureCache()


def seeded_model(variant: str, image_size: int, presence_bias: float = 6.0) -> tuple[Sam2, FeatureCache]:
    """Build our model with the weights that every package gets, and a cache for its encoded frames."""
    model, cache = _drawn_model(variant, image_size)
    model.state_dict()[PRESENCE_BIAS].fill_(presence_bias)
    return model, cache


def our_video(
    model: Sam2, case: VideoCase, cache: FeatureCache | None = None
) -> Iterator[tuple[str, tuple[int, ...], Answer]]:
    """Play a case in a session: name, object ids and answer of each propagation, (T, N, ...)."""
    session = VideoSession(model, draw_frames(case.glare), cache=cache, history=HISTORY)
    names = iter(case.passes())
    for step in case.steps:
        if isinstance(step, Prompt):
            _prompt(session, step)
        else:
            key, _ = next(names)
            yield key, *_track(session, step)


def _prompt(session: VideoSession, step: Prompt) -> None:
    if step.mask is not None:
        session.add_mask(step.frame, step.object_id, rectangle(*step.mask))
    elif step.points:
        session.add_points(step.frame, step.object_id, step.points, step.labels, box=step.box)
    else:
        assert step.box is not None
        session.add_box(step.frame, step.object_id, step.box)


def _track(session: VideoSession, step: Track) -> tuple[tuple[int, ...], Answer]:
    results = list(session.propagate(start=step.start, stop=step.stop, reverse=step.reverse))
    frames = range(step.start, step.stop + (-1 if step.reverse else 1), -1 if step.reverse else 1)
    assert [result.frame for result in results] == list(frames)
    logits = np.stack([result.low_res_logits for result in results])
    # The official package answers with what the model sees of a given mask, and not with the mask.
    masks = np.stack([replace(result, given_masks=()).masks for result in results])
    presence = np.stack([result.presence for result in results])
    return results[0].object_ids, Answer(logits, peak_of(logits), masks, presence)


def our_images(model: Sam2, cases: Iterable[ImageCase] = IMAGE_CASES) -> Iterator[tuple[str, Answer]]:
    """Run image cases on the first frame."""
    predictor = ImagePredictor(model)
    predictor.set_image(draw_frames(length=1)[0])
    low_res: dict[str | None, NDArray[np.float32]] = {}
    for case in cases:
        # What is asked of it here may be of no use, as clicks outside alone, which predict() refuses.
        masks, iou, logits = predictor._predict(
            0,
            point_coords=case.points,
            point_labels=case.labels,
            box=case.box,
            mask_input=low_res.get(case.mask_from),
            multimask_output=case.multimask,
            return_logits=False,
        )
        low_res[case.name] = logits
        yield case.name, Answer(logits, peak_of(logits), masks, iou)
