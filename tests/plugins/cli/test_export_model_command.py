"""``sam2 export-model``: what it writes, and what it refuses before any work."""

import errno
import json
from pathlib import Path

import pytest

from sam2_plugins.cli.app import main


@pytest.mark.slow
def test_a_model_is_exported_into_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["export-model", "nano@64", "--images", "--format", "torch", "-o", str(tmp_path / "nano")]
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'nano'}: 2 parts of nano, ")
    names = sorted(path.name for path in (tmp_path / "nano").iterdir())
    assert names == ["card.json", "image_encoder.pt2", "mask_decoder.pt2"]
    card = json.loads((tmp_path / "nano" / "card.json").read_text())
    assert (card["model"], card["license"], card["commercial_use"]) == ("nano", "Apache-2.0", True)
    assert main(arguments) == 2
    assert capsys.readouterr().err == (
        f"sam2: {tmp_path / 'nano'} exists; choose another name, or replace it with --overwrite.\n"
    )
    assert main([*arguments, "--overwrite"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["nano"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nano", "--format", "coreml"], "Models are exported as onnx or torch, not as 'coreml'.\n"),
        (
            ["nano", "--precision", "int4"],
            "Models are exported in float32, float16, int8, not in 'int4'.\n",
        ),
        (
            ["nano", "--precision", "int8", "--format", "torch"],
            "Programs of PyTorch are exported in float32; int8 is for onnx alone.\n",
        ),
        (
            ["nano+fast", "--format", "torch"],
            "nano with windows cannot be exported, as windows change from frame to frame: leave the "
            "approximations out.\n",
        ),
    ],
)
def test_what_cannot_be_exported_is_refused(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export-model", *arguments, "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"sam2: {said}"
    assert list(tmp_path.iterdir()) == []


def test_memory_that_is_full_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 12 TB\nat 0x7f")

    monkeypatch.setattr("sam2_engine.model_export.writing.parts_of", full)
    assert main(["export-model", "nano@64", "--format", "torch", "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(
        "sam2: There is not enough memory (DefaultCPUAllocator: can't allocate memory: you"
    )
    assert said.endswith("use a smaller model or fewer objects.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_full_disk_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert (
        main(["export-model", "nano@64", "--images", "--format", "torch", "-o", str(tmp_path / "out")]) == 2
    )
    assert "out: No space left on device; make space there." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["export-model", "nano", "-o", str(tmp_path), "--overwrite"]) == 2
    assert "holds something else; choose another name" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "mine"
