"""How many objects are tracked as one batch: as many as their attention has room for on the device."""

from types import SimpleNamespace

import pytest
import torch

from sam2_engine.modeling.config import VARIANTS
from sam2_engine.video.tracker import Tracker

FULL = (7, 16)
"""Memories and pointers of an object, once it has been tracked for long."""


def batch_size(name: str, device: str, layout: tuple[int, int]) -> int:
    config = VARIANTS[name]
    tracker = Tracker.__new__(Tracker)
    tracker.model = SimpleNamespace(config=config, grid=config.image_size // 16, device=torch.device(device))  # type: ignore[assignment]
    return tracker._batch_size(layout[0] * tracker.model.grid**2, layout[1])


@pytest.mark.parametrize("layout", [(1, 1), (4, 9), FULL, (30, 16)])
def test_no_tensor_of_attention_weights_is_beyond_what_mps_computes_rightly(layout: tuple[int, int]) -> None:
    tokens = layout[0] * 64**2 + 4 * layout[1]
    size = batch_size("sam2.1_hiera_large", "mps", layout)
    assert size == 1 or 4 * 64**2 * tokens * size < 2**32


def test_twenty_objects_are_one_batch_on_cuda() -> None:
    assert batch_size("sam2.1_hiera_large", "cuda", FULL) >= 20
    assert batch_size("sam2.1_hiera_large", "cpu", FULL) == 1
