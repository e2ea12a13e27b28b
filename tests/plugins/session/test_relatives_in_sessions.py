"""Relatives of SAM 2 in the shell and in sessions: tracked, corrected, undone, closed and opened again."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from small_model import RELATIVES, write_small_checkpoint

import sam2_plugins
from sam2_engine.errors import InputError
from sam2_engine.modeling.config import ModelConfig
from sam2_plugins.cli.app import main


@pytest.fixture(params=RELATIVES, ids=lambda config: config.name)
def relative(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    file = tmp_path / f"{request.param.name}.safetensors"
    write_small_checkpoint(file, request.param)
    return file


def test_a_session_with_a_relative_is_tracked_corrected_undone_and_opened_again(
    relative: Path, discs: NDArray[np.uint8], tmp_path: Path
) -> None:
    stack = tmp_path / "discs.tif"
    tifffile.imwrite(stack, discs, metadata={"axes": "TYX"})
    with sam2_plugins.open(stack, model=relative, device="cpu", session=tmp_path / "work.sam2") as work:
        cell = work.add_object("cell")
        work.add_prompt(0, cell, points=[(20, 20)])
        work.propagate()
        work.add_prompt(4, cell, points=[(28, 20)])
        work.propagate(start=4)
        corrected = work.labels()[:].copy()
        work.undo()
        work.redo()
        assert np.array_equal(work.labels()[:], corrected)
    with sam2_plugins.open(tmp_path / "work.sam2", device="cpu") as again:
        assert np.array_equal(again.labels()[:], corrected)
        assert corrected.any(axis=(1, 2)).all()


def test_the_shell_segments_tracks_and_finds_with_a_relative(
    relative: Path, discs: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("discs.tif", discs, metadata={"axes": "TYX"})
    tifffile.imwrite("one.tif", discs[0])
    model = ["--model", str(relative), "--device", "cpu"]
    assert main(["segment", "one.tif", "--point", "20,20", "-o", "seeds.tif", *model]) == 0
    assert main(["track", "discs.tif", "--masks", "seeds.tif", "-o", "tracked.tif", *model]) == 0
    assert tifffile.imread("tracked.tif").shape == discs.shape
    assert main(["auto", "one.tif", "-o", "all.tif", "--confidence", "0", *model]) in (0, 1)


@pytest.mark.parametrize("config", RELATIVES[1:], ids=lambda config: config.name)
def test_what_a_relative_cannot_is_refused_in_a_session(
    config: ModelConfig, discs: NDArray[np.uint8], tmp_path: Path
) -> None:
    write_small_checkpoint(tmp_path / "relative.safetensors", config)
    model = f"{tmp_path / 'relative.safetensors'}+fast"
    with pytest.raises(InputError, match="cannot look in windows"):
        sam2_plugins.open(discs, model=model, device="cpu")
