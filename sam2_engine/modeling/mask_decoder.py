"""Mask decoder: prompts and image embedding to masks, their IoU and the object's presence.

Paper section 4 and figure 9: SAM's two-way transformer, with high-resolution features added while
upsampling, a presence token, and the tokens of which object pointers are made.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_engine.modeling.attention import Attention
from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.derived_weights import computed_in, derived, saves_launches, stream_dtype
from sam2_engine.modeling.layers import MLP, Conv2d, LayerNorm, LayerNorm2d, stacked_weights

__all__ = ["NUM_MASK_TOKENS", "MaskDecoder", "TwoWayTransformer"]

NUM_MASK_TOKENS = 4
"""One token for a single mask and three for the candidates of an ambiguous prompt."""

_HEADS = 8
_FFN = 2048
_HEAD_WIDTH = 256


class TwoWayLayer(nn.Module):
    """Tokens attend to themselves and to the image, the image attends to the tokens."""

    def __init__(self, dim: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(dim, _HEADS)
        self.norm1 = LayerNorm(dim)
        self.cross_attn_token_to_image = Attention(dim, _HEADS, downsample=2)
        self.norm2 = LayerNorm(dim)
        self.mlp = MLP(dim, _FFN, dim)
        self.norm3 = LayerNorm(dim)
        self.norm4 = LayerNorm(dim)
        self.cross_attn_image_to_token = Attention(dim, _HEADS, downsample=2)

    def forward(
        self, tokens: Tensor, image: Tensor, token_pos: Tensor, image_pos: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Map tokens (N, T, C) and image (1 or N, G * G, C) to (N, T, C) and (N, G * G, C)."""
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            q = tokens + token_pos
            tokens = tokens + self.self_attn(q, q, tokens)
        tokens = self.norm1(tokens)
        keys = image + image_pos
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_pos, keys, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(keys, tokens + token_pos, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    """Two two-way layers and a final attention of the tokens to the image."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayLayer(dim, first=i == 0) for i in range(2))
        self.final_attn_token_to_image = Attention(dim, _HEADS, downsample=2)
        self.norm_final_attn = LayerNorm(dim)

    def forward(self, image: Tensor, image_pos: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Map tokens (N, T, C), their own position, and image (1 or N, G * G, C) to such of N."""
        token_pos = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pos, image_pos)
        attended = self.final_attn_token_to_image(tokens + token_pos, image + image_pos, image)
        return self.norm_final_attn(tokens + attended), image


