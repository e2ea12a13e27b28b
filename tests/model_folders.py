"""A model folder without a training: weights, and a card that is right."""

from pathlib import Path

import torch

from sam2_engine.weights.adapters import weights_digest
from sam2_engine.weights.loading import load_model, save_model
from sam2_engine.weights.model_folder import ModelCard, Preprocessing, file_sha256, write_card


def write_model_folder(folder: Path, weights: Path, license: str | None, add: float = 0.0) -> Path:
    """Write a copy of some weights, with a number added to one of them, as a model that was taught cells."""
    model = load_model(weights, "cpu")
    with torch.no_grad():
        model.no_mem_embed.add_(add)
    folder.mkdir(exist_ok=True)
    save_model(model, folder / "model.safetensors")
    card = ModelCard(
        name=folder.name,
        architecture=model.config.name,
        sha256=file_sha256(folder / "model.safetensors"),
        base="nano-like",
        base_digest=weights_digest(model.state_dict()),
        base_license="not known",
        trained="all but the image encoder",
        steps=7,
        data={"images": 3, "objects": 20, "description": "3 images."},
        before={"one_click": 0.5},
        after={"one_click": 0.6},
        gain="Gain on 1 held-out frame: IoU after one click 0.500 -> 0.600 (+0.100).",
        software="sam2-plugins",
        citation="this test",
        preprocessing=Preprocessing("gray", "uint8", "8 bits as they are", model.image_size, "YX"),
        license=license,
    )
    write_card(folder, card)
    return folder
