"""Image encoder: a trunk, and the neck that its levels take (paper section 4, "Image encoder")."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.derived_weights import computed_in, derived
from sam2_engine.modeling.hiera import Hiera
from sam2_engine.modeling.layers import Conv2d, LayerNorm2d
from sam2_engine.modeling.relatives.repvit import RepVit
from sam2_engine.modeling.relatives.vit import Vit

__all__ = ["TRUNKS", "FeaturePyramid", "ImageEncoder", "OneLevelNeck"]

TRUNKS: dict[str, Callable[[ModelConfig], nn.Module]] = {"hiera": Hiera, "vit": Vit, "repvit": RepVit}
"""Trunks by the names that configurations give them; each makes one feature map per stage, finest first."""


class LateralConv(nn.Module):
    """A 1 x 1 convolution, wrapped as the checkpoints name it."""

    def __init__(self, channels: int, hidden_dim: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, hidden_dim, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, hidden_dim, H, W)."""
        result: Tensor = self.conv(x)
        return result


class FeaturePyramid(nn.Module):
    """Lateral projections to ``hidden_dim`` channels; the stride-32 level is added into stride 16 only.

    The two finest levels are projected once more, each by a 1 x 1 convolution of the mask decoder.
    """

    def __init__(self, stage_dims: tuple[int, ...], hidden_dim: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(LateralConv(channels, hidden_dim) for channels in reversed(stage_dims))

    def forward(
        self, features: list[Tensor], conv_s0: nn.Conv2d | None = None, conv_s1: nn.Conv2d | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Map the trunk's four levels (finest first) to the strides 4, 8 and 16, (B, C, ., .).

        C is that of ``conv_s0``, that of ``conv_s1``, and ``hidden_dim``, as it is for all without these.
        """
        lateral32, lateral16, lateral8, lateral4 = cast(list[LateralConv], self.convs)
        finest, finer, fine, coarsest = features
        stride4 = lateral4(finest) if conv_s0 is None else _compose(lateral4.conv, conv_s0, finest)
        stride8 = lateral8(finer) if conv_s1 is None else _compose(lateral8.conv, conv_s1, finer)
        stride32, stride16 = lateral32(coarsest), lateral16(fine)
        coarse = F.interpolate(stride32, scale_factor=2.0, mode="nearest")
        return stride4, stride8, stride16 + coarse.to(stride16.dtype)


def _compose(first: nn.Conv2d, second: nn.Conv2d, x: Tensor) -> Tensor:
    """Apply two 1 x 1 convolutions; without gradients, as the one that they compose to."""
    if torch.is_grad_enabled():
        result: Tensor = second(first(x))
        return result
    assert first.bias is not None
    assert second.bias is not None
    dtype = computed_in(first.weight)
    sources = first.weight, first.bias, second.weight, second.bias
    return F.conv2d(x, *derived(first, dtype, sources, lambda: _product(first, second, dtype)))


def _product(first: nn.Conv2d, second: nn.Conv2d, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the convolution that two 1 x 1 convolutions compose to."""
    assert first.bias is not None
    assert second.bias is not None
    with torch.autocast(first.weight.device.type, enabled=False):
        projection = second.weight.flatten(1)
        weight = projection @ first.weight.flatten(1)
        bias = projection @ first.bias + second.bias
    return weight[:, :, None, None].to(dtype), bias.to(dtype)


class LevelProjection(nn.Module):
    """Two convolutions, each followed by a normalization."""

    def __init__(self, channels: int, hidden_dim: int) -> None:
        super().__init__()
        self.conv_1x1 = Conv2d(channels, hidden_dim, kernel_size=1, bias=False)
        self.norm_0 = LayerNorm2d(hidden_dim)
        self.conv_3x3 = Conv2d(hidden_dim, hidden_dim, kernel_size=3, padding=1, bias=False)
        self.norm_1 = LayerNorm2d(hidden_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, hidden_dim, H, W)."""
        result: Tensor = self.norm_1(self.conv_3x3(self.norm_0(self.conv_1x1(x))))
        return result


class OneLevelNeck(nn.Module):
    """Projection of the only level of a plain trunk to ``hidden_dim`` channels."""

    def __init__(self, stage_dims: tuple[int, ...], hidden_dim: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(LevelProjection(channels, hidden_dim) for channels in stage_dims)

    def forward(self, features: list[Tensor]) -> tuple[Tensor]:
        """Map the trunk's level to that of stride 16."""
        (convs,), (level,) = self.convs, features
        return (convs(level),)


class ImageEncoder(nn.Module):
    """Trunk and neck: pixels to a pyramid of three levels, or the one level of a plain trunk.

    Examples
    --------
    >>> from sam2_engine import load_model
    >>> encoder = load_model("nano", device="cpu", dtype="float32", image_size=128).image_encoder
    >>> with torch.no_grad():
    ...     [tuple(level.shape) for level in encoder(torch.zeros(1, 3, 128, 128))]
    [(1, 128, 32, 32), (1, 128, 16, 16), (1, 128, 8, 8)]
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.trunk = TRUNKS[config.trunk](config)
        neck = FeaturePyramid if config.high_res_features else OneLevelNeck
        self.neck = neck(config.stage_dims, config.hidden_dim)

    def forward(self, pixels: Tensor, *convolutions: nn.Conv2d) -> tuple[Tensor, ...]:
        """Map normalized pixels (B, 3, S, S) to features (B, C, ., .): strides 4, 8 and 16, or 16 alone.

        The mask decoder takes the finer two through its convolutions, which may be given to be composed.
        """
        levels: tuple[Tensor, ...] = self.neck(self.trunk(pixels), *convolutions)
        return levels