class MaskDecoder(nn.Module):
    """Decode all four masks of N prompts; choosing among them is the caller's."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.transformer = TwoWayTransformer(dim)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(NUM_MASK_TOKENS, dim)
        self.obj_score_token = nn.Embedding(1, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, kernel_size=2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        if config.high_res_features:
            self.conv_s0 = Conv2d(dim, dim // 8, kernel_size=1)
            self.conv_s1 = Conv2d(dim, dim // 4, kernel_size=1)
        self.has_high_res = config.high_res_features
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(dim, dim, dim, dim // 8) for _ in range(NUM_MASK_TOKENS)
        )
        self.iou_prediction_head = MLP(dim, _HEAD_WIDTH, _HEAD_WIDTH, NUM_MASK_TOKENS)
        self.pred_obj_score_head = MLP(dim, dim, dim, 1)

    @property
    def high_res_convs(self) -> tuple[nn.Conv2d, ...]:
        """Projections of the finer features, strides 4 and 8; none in a model that has no such features."""
        return (self.conv_s0, self.conv_s1) if self.has_high_res else ()

    def forward(
        self, embedding: Tensor, dense_pos: Tensor, prompt_tokens: Tensor, high_res: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Decode N prompts.

        Parameters
        ----------
        embedding
            (1 or N, C, G, G), the dense prompt already added; what N prompts share is computed once.
        dense_pos
            (1, C, G, G).
        prompt_tokens
            (N, P, C).
        high_res
            Projected features, (1 or N, C / 8, 4 G, 4 G) and (1 or N, C / 4, 2 G, 2 G), or none.

        Returns
        -------
        tuple of Tensor
            Mask logits (N, 4, 4 G, 4 G), predicted IoU (N, 4) in 0..1, mask tokens (N, 4, C), presence
            logit (N, 1).
        """
        count, (height, width) = prompt_tokens.shape[0], embedding.shape[2:]
        output_tokens = self._output_tokens(stream_dtype(embedding))
        tokens = torch.cat(
            (output_tokens.expand(count, -1, -1), prompt_tokens.to(output_tokens.dtype)), dim=1
        )
        tokens, image = self.transformer(
            embedding.flatten(2).transpose(1, 2), dense_pos.flatten(2).transpose(1, 2), tokens
        )
        mask_tokens = tokens[:, 2 : 2 + NUM_MASK_TOKENS]
        upscaled = self._upscale(image.view(count, height, width, -1), high_res)
        weights = self._mask_weights(mask_tokens)
        masks = weights @ upscaled.flatten(1, 2).transpose(1, 2)
        masks = masks.view(count, NUM_MASK_TOKENS, *upscaled.shape[1:3])
        iou = self.iou_prediction_head(tokens[:, 1]).sigmoid()
        return masks, iou, mask_tokens, self.pred_obj_score_head(tokens[:, 0])

    def _output_tokens(self, dtype: torch.dtype) -> Tensor:
        """Return the tokens of presence, IoU and masks, (6, C)."""
        weights = self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight
        return derived(self, ("output tokens", dtype), weights, lambda: torch.cat(weights).to(dtype))

    def _mask_weights(self, mask_tokens: Tensor) -> Tensor:
        """Return the weights (N, 4, C / 8) that make masks of the upscaled image, from tokens (N, 4, C)."""
        mlps = cast(Sequence[MLP], self.output_hypernetworks_mlps)
        if not saves_launches(mask_tokens):
            return torch.stack([mlp(mask_tokens[:, i]) for i, mlp in enumerate(mlps)], dim=1)
        x = mask_tokens.transpose(0, 1)
        for index, layers in enumerate(zip(*(mlp.layers for mlp in mlps), strict=True)):
            x = F.relu(x) if index else x
            bias, weight = stacked_weights(self, ("mask weights", index), layers)
            x = torch.baddbmm(bias, x, weight)
        return x.transpose(0, 1)

    def _upscale(self, image: Tensor, high_res: tuple[Tensor, ...]) -> Tensor:
        """Upscale (N, G, G, C) fourfold, channels last as the tokens are: (N, 4 G, 4 G, C / 8)."""
        deconv1, norm, _, deconv2, _ = self.output_upscaling
        assert isinstance(norm, LayerNorm2d)
        if not high_res:
            image = F.gelu(norm.last(_deconvolved(image, deconv1)))
            return F.gelu(_deconvolved(image, deconv2))
        stride4, stride8 = (features.permute(0, 2, 3, 1).contiguous() for features in high_res)
        image = F.gelu(norm.last(_deconvolved(image, deconv1) + stride8))
        return F.gelu(_deconvolved(image, deconv2) + stride4)


def _deconvolved(x: Tensor, layer: nn.Module) -> Tensor:
    """Apply a 2 x 2 deconvolution of stride 2 to (N, H, W, C): a linear layer that makes 4 cells of each."""
    assert isinstance(layer, nn.ConvTranspose2d)
    weight, bias, dtype = layer.weight, layer.bias, computed_in(layer.weight)
    assert bias is not None

    def make() -> tuple[Tensor, Tensor]:
        return weight.permute(2, 3, 1, 0).flatten(0, 2).to(dtype), bias.repeat(4).to(dtype)

    cells = F.linear(x, *derived(layer, dtype, (weight, bias), make))
    count, height, width, _ = x.shape
    cells = cells.view(count, height, width, 2, 2, -1).transpose(2, 3)
    return cells.reshape(count, 2 * height, 2 * width, -1)
