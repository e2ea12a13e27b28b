"""Shortcuts of the image encoder where nothing learns give what the layers give one after the other."""

import pytest
import torch

from sam2_engine.modeling import layers
from sam2_engine.modeling.layers import in_parts
from sam2_engine.modeling.sam2 import Sam2


def test_a_picture_is_encoded_as_while_learning(small_model: Sam2, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    expected = small_model.encode_image(pixels)
    monkeypatch.setattr(layers, "_PART", 2**12)
    with torch.inference_mode():
        encoded = small_model.encode_image(pixels)
    torch.testing.assert_close(encoded.embedding, expected.embedding, atol=1e-4, rtol=1e-4)
    for ours, theirs in zip(encoded.high_res, expected.high_res, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 5, 6, 7, 12])
def test_parts_are_put_together_in_order(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_PART", 60)
    asked = []

    def compute(part: torch.Tensor) -> torch.Tensor:
        asked.append(len(part))
        return torch.stack((part, -part), -1)

    x = torch.arange(rows * 3.0).view(rows, 3)
    with torch.no_grad():
        assert torch.equal(in_parts(compute, x, widest=10), torch.stack((x, -x), -1))
    assert max(asked) == min(rows, 6)
    asked.clear()
    in_parts(compute, x, widest=10)
    assert asked == [rows]
