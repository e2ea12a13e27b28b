"""Recognition of a model by the names and shapes of its weights."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from sam2_engine.errors import InputError
from sam2_engine.modeling.config import VARIANTS, ModelConfig

__all__ = ["recognize"]

_REPVIT = "image_encoder.trunk.body.", "vision_encoder.backbone.timm_model."
_PLAIN_POSITIONS = "image_encoder.trunk.pos_embed"
_SIZE_OF_TRUNK = {(96, 12): "tiny", (96, 16): "small", (112, 24): "base_plus", (144, 48): "large"}


def recognize(
    shapes: Mapping[str, torch.Size | tuple[int, ...]],
    path: Path | str = "The file",
    assumed: Callable[[str], None] = lambda _: None,
) -> ModelConfig:
    """Recognize size and version from the names and shapes of official or transformers weights.

    Parameters
    ----------
    shapes
        Names and shapes.
    path
        Their file; of variants whose weights have the same names and shapes its stem says which it is.
    assumed
        Called with a sentence on what was assumed where nothing says it.

    Raises
    ------
    InputError
        If they are of no known SAM 2 model, or of its image part alone.
    """
    width = shapes.get(_PLAIN_POSITIONS, ())[-1:]
    alike = [c for c in VARIANTS.values() if c.trunk == "vit" and width == (c.embed_dim,)]
    if alike:
        return _of_stem(alike, path, assumed)
    blocks = {name.split(".blocks.")[1].split(".")[0] for name in shapes if ".blocks." in name}
    biases = ("trunk.patch_embed.proj.bias", "backbone.patch_embed.projection.bias")
    dims = [shape[0] for name, shape in shapes.items() if name.endswith(biases)]
    size = _SIZE_OF_TRUNK.get((dims[0], len(blocks))) if dims else None
    convolutional = any(name.startswith(_REPVIT) for name in shapes)
    if size is None and not convolutional:
        raise InputError(
            f"{path} does not hold a SAM 2 model: give an official .pt, its Hugging Face .safetensors, "
            "or a file that this software wrote; for plain weights of another model load_model(..., "
            "variant='nano') says which."
        )
    if not any(name.startswith("memory_attention.") for name in shapes):
        raise InputError(
            f"{path} holds the image part of a model alone, without its memory: give the whole model "
            "(the official .pt, or the safetensors of a Sam2VideoModel)."
        )
    if convolutional:
        return VARIANTS["edgetam"]
    signed = ("obj_ptr_tpos_proj.", "temporal_positional_encoding_projection_layer.")
    version = "sam2.1" if any(name.startswith(signed) for name in shapes) else "sam2"
    return VARIANTS[f"{version}_hiera_{size}"]


def _of_stem(alike: list[ModelConfig], path: Path | str, assumed: Callable[[str], None]) -> ModelConfig:
    """Return the variant that a file is called by, of those whose weights are alike; else the first."""
    chosen = next((config for config in alike if config.name == Path(path).stem), None)
    if chosen is None:
        chosen, *others = alike
        assumed(
            f"{path} is taken for {chosen.name}: {', '.join(one.name for one in others)} have weights of the "
            "same names and shapes; name the file as its model, or give load_model(..., variant=...)."
        )
    return chosen
