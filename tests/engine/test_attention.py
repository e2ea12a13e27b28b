"""The formula that learning on a CPU writes out is the attention that prediction uses."""

import pytest
import torch
from torch.nn import functional as F

from sam2_engine.modeling.attention import attend


@pytest.mark.parametrize("keys", [50, 7])
def test_learning_in_bfloat16_attends_as_the_fused_kernel_does(keys: int) -> None:
    generator = torch.Generator().manual_seed(0)
    draw = [torch.randn(2, 4, length, 16, generator=generator) for length in (50, keys, keys)]
    coarse = [tensor.bfloat16().requires_grad_() for tensor in draw]
    fine = [tensor.bfloat16().float().requires_grad_() for tensor in draw]
    attended, expected = attend(*coarse), F.scaled_dot_product_attention(*fine)
    assert torch.allclose(attended.float(), expected, atol=0.02)
    attended.float().square().sum().backward()
    expected.square().sum().backward()
    for ours, theirs in zip(coarse, fine, strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.allclose(ours.grad.float(), theirs.grad, atol=0.06)
