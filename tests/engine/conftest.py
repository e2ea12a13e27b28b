"""A small model with every weight drawn, so that no path is idle, and a small video."""

import numpy as np
import pytest
from drawn_weights import draw_weights
from numpy.typing import NDArray

from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.sam2 import Sam2

SMALL = ModelConfig(
    name="small-test",
    embed_dim=16,
    num_heads=1,
    stages=(1, 1, 2, 1),
    global_attention_blocks=(2,),
    window_sizes=(8, 4, 4, 4),
    image_size=128,
    hidden_dim=64,
    memory_dim=32,
    memory_attention_layers=2,
    memory_attention_ffn=64,
    drop_path=0.0,
)


@pytest.fixture(scope="session")
def small_model() -> Sam2:
    return draw_weights(Sam2(SMALL))


@pytest.fixture(scope="session")
def moving_discs() -> NDArray[np.uint8]:
    """(20, 96, 120, 3): two colored discs that move over a noisy gradient."""
    y, x = np.mgrid[:96, :120]
    noise = np.random.default_rng(7)
    frames = []
    for i in range(20):
        frame = np.stack([x * 1.5, y * 1.8, (x + y) * 0.8], axis=-1)
        frame[(x - 30 - 2 * i) ** 2 + (y - 35 - i) ** 2 < 200] = (230, 40, 40)
        frame[(x - 95 + 2 * i) ** 2 + (y - 60 + i) ** 2 < 150] = (40, 220, 90)
        frames.append(frame + noise.integers(-12, 13, frame.shape))
    return np.clip(frames, 0, 255).astype(np.uint8)
