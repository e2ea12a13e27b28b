"""Padded view of an image that is not square: where it lies in the model's square input."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.sam2 import LOGIT_CLAMP, MaskPrediction

__all__ = ["PaddedView"]


@dataclass(frozen=True)
class PaddedView:
    """The input of a model that keeps the aspect ratio, of which an image fills the upper left part.

    Attributes
    ----------
    shares
        (2,) parts of the input's width and height that the image fills.

    Examples
    --------
    >>> from sam2_engine.modeling.config import VARIANTS
    >>> padding = replace(VARIANTS["nano"], keeps_aspect_ratio=True)
    >>> PaddedView.of(padding, (300, 400)).points(torch.tensor([[512.0, 512.0]])).tolist()
    [[512.0, 384.0]]
    >>> PaddedView.of(padding, (400, 400)) is PaddedView.of(VARIANTS["nano"], (300, 400)) is None
    True
    """

    shares: tuple[float, float]

    @classmethod
    def of(cls, config: ModelConfig, shape: tuple[int, int]) -> "PaddedView | None":
        """Return the view of an (H, W) image; None if the image fills it."""
        height, width = config.extent(shape)
        return None if (height, width) == shape else cls((shape[1] / width, shape[0] / height))

    def points(self, points: Tensor) -> Tensor:
        """Map (..., 2) points of an input that the image fills to those of the view."""
        return points * torch.tensor(self.shares, dtype=points.dtype, device=points.device)

    def narrow(self, prediction: MaskPrediction) -> MaskPrediction:
        """Cut masks down to the image, at the same size."""
        logits = _sampled(prediction.low_res_logits.float(), self.shares, "border")
        return replace(prediction, low_res_logits=logits)

    def widen(self, logits: Tensor) -> Tensor:
        """Return low-resolution logits (N, 1, 4 G, 4 G) of the image as those of the view, empty beyond."""
        raised = logits.float() + LOGIT_CLAMP  # beyond is 0, the lowest
        return _sampled(raised, (1 / self.shares[0], 1 / self.shares[1]), "zeros") - LOGIT_CLAMP


def _sampled(logits: Tensor, shares: tuple[float, float], beyond: str) -> Tensor:
    """Return (N, M, h, w) logits sampled anew: all of the result is a part of them, from the upper left."""
    height, width = logits.shape[-2:]
    x, y = (
        (torch.arange(side, device=logits.device, dtype=torch.float32) + 0.5) / side * share * 2 - 1
        for side, share in zip((width, height), shares)
    )
    grid = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=-1)
    places = grid.expand(len(logits), height, width, 2)
    return F.grid_sample(logits, places, mode="bilinear", padding_mode=beyond, align_corners=False)
