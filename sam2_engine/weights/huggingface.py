"""Names of weights in the layout of transformers, from and to the official names.

It is that of ``Sam2VideoModel``, or of ``EdgeTamVideoModel``.
"""

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
# Of EdgeTAM, before those above; the trunk's names stay as they are in timm.
_EDGE_RENAMES: tuple[tuple[str, str], ...] = (
    (r"^(memory_attention\.layers\.\d)\.linear1\.", r"\1.mlp.up_proj."),
    (r"^(memory_attention\.layers\.\d)\.linear2\.", r"\1.mlp.down_proj."),
    (r"^spatial_perceiver\.latents$", "spatial_perceiver.latents_1d"),
    (r"^(spatial_perceiver\.layers\.\d)\.attn\.norm_x\.", r"\1.layer_norm_input."),
    (r"^(spatial_perceiver\.layers\.\d)\.attn\.norm_latents\.", r"\1.layer_norm_latents."),
    (r"^(spatial_perceiver\.layers\.\d)\.self_attn\.norm\.", r"\1.layer_norm_self."),
    (r"^(spatial_perceiver\.layers\.\d)\.attn\.", r"\1.cross_attention."),
    (r"^(spatial_perceiver\.layers\.\d)\.self_attn\.", r"\1.self_attention."),
    (r"^(spatial_perceiver\.layers\.\d)\.ff\.", r"\1.mlp."),
    (r"^(spatial_perceiver\.layers\.\d)\.self_ff\.", r"\1.self_mlp."),
    (r"^(spatial_perceiver\..*mlp)\.0\.", r"\1.layer_norm."),
    (r"^(spatial_perceiver\..*mlp)\.1\.", r"\1.up_proj."),
    (r"^(spatial_perceiver\..*mlp)\.3\.", r"\1.down_proj."),
    (r"^(spatial_perceiver\..*)\.to_q\.", r"\1.q_proj."),
    (r"^(spatial_perceiver\..*)\.to_out\.", r"\1.o_proj."),
)
_EDGE_PATTERNS = tuple((re.compile(pattern), replacement) for pattern, replacement in _EDGE_RENAMES)
_EDGE_TRUNK, _TIMM = "image_encoder.trunk.body.", "vision_encoder.backbone.timm_model."
_KEYS_AND_VALUES = ".to_kv."
_PATTERNS = tuple((re.compile(pattern), replacement) for pattern, replacement in _RENAMES)
_DOWNSAMPLER = re.compile(r"^memory_encoder\.mask_downsampler\.encoder\.(\d+)\.")
_POINT_EMBEDDING = re.compile(r"^sam_prompt_encoder\.point_embeddings\.(\d)\.weight$")
_POINT_EMBEDDINGS = "prompt_encoder.point_embed.weight"
_FOURIER = "prompt_encoder.shared_embedding.positional_embedding"
_FOURIER_COPY = "shared_image_embedding.positional_embedding"


def huggingface_name(official: str, edge: bool = False) -> str:
    """Return the transformers name of one official name; ``edge``: in the layout of EdgeTAM.

    The four ``point_embeddings`` share one name: they are the rows of one tensor.
    """
    if _POINT_EMBEDDING.match(official):
        return _POINT_EMBEDDINGS
    if official.startswith(_EDGE_TRUNK):
        return _TIMM + official.removeprefix(_EDGE_TRUNK)
    name = _DOWNSAMPLER.sub(_downsampler_layer, official)
    for pattern, replacement in (*(_EDGE_PATTERNS if edge else ()), *_PATTERNS):
        name = pattern.sub(replacement, name)
    return name


def _downsampler_layer(match: re.Match[str]) -> str:
    """Rename one of the four (convolution, norm, activation) triples; 12 is the final convolution."""
    layer, part = divmod(int(match[1]), 3)
    if layer == 4:
        return match[0]
    return f"memory_encoder.mask_downsampler.layers.{layer}.{('conv', 'layer_norm')[part]}."


def _is_edge(official_names: Iterable[str]) -> bool:
    return any(name.startswith(_EDGE_TRUNK) for name in official_names)


def _halves(name: str) -> tuple[str, str]:
    """Name the keys' and the values' part of what EdgeTAM projects in one."""
    return name.replace(_KEYS_AND_VALUES, ".k_proj."), name.replace(_KEYS_AND_VALUES, ".v_proj.")


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
    official_names = list(official_names)
    edge = _is_edge(official_names)
    for name in official_names:
        source = huggingface_name(name, edge)
        if _KEYS_AND_VALUES in source and all(half in weights for half in _halves(source)):
            used.update(_halves(source))
            official[name] = torch.cat([weights[half] for half in _halves(source)])
            continue
        if source not in weights:
            continue
        used.add(source)
        row = _POINT_EMBEDDING.match(name)
        official[name] = weights[source][int(row[1]) : int(row[1]) + 1] if row else weights[source]
    return official | {name: tensor for name, tensor in weights.items() if name not in used}


def to_huggingface(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return official weights in the layout of ``Sam2VideoModel``, ready for a strict load there.

    Those of EdgeTAM are in that of ``EdgeTamVideoModel``.
    """
    edge = _is_edge(weights)
    renamed = {huggingface_name(name, edge): tensor for name, tensor in weights.items()}
    for name in [name for name in renamed if _KEYS_AND_VALUES in name]:
        renamed.update(zip(_halves(name), renamed.pop(name).chunk(2)))
    rows = [name for name in weights if _POINT_EMBEDDING.match(name)]
    renamed[_POINT_EMBEDDINGS] = torch.cat([weights[name] for name in sorted(rows)])
    renamed[_FOURIER_COPY] = renamed[_FOURIER]
    return renamed
