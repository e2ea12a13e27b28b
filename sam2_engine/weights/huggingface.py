"""Names of weights in the transformers layout (``Sam2VideoModel``), from and to the official names."""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

__all__ = ["from_huggingface", "huggingface_name", "is_huggingface", "to_huggingface"]

# Applied from the top down, each to the result of those before it.
_RENAMES: tuple[tuple[str, str], ...] = (
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (
        r"^sam_prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$",
        "prompt_encoder.shared_embedding.positional_embedding",
    ),
    (r"^sam_prompt_encoder\.mask_downscaling\.0\.", "prompt_encoder.mask_embed.conv1."),
    (r"^sam_prompt_encoder\.mask_downscaling\.1\.", "prompt_encoder.mask_embed.layer_norm1."),
    (r"^sam_prompt_encoder\.mask_downscaling\.3\.", "prompt_encoder.mask_embed.conv2."),
    (r"^sam_prompt_encoder\.mask_downscaling\.4\.", "prompt_encoder.mask_embed.layer_norm2."),
    (r"^sam_prompt_encoder\.mask_downscaling\.6\.", "prompt_encoder.mask_embed.conv3."),
    (r"^sam_prompt_encoder\.", "prompt_encoder."),
    (r"^sam_mask_decoder\.output_upscaling\.0\.", "mask_decoder.upscale_conv1."),
    (r"^sam_mask_decoder\.output_upscaling\.1\.", "mask_decoder.upscale_layer_norm."),
    (r"^sam_mask_decoder\.output_upscaling\.3\.", "mask_decoder.upscale_conv2."),
    (r"^sam_mask_decoder\.", "mask_decoder."),
    (r"^memory_encoder\.out_proj\.", "memory_encoder.projection."),
    (r"^memory_encoder\.pix_feat_proj\.", "memory_encoder.feature_projection."),
    (r"^memory_encoder\.mask_downsampler\.encoder\.12\.", "memory_encoder.mask_downsampler.final_conv."),
    (r"^memory_encoder\.fuser\.", "memory_encoder.memory_fuser."),
    (r"\.dwconv\.", ".depthwise_conv."),
    (r"\.pwconv([12])\.", r".pointwise_conv\1."),
    (r"\.gamma$", ".scale"),
    (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
    (r"^no_obj_ptr$", "no_object_pointer"),
    (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
    (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
    (r"^obj_ptr_proj\.", "object_pointer_proj."),
    (r"patch_embed\.proj\.", "patch_embed.projection."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"\.norm(\d?)\.", r".layer_norm\1."),
    (r"\.out_proj\.", ".o_proj."),
    (r"\.mlp\.layers\.0\.", ".mlp.proj_in."),
    (r"\.mlp\.layers\.1\.", ".mlp.proj_out."),
    # The heads, MLPs of three layers.
    (r"(_mlps\.\d|_head|^object_pointer_proj)\.layers\.0\.", r"\1.proj_in."),
    (r"(_mlps\.\d|_head|^object_pointer_proj)\.layers\.2\.", r"\1.proj_out."),
    (r"(_mlps\.\d|_head|^object_pointer_proj)\.layers\.1\.", r"\1.layers.0."),
)
_PATTERNS = tuple((re.compile(pattern), replacement) for pattern, replacement in _RENAMES)
_DOWNSAMPLER = re.compile(r"^memory_encoder\.mask_downsampler\.encoder\.(\d+)\.")
_POINT_EMBEDDING = re.compile(r"^sam_prompt_encoder\.point_embeddings\.(\d)\.weight$")
_POINT_EMBEDDINGS = "prompt_encoder.point_embed.weight"
_FOURIER = "prompt_encoder.shared_embedding.positional_embedding"
_FOURIER_COPY = "shared_image_embedding.positional_embedding"


def huggingface_name(official: str) -> str:
    """Return the transformers name of one official name.

    The four ``point_embeddings`` share one name: they are the rows of one tensor.
    """
    if _POINT_EMBEDDING.match(official):
        return _POINT_EMBEDDINGS
    name = _DOWNSAMPLER.sub(_downsampler_layer, official)
    for pattern, replacement in _PATTERNS:
        name = pattern.sub(replacement, name)
    return name


def _downsampler_layer(match: re.Match[str]) -> str:
    """Rename one of the four (convolution, norm, activation) triples; 12 is the final convolution."""
    layer, part = divmod(int(match[1]), 3)
    if layer == 4:
        return match[0]
    return f"memory_encoder.mask_downsampler.layers.{layer}.{('conv', 'layer_norm')[part]}."


def is_huggingface(names: Iterable[str]) -> bool:
    """Whether names are of the transformers layout."""
    return any(name.startswith("vision_encoder.") for name in names)


def from_huggingface(weights: Mapping[str, Tensor], official_names: Iterable[str]) -> dict[str, Tensor]:
    """Return the weights under their official names.

    A missing tensor is left out, and one without an official name stays under its own, so that a strict
    load reports both.
    """
    weights = dict(weights)
    copy = weights.pop(_FOURIER_COPY, None)
    if copy is not None:
        weights.setdefault(_FOURIER, copy)
    official: dict[str, Tensor] = {}
    used: set[str] = set()
    for name in official_names:
        source = huggingface_name(name)
        if source not in weights:
            continue
        used.add(source)
        row = _POINT_EMBEDDING.match(name)
        official[name] = weights[source][int(row[1]) : int(row[1]) + 1] if row else weights[source]
    return official | {name: tensor for name, tensor in weights.items() if name not in used}


def to_huggingface(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return official weights in the layout of ``Sam2VideoModel``, ready for a strict load there."""
    renamed = {huggingface_name(name): tensor for name, tensor in weights.items()}
    rows = [name for name in weights if _POINT_EMBEDDING.match(name)]
    renamed[_POINT_EMBEDDINGS] = torch.cat([weights[name] for name in sorted(rows)])
    renamed[_FOURIER_COPY] = renamed[_FOURIER]
    return renamed
