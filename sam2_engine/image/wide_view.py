"""Wider view of an image, in which an object too large for the model has a size that it was taught."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, pad

from sam2_engine.feature_cache import FeatureCache, feature_key
from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.sam2 import LOGIT_CLAMP, MASK_STRIDE, ImageFeatures, MaskPrediction, Sam2
from sam2_engine.preprocessing import IntensityWindow, Region, to_model_input

__all__ = ["EncodedPrompt", "WideView", "encode_wide", "predict_in_views"]

_SURE, _MUCH_SURER = 0.9, 0.3
"""The mask of a clicked large object stays that of the usual view if its predicted IoU is as high as the
first, or, also with a box, higher than in the wider view by the second: it is often too high.
"""
_SURELY_LARGE = 1.4
"""A box this many times as large as a large object is seen in the wider view, however sure the usual one."""
_CELLS = 2 * MASK_STRIDE
"""The image's side in the view is a multiple of this, so that its mask is whole cells around the center."""


@dataclass(frozen=True)
class WideView:
    """A view that shows more than the image, which fills ``inner`` of its ``image_size`` pixels each way.

    Around the image it shows what lies there, where the image is a part of a plane; beyond the plane the
    median color of the edge. (The edge's own pixels, drawn out or mirrored, make an object that reaches
    the edge larger still.)

    Examples
    --------
    >>> from sam2_engine.modeling.config import VARIANTS
    >>> view = WideView.of(VARIANTS["nano"])
    >>> view.image_size, view.inner, view.margin
    (512, 168, 172)
    >>> view.points(torch.tensor([[0.0, 512.0]])).tolist()
    [[172.0, 340.0]]
    """

    image_size: int
    inner: int

    @classmethod
    def of(cls, config: ModelConfig) -> "WideView | None":
        """Return the view of a model; None if it has none."""
        if config.wide_view <= 1 or config.keeps_aspect_ratio:
            return None
        inner = round(config.image_size / config.wide_view / _CELLS) * _CELLS
        return cls(config.image_size, min(max(inner, _CELLS), config.image_size))

    @property
    def margin(self) -> int:
        """Input pixels on each side of the image."""
        return (self.image_size - self.inner) // 2

    def pixels(self, plane: NDArray[Any], window: IntensityWindow | None, region: Region | None) -> Tensor:
        """Return the model's input (1, 3, S, S) around a region of an (H, W[, C]) plane, or all of it."""
        height, width = plane.shape[:2]
        x0, y0, x1, y1 = region or (0, 0, width, height)
        left, right = self._beside(x1 - x0, x0), self._beside(x1 - x0, width - x1)
        top, bottom = self._beside(y1 - y0, y0), self._beside(y1 - y0, height - y1)
        part = plane[y0 - top[0] : y1 + bottom[0], x0 - left[0] : x1 + right[0]]
        size = (self.inner + top[1] + bottom[1], self.inner + left[1] + right[1])
        inputs = to_model_input(part, window, size)
        edges = (inputs[..., 0], inputs[..., -1], inputs[..., 0, :], inputs[..., -1, :])
        color = torch.cat(edges, dim=-1).median(dim=-1).values[..., None, None]
        around = [self.margin - shown for _, shown in (left, right, top, bottom)]
        return pad(inputs - color, around) + color

    def _beside(self, side: int, available: int) -> tuple[int, int]:
        """Return pixels of the plane on one side of a region, and how many input pixels they become."""
        reach = min(available, round(self.margin * side / self.inner))
        return reach, min(self.margin, round(reach * self.inner / side))

    def points(self, points: Tensor) -> Tensor:
        """Map (..., 2) points in input pixels of the image to those of the view."""
        return points * (self.inner / self.image_size) + self.margin

    def narrow(self, logits: Tensor) -> Tensor:
        """Cut low-resolution logits (N, M, 4 G, 4 G) of the view down to the image, at the same size."""
        start, side = self.margin // MASK_STRIDE, self.inner // MASK_STRIDE
        inside = logits[..., start : start + side, start : start + side]
        size = (logits.shape[-2], logits.shape[-1])
        return interpolate(inside.float(), size=size, mode="bilinear", align_corners=False)

    def widen(self, logits: Tensor) -> Tensor:
        """Return low-resolution logits (N, 1, 4 G, 4 G) of the image as those of the view, empty around."""
        side = self.inner // MASK_STRIDE
        inside = interpolate(
            logits.float(), size=(side, side), mode="bilinear", align_corners=False, antialias=True
        )
        return pad(inside, [self.margin // MASK_STRIDE] * 4, value=-LOGIT_CLAMP)


@dataclass(frozen=True)
class EncodedPrompt:
    """Prompts of N objects as the model takes them.

    Attributes
    ----------
    points, labels, mask_logits, multimask
        As for ``Sam2.predict_masks``.
    """

    points: Tensor | None
    labels: Tensor | None
    mask_logits: Tensor | None
    multimask: bool

    def predict(self, model: Sam2, embedding: Tensor, high_res: tuple[Tensor, ...]) -> MaskPrediction:
        """Return the masks on an embedding, with or without memory."""
        return model.predict_masks(
            embedding,
            high_res,
            points=self.points,
            labels=self.labels,
            mask_logits=self.mask_logits,
            multimask=self.multimask,
        )

    def in_view(self, view: WideView, rows: Tensor) -> "EncodedPrompt":
        """Return the prompts of some objects in the wider view."""
        return EncodedPrompt(
            None if self.points is None else view.points(self.points[rows]),
            None if self.labels is None else self.labels[rows],
            None if self.mask_logits is None else view.widen(self.mask_logits[rows]),
            self.multimask,
        )

    def box_shares(self, image_size: int) -> Tensor | None:
        """Return (N,): which part of the image the boxes cover; None without boxes."""
        if self.points is None or self.labels is None or not (self.labels[:, 0] == 2).all():
            return None
        sides = (self.points[:, 1] - self.points[:, 0]) / image_size
        return sides[:, 0] * sides[:, 1]


def encode_wide(
    model: Sam2,
    cache: FeatureCache,
    plane: NDArray[Any],
    window: IntensityWindow | None,
    region: Region | None = None,
) -> ImageFeatures:
    """Return the wider view of a plane, or of a region of it, encoded or from the cache."""
    view = WideView.of(model.config)
    assert view is not None, "the model has no wider view"

    def encode() -> ImageFeatures:
        with model.autocast():
            return model.encode_image(view.pixels(plane, window, region).to(model.device))

    key = feature_key(model, plane, window, region, view, hashed=cache.hashed(plane))
    return cache.get_or_encode(key, model, encode)


def predict_in_views(
    model: Sam2,
    features: ImageFeatures,
    wide_features: Callable[[], ImageFeatures],
    prompt: EncodedPrompt,
    least_share: float = 0.0,
) -> MaskPrediction:
    """Predict masks on an image, those of large objects in a wider view.

    What is large, a box says, or the mask that clicks give, unless it is sure. Clicks on a large object often
    give pieces of it, with a low predicted IoU: such are predicted in the wider view too, and the surer mask
    counts unless the object is small there.

    Parameters
    ----------
    model
        Its configuration says whether it has a wider view, and which objects are large.
    features
        The image, encoded.
    wide_features
        Called for the wider view, encoded, if it is needed.
    prompt
        Of N objects.
    least_share
        What covers less of the image is not taken for a piece of a large object: for clicks that nobody made
        on one.
    """
    near = prompt.predict(model, model.without_memory(features.embedding), features.high_res)
    view = WideView.of(model.config)
    if view is None:
        return near
    boxes = prompt.box_shares(model.image_size)
    rows = (_in_doubt(near, boxes, model.config) & (_shares(near) >= least_share)).nonzero()[:, 0]
    if not len(rows):
        return near
    encoded = wide_features()
    far = prompt.in_view(view, rows).predict(model, model.without_memory(encoded.embedding), encoded.high_res)
    far = MaskPrediction(view.narrow(far.low_res_logits), far.iou, far.presence_logit, far.tokens)
    margin = torch.zeros_like(far.iou[:, 0])
    chosen = torch.ones_like(margin, dtype=torch.bool)
    if boxes is None:
        margin[_shares(near)[rows] > model.config.large_object] = _MUCH_SURER
        chosen = _shares(far) > model.config.large_object / 3
    else:
        margin += _MUCH_SURER
    chosen &= far.iou.amax(1) > near.iou[rows].amax(1) - margin
    return _replaced(near, rows[chosen], far, chosen)


def _in_doubt(near: MaskPrediction, boxes: Tensor | None, config: ModelConfig) -> Tensor:
    """Return (N,) bool: which objects are predicted in the wider view too."""
    iou, large = near.iou.amax(1), _shares(near) > config.large_object
    if boxes is None:
        return (large & (iou < _SURE)) | (iou < config.doubtful_iou)
    large |= boxes > config.large_object
    return (large & (iou < _SURE)) | (boxes > _SURELY_LARGE * config.large_object)


def _shares(prediction: MaskPrediction) -> Tensor:
    """Return (N,): which part of the image the best mask of each object covers."""
    return (prediction.best().low_res_logits > 0).float().mean((1, 2, 3))


def _replaced(near: MaskPrediction, rows: Tensor, far: MaskPrediction, chosen: Tensor) -> MaskPrediction:
    """Return a prediction in which some rows are the chosen ones of another."""
    parts = []
    for old, new in (
        (near.low_res_logits, far.low_res_logits),
        (near.iou, far.iou),
        (near.presence_logit, far.presence_logit),
        (near.tokens, far.tokens),
    ):
        replaced = old.clone()
        replaced[rows] = new[chosen].to(old.dtype)
        parts.append(replaced)
    return MaskPrediction(*parts)
