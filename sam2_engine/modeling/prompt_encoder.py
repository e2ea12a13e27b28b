"""Prompt encoder: points, boxes and masks as tokens and as a dense map (paper section 4; SAM, section 3)."""

import torch
from torch import Tensor, nn

from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.derived_weights import cast_weight, derived
from sam2_engine.modeling.layers import Conv2d, LayerNorm2d
from sam2_engine.modeling.position_encoding import RandomFourierEncoding

__all__ = ["NOT_A_POINT", "PromptEncoder"]

NOT_A_POINT = -1
"""Label of padding. The others: 0 outside, 1 inside, 2 and 3 the corners of a box."""


class PromptEncoder(nn.Module):
    """Sparse prompts become tokens, a mask becomes a dense map that is added to the image embedding."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.image_size = config.image_size
        self.pe_layer = RandomFourierEncoding(dim)
        self.point_embeddings = nn.ModuleList([nn.Embedding(1, dim) for _ in range(4)])
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.mask_downscaling = nn.Sequential(
            Conv2d(1, 4, kernel_size=2, stride=2),
            LayerNorm2d(4),
            nn.GELU(),
            Conv2d(4, 16, kernel_size=2, stride=2),
            LayerNorm2d(16),
            nn.GELU(),
            Conv2d(16, dim, kernel_size=1),
        )
        self.no_mask_embed = nn.Embedding(1, dim)

    def encode_points(self, points: Tensor, labels: Tensor) -> Tensor:
        """Encode (N, P, 2) points in input pixels with (N, P) labels as (N, P + 1, C) tokens.

        The last token is padding: the model was trained with it, as boxes are two points.
        """
        points = torch.cat((points + 0.5, points.new_zeros(points.shape[0], 1, 2)), dim=1)
        labels = torch.cat((labels, labels.new_full((labels.shape[0], 1), NOT_A_POINT)), dim=1)
        tokens: Tensor = self.pe_layer(points / self.image_size)
        tokens = torch.where(labels[..., None] == NOT_A_POINT, self.not_a_point_embed.weight, tokens)
        for label, embedding in enumerate(self.point_embeddings):
            assert isinstance(embedding, nn.Embedding)
            tokens = torch.where(labels[..., None] == label, tokens + embedding.weight, tokens)
        return tokens

    def encode_mask(self, mask_logits: Tensor) -> Tensor:
        """Encode (N, 1, 4 G, 4 G) mask logits as (N, C, G, G)."""
        result: Tensor = self.mask_downscaling(mask_logits)
        return result

    def no_points(self) -> Tensor:
        """Return the (1, 2, C) tokens of nothing but padding, as tracked frames have them."""
        return self.not_a_point_embed.weight.expand(1, 2, -1)

    def no_mask(self, dtype: torch.dtype) -> Tensor:
        """Return the dense map where no mask is given, (1, C, 1, 1)."""
        return cast_weight(self.no_mask_embed, "weight", dtype)[:, :, None, None]

    def dense_position(self, grid: int, dtype: torch.dtype) -> Tensor:
        """Return the encoding of the image embedding's positions, (1, C, grid, grid)."""
        matrix = self.pe_layer.positional_encoding_gaussian_matrix
        return derived(self, (grid, dtype), [matrix], lambda: self.pe_layer.grid(grid, grid).to(dtype))
