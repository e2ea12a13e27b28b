"""``auto`` is what the environment says, or what the device has; anything else is refused in a sentence."""

import copy

import numpy as np
import pytest
import torch

from sam2_engine import VideoSession, load_model
from sam2_engine.errors import InputError
from sam2_engine.modeling import precision, processor
from sam2_engine.modeling.position_encoding import RandomFourierEncoding
from sam2_engine.modeling.precision import bfloat16_gain, choose_dtype, has_bfloat16
from sam2_engine.modeling.sam2 import Sam2

CPU = torch.device("cpu")


def test_auto_is_what_the_cpu_has_instructions_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAM2_DTYPE")
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: device.type == "cpu")
    for has, dtype in (
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True, "avx512_bf16": False}, torch.bfloat16),
        ({"avx2": True, "avx512_f": True, "avx512_bf16": False}, torch.float32),
    ):
        monkeypatch.setattr(processor, "capabilities", lambda has=has: has)
        assert choose_dtype("auto", CPU) == dtype
        assert choose_dtype("float32", CPU) == torch.float32
    # An older PyTorch is asked otherwise.
    monkeypatch.setattr(processor, "capabilities", dict)
    for has in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has=has: has, raising=False)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
        assert choose_dtype("auto", CPU) == (torch.bfloat16 if has else torch.float32)
    assert choose_dtype("auto", torch.device("mps")) == torch.float32


def test_the_environment_goes_before_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAM2_DTYPE", "bfloat16")
    assert load_model("nano", device="cpu").compute_dtype == torch.bfloat16
    assert load_model("nano", device="cpu", dtype="float32").compute_dtype == torch.float32
    monkeypatch.setenv("SAM2_DTYPE", "int8")
    with pytest.raises(InputError, match="Models do not run in int8: give auto, float32, bfloat16, float16"):
        load_model("nano", device="cpu")


def test_without_bfloat16_nothing_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert not has_bfloat16(CPU)
    bfloat16_gain.cache_clear()
    assert bfloat16_gain(1) == 0
    bfloat16_gain.cache_clear()


def test_what_is_faster_is_measured() -> None:
    bfloat16_gain.cache_clear()
    assert (bfloat16_gain(1) > 0) == has_bfloat16(CPU)


def test_a_device_that_only_emulates_bfloat16_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAM2_DTYPE")
    for has, dtype in ((False, torch.float32), (True, torch.bfloat16)):
        monkeypatch.setattr(
            torch.cuda,
            "is_bf16_supported",
            lambda including_emulation=True, has=has: including_emulation or has,
        )
        assert choose_dtype("auto", torch.device("cuda")) == dtype


def test_coordinates_are_encoded_in_float32_whatever_is_computed_in() -> None:
    encoding = RandomFourierEncoding(256)
    points = torch.rand(1, 9, 2)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, mixed_grid = encoding(points), encoding.grid(4, 4)
    assert torch.equal(mixed, encoding(points))
    assert torch.equal(mixed_grid, encoding.grid(4, 4))


def test_a_model_tracks_in_bfloat16(small_model: Sam2) -> None:
    model = copy.deepcopy(small_model)
    model.compute_dtype = torch.bfloat16
    frames = np.zeros((3, 64, 64), np.uint8)
    frames[:, 20:40, 20:40] = 200
    session = VideoSession(model, frames)
    session.add_points(0, 1, (30, 30))
    assert [result.frame for result in session.propagate()] == [0, 1, 2]
