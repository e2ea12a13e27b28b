"""Memory encoder: a mask and its frame, fused into one memory (paper section 4)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.derived_weights import cast_weight, stream_dtype
from sam2_engine.modeling.layers import Conv2d, LayerNorm2d, Linear

__all__ = ["MemoryEncoder"]


class MaskDownsampler(nn.Module):
    """Mask (N, 1, S, S) to (N, dim, S / 16, S / 16) by four strided convolutions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for _ in range(4):
            layers += [
                Conv2d(channels, 4 * channels, kernel_size=3, stride=2, padding=1),
                LayerNorm2d(4 * channels),
                nn.GELU(),
            ]
            channels *= 4
        layers.append(Conv2d(channels, dim, kernel_size=1))
        self.encoder = nn.Sequential(*layers)

    def forward(self, mask: Tensor) -> Tensor:
        """Downsample ``mask`` sixteenfold."""
        result: Tensor = self.encoder(mask)
        return result


class ConvNeXtBlock(nn.Module):
    """Depthwise 7 x 7, normalization, inverted bottleneck, layer scale, residual (Liu et al. 2022)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = LayerNorm2d(dim)
        self.pwconv1 = Linear(dim, 4 * dim)
        self.pwconv2 = Linear(4 * dim, dim)
        self.gamma = nn.Parameter(1e-6 * torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        y = self.norm(self.dwconv(x)).permute(0, 2, 3, 1)
        y = self.pwconv2(F.gelu(self.pwconv1(y)))
        y = cast_weight(self, "gamma", stream_dtype(y)) * y
        result: Tensor = x + y.permute(0, 3, 1, 2)
        return result


class Fuser(nn.Module):
    """Two ConvNeXt blocks."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ConvNeXtBlock(dim) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        for layer in self.layers:
            x = layer(x)
        return x


class MemoryEncoder(nn.Module):
    """Frame embedding plus downsampled mask, fused and projected to ``memory_dim`` channels."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.mask_downsampler = MaskDownsampler(dim)
        self.pix_feat_proj = Conv2d(dim, dim, kernel_size=1)
        self.fuser = Fuser(dim)
        self.out_proj = Conv2d(dim, config.memory_dim, kernel_size=1)

    def forward(self, embedding: Tensor, mask: Tensor) -> Tensor:
        """Fuse (1 or N, C, G, G) with (N, 1, 16 G, 16 G) into (N, Cm, G, G)."""
        x = self.pix_feat_proj(embedding) + self.mask_downsampler(mask)
        result: Tensor = self.out_proj(self.fuser(x))
        return result
