"""Card of an exported model: what a program without PyTorch has to know beside the files."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from torch import Tensor

from sam2_engine.model_export.parts import MAX_POINTERS, Part
from sam2_engine.modeling.sam2 import (
    LOGIT_CLAMP,
    MASK_STRIDE,
    NO_OBJECT_LOGIT,
    STABILITY_OFFSET,
    STABILITY_THRESHOLD,
    Sam2,
)
from sam2_engine.preprocessing import MEAN, STD
from sam2_engine.weights.locations import card_of
from sam2_engine.weights.pixel_rules import rule_of
from sam2_engine.weights.registry import registered

__all__ = ["CARD", "FORMAT", "FORMAT_VERSION", "RULES", "describe", "fingerprint", "rules_checksum"]

CARD = "card.json"
"""Its file."""
FORMAT = "sam2-plugins exported model"
FORMAT_VERSION = 1
"""Of the card, and of the names and meanings of inputs and outputs; runners refuse another."""
RULES = ("image_size", "mean", "std", "keeps_aspect_ratio", "masks", "memory")
"""What of a card decides masks, beside the names of each part's outputs."""


def fingerprint(model: Sam2) -> str:
    """Return what tells a model's weights and sizes from all others', 16 hexadecimal digits."""
    digest = hashlib.sha256(repr(model.config).encode())
    for name, weight in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().numpy())
    return digest.hexdigest()[:16]


def rules_checksum(card: Mapping[str, Any]) -> str:
    """Return the checksum of all that a card says by which pixels become masks: each file carries it, too.

    The runner computes the same (``checksum_of_rules`` in ``onnx_runner/card.py``).
    """
    said = {name: card.get(name) for name in RULES}
    said["outputs"] = {name: part["outputs"] for name, part in card["parts"].items()}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _license_of(model: Sam2) -> dict[str, Any]:
    """Return what is known of the license of a model's weights."""
    name = model.loaded_as[0] if model.loaded_as else None
    if name is not None and (known := registered(name)) is not None:
        return {"license": known.license, "commercial_use": known.commercial}
    if name is None or (card := card_of(name)) is None:
        return {"license": "not stated", "commercial_use": None}
    base = {"model": card.base, "license": card.base_license}
    return {"license": card.license or "not stated", "commercial_use": card.commercial, "made_from": base}


def describe(model: Sam2, parts: list[Part], license: str | None) -> dict[str, Any]:
    """Return the card of a model, as plain JSON values, without what is known of its files.

    Parameters
    ----------
    model, parts
        The model, and what is exported of it.
    license
        Of the weights; None for what the registry of models says, or the card beside them.
    """
    config = model.config
    described: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "model": config.name,
        "fingerprint": fingerprint(model),
        **(_license_of(model) if license is None else {"license": license, "commercial_use": None}),
        "written_by": f"sam2-plugins {version('sam2-plugins')}, PyTorch {version('torch')}",
        "image_size": model.image_size,
        "mean": MEAN.flatten().tolist(),
        "std": STD.flatten().tolist(),
        "gray_levels": rule_of(config.intensities).words,
        "keeps_aspect_ratio": config.keeps_aspect_ratio,
        "masks": {
            "stride": MASK_STRIDE,
            "several_for_one_click": config.multimask_output_in_sam,
            "best_where_unstable": config.dynamic_multimask_via_stability,
            "stability_offset": STABILITY_OFFSET,
            "stability_threshold": STABILITY_THRESHOLD,
            "logit_clamp": LOGIT_CLAMP,
            "no_object_logit": NO_OBJECT_LOGIT,
        },
        "parts": {part.name: _describe_part(part) for part in parts},
    }
    if any(part.name == "memory_encoder" for part in parts):
        described["memory"] = {
            "tokens": len(model.memory_space()),
            "channels": config.memory_dim,
            "recent": config.num_recent_memories,
            "pointers": MAX_POINTERS,
            "type": "bfloat16",
        }
    return described


def _describe_part(part: Part) -> dict[str, Any]:
    return {
        "purpose": part.purpose,
        "inputs": {
            name: {"type": _type_of(example), "shape": _shape(example, part.free[name])}
            for name, example in part.inputs.items()
        },
        "outputs": list(part.outputs),
    }


def _type_of(example: Tensor) -> str:
    return str(example.dtype).removeprefix("torch.")


def _shape(example: Tensor, free: dict[int, str]) -> list[int | str]:
    return [free.get(axis, size) for axis, size in enumerate(example.shape)]
