"""A small model in a file, so that no test needs a download."""

from dataclasses import replace
from pathlib import Path

import torch

from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.weights.loading import save_model

SMALL = ModelConfig(
    name="small",
    embed_dim=16,
    num_heads=1,
    stages=(1, 1, 2, 1),
    global_attention_blocks=(2,),
    window_sizes=(8, 4, 4, 4),
    image_size=128,
    hidden_dim=64,
    memory_dim=32,
    memory_attention_layers=1,
    memory_attention_ffn=64,
    drop_path=0.0,
)


PLAIN = ModelConfig(
    name="small-vit",
    trunk="vit",
    embed_dim=32,
    num_heads=2,
    stages=(3,),
    global_attention_blocks=(1,),
    window_sizes=(3,),
    pos_embed_size=(5, 5),
    image_size=128,
    hidden_dim=64,
    memory_dim=32,
    memory_attention_layers=2,
    memory_attention_ffn=64,
    drop_path=0.0,
    signed_pointer_time=False,
    absent_memory_embedding=False,
)
LATENT = replace(
    PLAIN,
    name="small-latents",
    trunk="repvit",
    embed_dim=16,
    num_heads=1,
    stages=(1, 1, 2, 1),
    global_attention_blocks=(),
    memory_latents=16,
)
POOLED = [replace(PLAIN, name=rule, memory_pooling=rule) for rule in ("weighted", "shifted")]
RELATIVES = PLAIN, *POOLED, LATENT
"""One of each kind of relative: EfficientTAM's three, and EdgeTAM."""


def write_small_checkpoint(path: Path, config: ModelConfig = SMALL) -> None:
    """Seeded random weights that find every object present."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Sam2(config)
    torch.nn.init.constant_(model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias, 6.0)
    save_model(model, path)
