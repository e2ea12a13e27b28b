"""``auto`` is what the environment says, or what is faster; anything else is refused in a sentence."""

import pytest
import torch

from sam2_engine import load_model
from sam2_engine.errors import InputError
from sam2_engine.modeling import precision
from sam2_engine.modeling.precision import bfloat16_gain, choose_dtype, has_bfloat16

CPU = torch.device("cpu")


def test_auto_is_what_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAM2_DTYPE")
    for gain, dtype in ((2.0, torch.bfloat16), (1.2, torch.float32), (0.0, torch.float32)):
        monkeypatch.setattr(precision, "bfloat16_gain", lambda threads, gain=gain: gain)
        assert choose_dtype("auto", CPU) == dtype
        assert choose_dtype("float32", CPU) == torch.float32
    monkeypatch.undo()
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
