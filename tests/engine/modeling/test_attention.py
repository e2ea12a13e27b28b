"""The formula that training on a CPU writes out is the attention that inference uses."""

import pytest
import torch
from torch.nn import functional as F

from sam2_engine.modeling import attention
from sam2_engine.modeling.attention import attend


@pytest.mark.parametrize("keys", [50, 7])
def test_training_in_bfloat16_attends_as_the_fused_kernel_does(keys: int) -> None:
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


def test_blocks_of_queries_attend_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With so little dropout that nothing is dropped, output and gradients are those of the fused kernel."""
    monkeypatch.setattr(attention, "_MAX_WEIGHTS", 200)
    generator = torch.Generator().manual_seed(0)
    draw = [torch.randn(2, 1, length, 16, generator=generator) for length in (50, 40, 40)]
    ours, theirs = ([tensor.clone().requires_grad_() for tensor in draw] for _ in range(2))
    attended, expected = attend(*ours, dropout=1e-9), F.scaled_dot_product_attention(*theirs)
    torch.testing.assert_close(attended, expected)
    attended.square().sum().backward()
    expected.square().sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-4, rtol=1e-4)


def test_blocks_that_are_computed_again_drop_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The output is linear in the values: with the same weights it is the values times their gradient."""
    monkeypatch.setattr(attention, "_MAX_WEIGHTS", 200)
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 1, length, 16, requires_grad=True) for length in (50, 40, 40))
    attended = attend(q, k, v, dropout=0.5)
    attended.sum().backward()
    assert v.grad is not None
    torch.testing.assert_close((v * v.grad).sum(), attended.sum(), rtol=1e-4, atol=1e-3)
    assert not torch.allclose(attended, F.scaled_dot_product_attention(q, k, v), atol=0.05)
