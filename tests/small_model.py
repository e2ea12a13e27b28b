"""A small model in a file, so that no test needs a download."""

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


def write_small_checkpoint(path: Path) -> None:
    """Seeded random weights that find every object present."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Sam2(SMALL)
    torch.nn.init.constant_(model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias, 6.0)
    save_model(model, path)
