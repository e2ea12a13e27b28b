"""Growth of a trunk: the same outputs until trained, gradients in the new blocks, and a file of its own."""

import sys
from pathlib import Path

import pytest
import torch

from sam2_engine.errors import InputError
from sam2_engine.modeling.config import VARIANTS
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.training.nano import stages
from sam2_engine.training.nano import train as train_nano
from sam2_engine.training.nano.curriculum import BatchConfig
from sam2_engine.training.nano.growth import grow
from sam2_engine.training.nano.trainer import Schedule
from sam2_engine.weights.loading import load_model, save_model

NEW = (4, 9, 10, 12)
"""Indices of the new blocks of ``(0, 1, 2, 1)``."""


@pytest.fixture(scope="module")
def nano() -> Sam2:
    return load_model("nano", device="cpu", dtype=torch.float32, image_size=128)


@pytest.fixture(scope="module")
def grown(nano: Sam2) -> Sam2:
    return grow(nano, (0, 1, 2, 1))


def _encoded(model: Sam2) -> list[torch.Tensor]:
    torch.manual_seed(0)
    pixels = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        features = model.encode_image(pixels)
    return [features.embedding, *features.high_res]


def test_blocks_are_added_and_global_ones_renumbered(nano: Sam2, grown: Sam2) -> None:
    assert grown.config.stages == (1, 3, 7, 2)
    assert grown.config.global_attention_blocks == (6, 8)
    windows = [block.window_size for block in grown.image_encoder.trunk.blocks]
    old = [block.window_size for block in nano.image_encoder.trunk.blocks]
    assert [size for index, size in enumerate(windows) if index not in NEW] == old
    assert [windows[index] for index in NEW] == [4, 12, 12, 8]
    assert nano.config.stages == (1, 2, 5, 1), "the model itself is as it was"


def test_a_grown_model_computes_the_same(nano: Sam2, grown: Sam2) -> None:
    for before, after in zip(_encoded(nano), _encoded(grown), strict=True):
        torch.testing.assert_close(after, before, atol=0.0, rtol=0.0)


def test_every_new_block_learns(nano: Sam2) -> None:
    model = grow(nano, (0, 1, 2, 1)).requires_grad_()
    features = model.encode_image(torch.randn(1, 3, 128, 128))
    (features.embedding.square().mean() + features.high_res[1].square().mean()).backward()
    for index in NEW:
        block = model.image_encoder.trunk.blocks[index]
        for name in ("attn.proj.weight", "mlp.layers.1.weight"):
            gradient = block.get_parameter(name).grad
            assert gradient is not None, (index, name)
            assert gradient.abs().max() > 0, (index, name)


def test_its_file_says_how_it_was_grown(nano: Sam2, grown: Sam2, tmp_path: Path) -> None:
    path = tmp_path / "grown.safetensors"
    save_model(grown, path, dtype=torch.float16)
    again = load_model(path, device="cpu", dtype=torch.float32)
    assert again.config == grown.config
    for name, value in again.state_dict().items():
        torch.testing.assert_close(value, grown.state_dict()[name], atol=1e-3, rtol=1e-3)
    for before, after in zip(_encoded(nano), _encoded(again), strict=True):
        torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)  # nano's weights are float16's


@pytest.mark.parametrize("blocks", [(), (1,), (0, 0, 2, 1, 1), (0, 0, -1, 1)])
def test_blocks_that_fit_no_stages(nano: Sam2, blocks: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="give for example 0 0 2 1"):
        grow(nano, blocks)


def test_another_trunk_does_not_grow() -> None:
    with torch.device("meta"), pytest.raises(InputError, match="of a Hiera trunk"):
        grow(Sam2(VARIANTS["edgetam"]), (0, 0, 1, 0))


def test_the_command_grows_trains_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = BatchConfig(size=128, batch_size=1, max_objects=1, synthetic=1.0, corrections=0)
    tiny = {"last": stages.Stage((config,), Schedule(2, warmup=1), initial_share=0.5)}
    for module in (train_nano, stages):
        monkeypatch.setattr(module, "STAGES", tiny)
    (tmp_path / "data").mkdir()
    output = tmp_path / "nano.safetensors"
    arguments = ["--data", str(tmp_path / "data"), "--run", str(tmp_path / "run"), "--output", str(output)]
    arguments += ["--stage", "last", "--from", "nano", "--grow", "0", "0", "1", "1"]
    monkeypatch.setattr(sys, "argv", ["train_nano", *arguments, "--workers", "0", "--threads", "1"])
    train_nano.main()
    first = load_model(output, device="cpu")
    assert first.config.stages == (1, 2, 6, 2)
    trained = torch.load(tmp_path / "run" / "last" / "checkpoint.pt", weights_only=True)["averaged"]
    name = "image_encoder.trunk.blocks.8.mlp.layers.1.weight"
    assert trained[name].abs().max() > 0
    left = first.state_dict()[name]
    torch.testing.assert_close(left, trained[name] / 2, atol=1e-6, rtol=1e-2)  # half of it was nothing
    train_nano.main()
    again = load_model(output, device="cpu").state_dict()
    for name, value in first.state_dict().items():
        assert torch.equal(again[name], value), name  # also what began at random


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--grow", "0", "0", "2", "1"], "--grow needs --from"),
        (["--grow", "2", "--from", "nano", "--hours", "1"], "give for example 0 0 2 1"),
    ],
)
def test_growth_that_cannot_be(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = ["--data", str(tmp_path), "--run", str(tmp_path / "run"), *arguments]
    monkeypatch.setattr(sys, "argv", ["train_nano", *given])
    with pytest.raises(SystemExit) as stopped:
        train_nano.main()
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err
