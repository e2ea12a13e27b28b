"""What a report says of the machine: enough to repeat a fault, and nothing private."""

from pathlib import Path

import pytest
import torch

from sam2_plugins.cli.app import main
from sam2_plugins.runtime.machine_report import machine_report


def test_a_report_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.txt"
    assert main(["doctor", "-o", str(file)]) == 0
    printed = capsys.readouterr().out
    for part in ("sam2-plugins ", f"torch {torch.__version__}", "Device: ", "Type: ", "memory: ", "nano"):
        assert part in printed
    assert file.read_text() in printed


def test_the_users_folder_is_not_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "none" / "cache"))
    monkeypatch.setenv("SAM2_SECRET_FREE", "yes")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    lines = [line for _, lines in machine_report() for line in lines]
    assert not [line for line in lines if str(tmp_path) in line or "hidden" in line]
    assert "SAM2_SECRET_FREE=yes" in lines
    assert any(line.startswith("cache: ") and line.endswith("~/none/cache") for line in lines)


def test_a_report_goes_to_a_text_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "-o", "report.pdf"]) == 2
    assert "must end in .txt or .md" in capsys.readouterr().err


def test_another_package_of_the_same_name_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"napari_plugin": ["sam2-plugins", "napari-plugin"], "sam2_engine": ["sam2-plugins"]}
    monkeypatch.setattr("sam2_plugins.runtime.machine_report.packages_distributions", lambda: installed)
    lines = [line for _, lines in machine_report() for line in lines if "comes from" in line]
    assert lines == [
        "napari_plugin comes from napari-plugin and sam2-plugins, too: uninstall what is not sam2-plugins"
    ]
