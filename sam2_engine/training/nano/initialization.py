"""Nano's initial weights: random, but attention is local from the first step.

A released SAM 2 learns from 50 million images that a click concerns the position where it was made,
and a memory the position that it was encoded from. Random projections hide that: positions are encoded, but
queries and keys are projected differently. Here their projections start out equal, so that training spends
its time on objects.
"""

import math

import torch
from torch import Tensor, nn

from sam2_engine.modeling.config import VARIANTS
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import normalize
from sam2_engine.synthetic.scenes import random_scene
from sam2_engine.training.nano.dense_head import DenseHead

__all__ = ["initialize_nano", "rescale_features"]

_COARSEST, _FINEST = 0.5, 6.0
_SHARED_GAIN = 1.8
_SHARED_BIAS = 0.66
_TOKEN_SCALE = 0.4
_OUTPUT_GAIN = 2.0
_FEATURE_LEVEL = 0.5


def initialize_nano(seed: int = 0) -> Sam2:
    """Make nano with random weights.

    - Positions are encoded by frequencies from coarse to fine (the official matrix has one scale).
    - Prompt tokens and image attend to each other through equal query and key projections.
    - Memory attention starts with equal biases in queries and keys: turned by the rotary encoding,
      they favor the same position.
    """
    torch.manual_seed(seed)
    model = Sam2(VARIANTS["nano"])
    matrix = model.sam_prompt_encoder.pe_layer.get_buffer("positional_encoding_gaussian_matrix")
    scales = torch.exp(
        torch.linspace(math.log(_COARSEST), math.log(_FINEST), matrix.shape[1], dtype=torch.float32)
    )
    with torch.no_grad():
        matrix.copy_(torch.randn(matrix.shape, dtype=torch.float32) * scales)
        for name, module in model.named_modules():
            if isinstance(module, nn.Embedding):
                module.weight.mul_(_TOKEN_SCALE)
            elif "sam_mask_decoder" in name and name.endswith(("token_to_image", "image_to_token")):
                _share_projection(module)
            elif "memory_attention" in name and name.endswith(("self_attn", "cross_attn_image")):
                _share_bias(module)
        for layer in model.memory_encoder.fuser.layers.children():
            nn.init.constant_(layer.get_parameter("gamma"), 0.1)
    return model


def _projections(attention: nn.Module) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    names = ("q_proj.weight", "k_proj.weight", "q_proj.bias", "k_proj.bias")
    query, key, query_bias, key_bias = (attention.get_parameter(name) for name in names)
    return query, key, query_bias, key_bias


def _share_projection(attention: nn.Module) -> None:
    query, key, query_bias, key_bias = _projections(attention)
    nn.init.orthogonal_(query, _SHARED_GAIN)
    key.copy_(query)
    attention.get_parameter("out_proj.weight").mul_(_OUTPUT_GAIN)
    query_bias.zero_()
    key_bias.zero_()


def _share_bias(attention: nn.Module) -> None:
    _, _, query_bias, key_bias = _projections(attention)
    query_bias.copy_(torch.randn(query_bias.shape, dtype=torch.float32).sign() * _SHARED_BIAS)
    key_bias.copy_(query_bias)


@torch.no_grad()
def rescale_features(model: Sam2, head: DenseHead) -> None:
    """Scale the features of a densely trained encoder down, and the head's inputs up by as much.

    Dense training lets the features grow until positions, which have a fixed size, are lost beside
    them: the decoder would see what there is, but not where the click was.
    """
    scenes = torch.stack([torch.from_numpy(random_scene(seed).frames[0]) for seed in range(8)])
    pixels = (scenes.clamp(0, 1) * 255).byte().permute(0, 3, 1, 2)
    features = model.encode_image(normalize(pixels.to(model.device) / 255))
    neck, decoder = model.image_encoder.neck, model.sam_mask_decoder
    convolutions: tuple[list[nn.Module], ...] = (
        [decoder.conv_s0],
        [decoder.conv_s1],
        [neck.get_submodule("convs.0.conv"), neck.get_submodule("convs.1.conv")],
    )
    levels = (*features.high_res, features.embedding)
    laterals = list(head.lateral.children())
    for level, group, lateral in zip(levels, convolutions, laterals, strict=True):
        factor = float(level.square().mean().sqrt()) / _FEATURE_LEVEL
        for convolution in group:
            convolution.get_parameter("weight").div_(factor)
            convolution.get_parameter("bias").div_(factor)
        lateral.get_parameter("weight").mul_(factor)
