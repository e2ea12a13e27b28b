"""Hiera, the hierarchical trunk of the image encoder (Ryali et al. 2023; SAM 2 paper section 4 and D.1).

Windowed attention with a few global blocks, absolute position embeddings made of a coarse background
and a repeated window, queries pooled at the first block of stages 2 to 4.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_engine.modeling.attention import attend
from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.derived_weights import derived, stream_dtype
from sam2_engine.modeling.layers import MLP, Conv2d, LayerNorm, Linear, apply_in_chunks

__all__ = ["Hiera"]


def partition_windows(x: Tensor, size: int) -> tuple[Tensor, tuple[int, int]]:
    """Cut (B, H, W, C) into windows (B * n, size, size, C), padded right and bottom with zeros."""
    batch, height, width, channels = x.shape
    pad_h, pad_w = -height % size, -width % size
    if pad_h or pad_w:
        x = F.pad(x, (0, 0, 0, pad_w, 0, pad_h))
    rows, columns = (height + pad_h) // size, (width + pad_w) // size
    x = x.view(batch, rows, size, columns, size, channels)
    return x.transpose(2, 3).reshape(-1, size, size, channels), (rows, columns)


def merge_windows(windows: Tensor, size: int, rows: int, columns: int, shape: tuple[int, int]) -> Tensor:
    """Undo ``partition_windows`` and cut the padding off: the result is (B, *shape, C)."""
    channels = windows.shape[-1]
    x = windows.view(-1, rows, columns, size, size, channels).transpose(2, 3)
    x = x.reshape(-1, rows * size, columns * size, channels)
    return x[:, : shape[0], : shape[1]]


def pool(x: Tensor) -> Tensor:
    """2 x 2 maximum of (B, H, W, C)."""
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


class DropPath(nn.Module):
    """Skip a residual branch for whole samples while training (stochastic depth)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, or zero with the given probability per sample (rescaled)."""
        if not self.training or self.probability == 0:
            return x
        keep = 1 - self.probability
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        return x * torch.empty(shape, device=x.device, dtype=x.dtype).bernoulli_(keep) / keep


class MultiScaleAttention(nn.Module):
    """Self-attention over (B, H, W, C) whose queries may be pooled 2 x 2."""

    def __init__(self, dim: int, dim_out: int, num_heads: int, pool_queries: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.pool_queries = pool_queries
        self.qkv = Linear(dim, 3 * dim_out)
        self.proj = Linear(dim_out, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H', W', C'), halved sides if the queries are pooled."""
        batch, height, width, _ = x.shape
        q, k, v = self.qkv(x).view(batch, height * width, 3, self.num_heads, -1).unbind(2)
        if self.pool_queries:
            q = pool(q.reshape(batch, height, width, -1))
            height, width = q.shape[1:3]
            q = q.reshape(batch, height * width, self.num_heads, -1)
        attended = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        result: Tensor = self.proj(attended.transpose(1, 2).reshape(batch, height, width, -1))
        return result


class MultiScaleBlock(nn.Module):
    """One block of the trunk: (windowed) attention and an MLP, each with a residual."""

    def __init__(
        self, dim: int, dim_out: int, num_heads: int, window_size: int, pool_queries: bool, drop_path: float
    ) -> None:
        super().__init__()
        self.dim_out = dim_out
        self.window_size = window_size
        self.pool_queries = pool_queries
        self.norm1 = LayerNorm(dim, eps=1e-6)
        self.attn = MultiScaleAttention(dim, dim_out, num_heads, pool_queries)
        self.norm2 = LayerNorm(dim_out, eps=1e-6)
        self.mlp = MLP(dim_out, 4 * dim_out, dim_out, activation="gelu")
        self.proj = Linear(dim, dim_out) if dim != dim_out else None
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H', W', C')."""
        shortcut = x
        x = self.norm1(x)
        if self.proj is not None:
            shortcut = self.proj(x)
            if self.pool_queries:
                shortcut = pool(shortcut)
        shape = (shortcut.shape[1], shortcut.shape[2])
        if self.window_size:
            x, (rows, columns) = partition_windows(x, self.window_size)
            # Where queries are pooled, the windows come out with halved sides.
            size = self.window_size // 2 if self.pool_queries else self.window_size
            x = apply_in_chunks(self.attn, x, 3 * self.dim_out * self.window_size**2)
            x = merge_windows(x, size, rows, columns, shape)
        else:
            x = self.attn(x)
        x = shortcut + self.drop_path(x)
        fed = apply_in_chunks(lambda part: self.mlp(self.norm2(part)), x.flatten(0, 2), 4 * self.dim_out)
        branch = self.drop_path(fed.view(x.shape))
        # Without gradients in its place, as nobody has seen it: at full size no new 25 MB are touched.
        return x + branch if torch.is_grad_enabled() else x.add_(branch)


class PatchEmbed(nn.Module):
    """Overlapping 7 x 7 patches with stride 4."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = Conv2d(3, dim, kernel_size=7, stride=4, padding=3)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, H / 4, W / 4, dim)."""
        result: Tensor = self.proj(pixels)
        return result.permute(0, 2, 3, 1).contiguous()  # as all that is added to it


class Hiera(nn.Module):
    """The trunk: features at the strides 4, 8, 16 and 32."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, heads = config.embed_dim, config.num_heads
        self.patch_embed = PatchEmbed(dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, dim, *config.pos_embed_size))
        window = config.window_sizes[0]
        self.pos_embed_window = nn.Parameter(torch.zeros(1, dim, window, window))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.trunc_normal_(self.pos_embed_window, std=0.02)

        depth = sum(config.stages)
        rates = [config.drop_path * index / max(depth - 1, 1) for index in range(depth)]
        blocks: list[MultiScaleBlock] = []
        self.stage_ends: list[int] = []
        for stage, length in enumerate(config.stages):
            for position in range(length):
                first = stage > 0 and position == 0
                dim_out = dim * 2 if first else dim
                heads = heads * 2 if first else heads
                # The first block of a stage has the windows of the stage before.
                size = config.window_sizes[stage - 1 if first else stage]
                index = len(blocks)
                size = 0 if index in config.global_attention_blocks else size
                blocks.append(MultiScaleBlock(dim, dim_out, heads, size, first, rates[index]))
                dim = dim_out
            self.stage_ends.append(len(blocks) - 1)
        self.blocks = nn.ModuleList(blocks)

    def _position_embedding(self, height: int, width: int, dtype: torch.dtype) -> Tensor:
        """Return (1, H, W, dim), which takes long to compute."""
        return derived(
            self,
            ("position", height, width, dtype),
            (self.pos_embed, self.pos_embed_window),
            lambda: self._new_position_embedding(height, width).to(dtype),
        )

    def _new_position_embedding(self, height: int, width: int) -> Tensor:
        background = F.interpolate(self.pos_embed, size=(height, width), mode="bicubic")
        window = self.pos_embed_window
        repeats = (1, 1, -(-height // window.shape[2]), -(-width // window.shape[3]))
        tiled = window.tile(repeats)[..., :height, :width]
        return (background + tiled).permute(0, 2, 3, 1).contiguous()

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Map (B, 3, S, S) to four feature maps (B, C_i, S / stride, S / stride), finest first."""
        x = self.patch_embed(pixels)
        x = x + self._position_embedding(x.shape[1], x.shape[2], stream_dtype(x))
        outputs = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.stage_ends:
                outputs.append(x.permute(0, 3, 1, 2))
        return outputs
