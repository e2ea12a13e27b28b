"""Memory attention: the current frame attends to the memories of an object (paper section 4)."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sam2_engine.modeling.attention import RotaryAttention
from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.grid_window import GridPositions
from sam2_engine.modeling.layers import LayerNorm, Linear
from sam2_engine.modeling.relatives.pooled_attention import PooledAttention

__all__ = ["MemoryAttention"]

_DROPOUT = 0.1


class MemoryAttentionLayer(nn.Module):
    """Self-attention, cross-attention to the memories and object pointers, feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, ffn = config.hidden_dim, config.memory_attention_ffn
        self.self_attn = RotaryAttention(dim, dropout=_DROPOUT)
        pooling = config.memory_pooling
        self.cross_attn_image = (
            RotaryAttention(dim, config.memory_dim, _DROPOUT)
            if pooling == "none"
            else PooledAttention(pooling, dim, config.memory_dim, _DROPOUT)
        )
        self.linear1 = Linear(dim, ffn)
        self.linear2 = Linear(ffn, dim)
        self.norm1 = LayerNorm(dim)
        self.norm2 = LayerNorm(dim)
        self.norm3 = LayerNorm(dim)
        self.dropout = nn.Dropout(_DROPOUT)

    def attend_to_self(self, x: Tensor, positions: GridPositions) -> Tensor:
        """Self-attention with its residual on (B, L, C); it depends on the frame alone in layer 0."""
        y = self.norm1(x)
        attended: Tensor = self.self_attn(y, y, y, positions)
        dropped: Tensor = self.dropout(attended)
        return x + dropped

    def forward(
        self,
        x: Tensor,
        positions: GridPositions,
        memory: Tensor,
        memory_keys: Tensor,
        memory_positions: GridPositions,
        num_pointer_tokens: int,
    ) -> Tensor:
        """Cross-attention and feed-forward on (N, L, C), after ``attend_to_self``."""
        attended = self.cross_attn_image(
            self.norm2(x), memory_keys, memory, positions, memory_positions, num_pointer_tokens
        )
        x = x + self.dropout(attended)
        hidden = self.dropout(F.relu(self.linear1(self.norm3(x))))
        result: Tensor = x + self.dropout(self.linear2(hidden))
        return result


class MemoryAttention(nn.Module):
    """The stack of layers and the final normalization.

    Attributes
    ----------
    save_memory
        In training, store one layer's activations at a time, and compute the others again.
    """

    save_memory = False

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        layers = [MemoryAttentionLayer(config) for _ in range(config.memory_attention_layers)]
        self.layers = cast(list[MemoryAttentionLayer], nn.ModuleList(layers))
        self.norm = LayerNorm(config.hidden_dim)

    def begin(self, embedding: Tensor, position: Tensor) -> Tensor:
        """Compute what does not depend on memories: the self-attention of the first layer.

        Parameters
        ----------
        embedding
            (B, C, G, G).
        position
            (C, G, G) sine encoding of the frame's grid.

        Returns
        -------
        Tensor
            (B, G * G, C).
        """
        positions = GridPositions((embedding.shape[2], embedding.shape[3]))
        x = (embedding + 0.1 * position).flatten(2).transpose(1, 2)
        return self.layers[0].attend_to_self(x, positions)

    def forward(
        self,
        begun: Tensor,
        positions: GridPositions,
        memory: Tensor,
        memory_pos: Tensor,
        memory_positions: GridPositions,
        num_pointer_tokens: int,
    ) -> Tensor:
        """Condition a frame on the memories of N objects.

        Parameters
        ----------
        begun
            (1 or N, L, C), what ``begin`` made of a frame that all objects share, or of one for each.
        positions
            Where these L tokens lie.
        memory, memory_pos
            (N, K, Cm) memory tokens and their positions, object pointers last.
        memory_positions
            Where the memory tokens lie.
        num_pointer_tokens
            How many of the K tokens are object pointers.

        Returns
        -------
        Tensor
            (N, L, C).
        """
        x = begun.expand(memory.shape[0], -1, -1)
        keys = memory + memory_pos
        for index, layer in enumerate(self.layers):
            if index:
                x = layer.attend_to_self(x, positions)
            inputs = (x, positions, memory, keys, memory_positions, num_pointer_tokens)
            if self.save_memory and torch.is_grad_enabled():
                x = checkpoint(layer, *inputs, use_reentrant=False)
            else:
                x = layer(*inputs)
        result: Tensor = self.norm(x)
        return result
