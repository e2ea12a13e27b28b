"""ViT, the plain trunk of EfficientTAM (Xiong et al. 2024; as in ViTDet, Li et al. 2022).

One stage of stride 16, windowed attention with a few global blocks, no final normalization.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.derived_weights import derived, stream_dtype
from sam2_engine.modeling.hiera import MultiScaleBlock
from sam2_engine.modeling.layers import Conv2d

__all__ = ["Vit"]

_STRIDE = 16


class Patches(nn.Module):
    """Patches of 16 x 16 pixels that do not overlap."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = Conv2d(3, dim, kernel_size=_STRIDE, stride=_STRIDE)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, H / 16, W / 16, dim)."""
        result: Tensor = self.proj(pixels)
        return result.permute(0, 2, 3, 1).contiguous()


class Vit(nn.Module):
    """The trunk: features at stride 16."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, (depth,), (window,) = config.embed_dim, config.stages, config.window_sizes
        self.pos_embed_size = config.pos_embed_size
        self.patch_embed = Patches(dim)
        # The first is the class token's, which images alone had in pretraining; no code path reads it.
        rows, columns = config.pos_embed_size
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + rows * columns, dim))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.blocks = nn.ModuleList(
            MultiScaleBlock(
                dim,
                dim,
                config.num_heads,
                0 if index in config.global_attention_blocks else window,
                pool_queries=False,
                drop_path=config.drop_path * index / max(depth - 1, 1),
            )
            for index in range(depth)
        )

    def _position_embedding(self, height: int, width: int, dtype: torch.dtype) -> Tensor:
        """Return (1, H, W, dim), which takes long to compute."""

        def make() -> Tensor:
            background = self.pos_embed[:, 1:].transpose(1, 2).view(1, -1, *self.pos_embed_size)
            resized = F.interpolate(background, size=(height, width), mode="bicubic")
            return resized.permute(0, 2, 3, 1).contiguous().to(dtype)

        return derived(self, ("position", height, width, dtype), (self.pos_embed,), make)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Map (B, 3, S, S) to one feature map (B, dim, S / 16, S / 16)."""
        x = self.patch_embed(pixels)
        x = x + self._position_embedding(x.shape[1], x.shape[2], stream_dtype(x))
        for block in self.blocks:
            x = block(x)
        return [x.permute(0, 3, 1, 2)]
