"""What is derived from weights follows their changes; a GPU's shortcuts compute what the usual way does."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from sam2_engine.modeling import derived_weights
from sam2_engine.modeling.attention import RotaryAttention
from sam2_engine.modeling.grid_window import GridPositions
from sam2_engine.modeling.layers import Linear
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.video_session import VideoSession


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived_weights, "_on_gpu", lambda x: True)


def _step(layer: Linear) -> None:
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()


def _in_place(layer: Linear) -> None:
    with torch.no_grad():
        layer.bias[1] += 1


def _load(layer: Linear, *, assign: bool) -> None:
    layer.load_state_dict({name: 2 * tensor for name, tensor in layer.state_dict().items()}, assign=assign)


def _replace_data(layer: Linear) -> None:
    layer.weight.data = layer.weight.data + 1


def _replace(layer: Linear) -> None:
    layer.weight = nn.Parameter(layer.weight.detach() * 2)


@pytest.mark.parametrize(
    "change",
    [
        _step,
        _in_place,
        lambda i: _load(i, assign=False),
        lambda i: _load(i, assign=True),
        _replace_data,
        _replace,
    ],
)
def test_a_changed_weight_is_cast_anew(change: Callable[[Linear], None]) -> None:
    layer = Linear(3, 2)
    x = torch.randn(4, 3)

    def mixed() -> torch.Tensor:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            return layer(x)

    before = mixed()
    change(layer)
    expected = nn.functional.linear(x.bfloat16(), layer.weight.bfloat16(), layer.bias.bfloat16())
    assert torch.equal(mixed(), expected)
    assert not torch.equal(mixed(), before)


def test_weights_are_cast_once() -> None:
    layer = Linear(3, 2)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        cast = derived_weights.cast_weight(layer, "weight", torch.bfloat16)
        assert derived_weights.cast_weight(layer, "weight", torch.bfloat16) is cast
        assert derived_weights.cast_weight(layer, "weight", torch.float32) is layer.weight
    other = copy.deepcopy(layer)  # has weights of its own
    assert not other.__dict__["_derived_weights"]


def test_training_after_inference_has_gradients_of_the_weights() -> None:
    layer = Linear(3, 2)
    for _ in range(2):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            layer(torch.ones(1, 3))
        with torch.autocast("cpu", torch.bfloat16):
            layer(torch.ones(1, 3)).sum().backward()
    assert torch.equal(layer.bias.grad, torch.full((2,), 2.0))


@pytest.mark.parametrize("num_plain_keys", [0, 3])
@pytest.mark.parametrize("is_self", [False, True])
def test_attention_in_few_launches(is_self: bool, num_plain_keys: int, as_on_a_gpu: None) -> None:
    attention = RotaryAttention(32, key_value_dim=32 if is_self else 8).eval()
    q = torch.randn(2, 16, 32)
    k = q if is_self else torch.randn(2, 3 * 16 + num_plain_keys, 8)
    v = q if is_self else torch.randn_like(k)
    plain = 0 if is_self else num_plain_keys
    expected = attention(q, k, v, GridPositions((4, 4)), num_plain_keys=plain)  # with gradients as on a CPU
    with torch.inference_mode():
        torch.testing.assert_close(attention(q, k, v, GridPositions((4, 4)), num_plain_keys=plain), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tracking_as_on_a_gpu_gives_the_same_masks(
    dtype: torch.dtype, small_model: Sam2, moving_discs: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def masks() -> NDArray[np.float32]:
        model = copy.deepcopy(small_model)
        model.compute_dtype = dtype
        session = VideoSession(model, moving_discs[:5])
        session.add_points(0, 1, [(30, 35)])
        session.add_points(0, 2, [(95, 60)])
        session.add_points(2, 3, [(95, 60)])
        return np.concatenate([result.low_res_logits for result in session.propagate()])

    usual = masks()
    monkeypatch.setattr(derived_weights, "_on_gpu", lambda x: True)
    shortcuts = masks()
    spread = usual.std()
    tolerance = 1e-4 if dtype == torch.float32 else 0.1
    assert np.abs(shortcuts - usual).mean() < tolerance * spread


def test_the_next_frame_sees_what_was_written_without_a_version(
    small_model: Sam2, moving_discs: NDArray[np.uint8]
) -> None:
    """Weights of every part, written to through ``data``, between two frames."""
    model = copy.deepcopy(small_model)
    model.compute_dtype = torch.bfloat16

    def logits(of: Sam2, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        session = VideoSession(of, frames)
        session.add_points(0, 1, (30, 35))
        return [result.low_res_logits for result in session.propagate()][-1]

    before = logits(model, moving_discs[:3])
    for part in (model.memory_attention, model.sam_mask_decoder, model.memory_encoder):
        for parameter in part.parameters():
            parameter.data.mul_(0.9)
    after = logits(model, moving_discs[:3])
    assert not np.array_equal(after, before)
    np.testing.assert_array_equal(after, logits(copy.deepcopy(model), moving_discs[:3]))
