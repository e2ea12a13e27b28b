"""Shortcuts of the image encoder without gradients give the same as its layers one after the other."""

import copy

import pytest
import torch

from sam2_engine.modeling import layers
from sam2_engine.modeling.layers import apply_in_chunks
from sam2_engine.modeling.sam2 import Sam2


def test_an_image_is_encoded_as_in_training(small_model: Sam2, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    expected = small_model.encode_image(pixels)
    monkeypatch.setattr(layers, "_CHUNK", 2**12)
    with torch.inference_mode():
        encoded = small_model.encode_image(pixels)
    torch.testing.assert_close(encoded.embedding, expected.embedding, atol=1e-4, rtol=1e-4)
    for ours, theirs in zip(encoded.high_res, expected.high_res, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_the_cached_position_embedding_depends_on_size_and_weights(small_model: Sam2) -> None:
    trunk, changed = copy.deepcopy(small_model.image_encoder.trunk), torch.full((), 0.5)
    with torch.inference_mode():
        small, large = (
            trunk._position_embedding(32, 32, torch.float32),
            trunk._position_embedding(64, 64, torch.float32),
        )
        assert (small.shape[1], large.shape[1]) == (32, 64)
        assert trunk._position_embedding(64, 64, torch.float32) is large
    with torch.no_grad():
        trunk.pos_embed_window.add_(changed)
        torch.testing.assert_close(trunk._position_embedding(64, 64, torch.float32), large + changed)
        trunk.pos_embed.data = trunk.pos_embed.data + changed
        torch.testing.assert_close(trunk._position_embedding(64, 64, torch.float32), large + 2 * changed)


@pytest.mark.parametrize("rows", [1, 5, 6, 7, 12])
def test_chunks_are_concatenated_in_order(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_CHUNK", 60)
    lengths = []

    def compute(part: torch.Tensor) -> torch.Tensor:
        lengths.append(len(part))
        return torch.stack((part, -part), -1)

    x = torch.arange(rows * 3.0).view(rows, 3)
    with torch.no_grad():
        assert torch.equal(apply_in_chunks(compute, x, widest=10), torch.stack((x, -x), -1))
    assert max(lengths) == min(rows, 6)
    lengths.clear()
    apply_in_chunks(compute, x, widest=10)
    assert lengths == [rows]


@torch.inference_mode()
def test_what_a_hook_sees_of_a_block_stays_as_it_was(small_model: Sam2) -> None:
    """Blocks add in place, but never to what another block gave."""
    trunk, seen = small_model.image_encoder.trunk, []
    handles = [
        block.register_forward_hook(lambda _, inputs, output: seen.append((output, output.clone())))
        for block in trunk.blocks
    ]
    trunk(torch.rand(1, 3, 64, 64))
    for handle in handles:
        handle.remove()
    assert len(seen) == len(trunk.blocks)
    for output, copied in seen:
        torch.testing.assert_close(output, copied, atol=0, rtol=0)
