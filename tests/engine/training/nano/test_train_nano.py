"""The command that trains nano: its stages in turn, and a sentence for what is missing."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sam2_engine.training.nano import stages
from sam2_engine.training.nano import train as train_nano
from sam2_engine.training.nano.curriculum import BatchConfig
from sam2_engine.training.nano.trainer import Schedule
from sam2_engine.weights.loading import load_model


def error_message(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> str:
    monkeypatch.setattr(sys, "argv", ["train_nano", *arguments])
    with pytest.raises(SystemExit) as stopped:
        train_nano.main()
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_a_missing_folder_of_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    message = error_message(capsys, monkeypatch, "--data", str(tmp_path / "none"), "--run", str(tmp_path))
    assert f"There is no {tmp_path / 'none'}" in message


def test_a_stage_whose_stage_before_was_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    arguments = ("--data", str(tmp_path / "data"), "--run", str(tmp_path / "run"), "--stage", "clicks")
    assert "run the stage before, or give --from" in error_message(capsys, monkeypatch, *arguments)


def test_weights_without_a_stage_or_hours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    message = error_message(capsys, monkeypatch, "--data", str(tmp_path), "--from", "some.safetensors")
    assert "--from needs --stage or --hours" in message


def test_stages_in_turn_leave_the_mean_with_what_they_started_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = BatchConfig(size=128, batch_size=1, max_objects=1, synthetic=1.0, corrections=0)
    first = stages.Stage((config,), Schedule(2, warmup=1))
    for module in (train_nano, stages):
        monkeypatch.setattr(module, "STAGES", {"first": first, "again": replace(first, initial_share=0.5)})
    (tmp_path / "data").mkdir()
    run, output = tmp_path / "run", tmp_path / "nano.safetensors"
    arguments = ["--data", str(tmp_path / "data"), "--run", str(run), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["train_nano", *arguments, "--workers", "0", "--threads", "1"])
    train_nano.main()
    initial = load_model(run / "first" / "nano.safetensors", device="cpu").state_dict()
    trained = torch.load(run / "again" / "checkpoint.pt", weights_only=True)["averaged"]
    left = load_model(output, device="cpu").state_dict()
    name = "image_encoder.trunk.blocks.0.attn.qkv.weight"
    assert not torch.equal(trained[name], initial[name])
    torch.testing.assert_close(left[name], (trained[name] + initial[name]) / 2, atol=1e-4, rtol=1e-3)


def test_hours_from_nothing_leave_the_last_stage_alone_and_are_spent_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = BatchConfig(size=128, batch_size=1, max_objects=1, synthetic=1.0, corrections=0)
    first = stages.Stage((config,), Schedule(500, warmup=1))
    tiny = {"first": first, "last": replace(first, initial_share=0.5)}
    for module in (train_nano, stages):
        monkeypatch.setattr(module, "STAGES", tiny)
    monkeypatch.setattr(stages, "HOURS", {"first": 0.5, "last": 0.5})
    (tmp_path / "data").mkdir()
    run, output = tmp_path / "run", tmp_path / "nano.safetensors"
    arguments = ["--data", str(tmp_path / "data"), "--run", str(run), "--output", str(output)]
    arguments += ["--hours", "0.000001", "--pool", str(tmp_path / "pool"), "--pool-scenes", "1"]
    monkeypatch.setattr(sys, "argv", ["train_nano", *arguments, "--workers", "0", "--threads", "1"])
    train_nano.main()
    trained = torch.load(run / "last" / "checkpoint.pt", weights_only=True)
    assert trained["step"] == 1
    left = load_model(output, device="cpu").state_dict()
    name = "image_encoder.trunk.blocks.0.attn.qkv.weight"
    torch.testing.assert_close(left[name], trained["averaged"][name], atol=1e-4, rtol=1e-3)
    train_nano.main()
    assert torch.load(run / "last" / "checkpoint.pt", weights_only=True)["step"] == 1
    assert (run / "last" / "log.csv").read_text().splitlines()[1].startswith("1,")
    assert (run / "last" / "validation.csv").exists()


def test_a_pool_of_no_scenes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    message = error_message(capsys, monkeypatch, "--data", str(tmp_path), "--pool-scenes", "0")
    assert "--pool-scenes is how many of each kind to render" in message
