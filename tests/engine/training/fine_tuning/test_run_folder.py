"""Folders of runs: one process at a time trains in one."""

from pathlib import Path

import pytest

from sam2_engine.errors import InputError
from sam2_engine.training.fine_tuning.run_folder import RunFolder, alone_in


def test_a_second_training_in_a_folder_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with alone_in(run):
        RunFolder(run).write("settings.json", {"steps": 1})
        with pytest.raises(InputError, match=f"in {run}: wait until it has ended, or give another folder"):
            alone_in(run).__enter__()
    assert [path.name for path in run.iterdir()] == ["settings.json"]
    with alone_in(run):
        pass


def test_a_folder_that_was_made_for_nothing_is_removed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="refused"), alone_in(tmp_path / "run"):
        raise ValueError("refused")
    assert list(tmp_path.iterdir()) == []
