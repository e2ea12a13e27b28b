"""The command that makes nano says in a sentence what is missing."""

import sys
from pathlib import Path

import pytest

from sam2_engine.training import train_nano


def complaint(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["train_nano", *arguments])
    with pytest.raises(SystemExit) as stopped:
        train_nano.main()
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_a_missing_folder_of_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = complaint(capsys, monkeypatch, "--data", str(tmp_path / "none"), "--run", str(tmp_path))
    assert f"There is no {tmp_path / 'none'}" in said


def test_a_stage_whose_stage_before_was_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    arguments = ("--data", str(tmp_path / "data"), "--run", str(tmp_path / "run"), "--stage", "clicks")
    assert "run the stage before, or give --from" in complaint(capsys, monkeypatch, *arguments)


def test_weights_without_a_stage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = complaint(capsys, monkeypatch, "--data", str(tmp_path), "--from", "some.safetensors")
    assert "--from needs --stage" in said
