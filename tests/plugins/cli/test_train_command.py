"""``sam2 train``: from a folder to weights, by options or a file of settings; what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from small_model import SMALL, write_small_checkpoint

from sam2_engine.frames import open_frames
from sam2_engine.training.fine_tuning import sampling
from sam2_engine.weights.loading import load_model
from sam2_engine.weights.pixel_rules import RULES, window_of
from sam2_plugins.cli import app as cli
from sam2_plugins.cli.commands import training_output


@pytest.fixture
def cells(tmp_path: Path, discs: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stack of five frames and its labels."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "cells"
    folder.mkdir()
    y, x = np.mgrid[:60, :80]
    discs_apart = [((x - 20 - 2 * t) ** 2 + (y - 20) ** 2 < 100) for t in range(5)]
    tifffile.imwrite(folder / "a.tif", discs[:5], metadata={"axes": "TYX"})
    tifffile.imwrite(folder / "a_labels.tif", np.array(discs_apart, np.uint16) * 7, metadata={"axes": "TYX"})
    return folder


def test_weights_come_out_and_the_gain_is_one_line(
    cells: Path, small_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--from", str(small_checkpoint), "--data", str(cells), "--steps", "2", "--batch-size", "1"]
    assert cli.main(["train", *options, "--run", "run", "-o", "mine.safetensors"]) == 0
    out, err = capsys.readouterr()
    gain, path = out.strip().splitlines()
    assert gain.startswith("Gain on 1 held-out frame: IoU after one click")
    assert path == "mine.safetensors"
    assert "1 TIFF stack" in err
    assert load_model("mine.safetensors", "cpu").config.name == "small"
    assert cli.main(["train", *options, "--run", "run", "--learning-rate", "0.5"]) == 2
    assert "holds a run with learning_rate" in capsys.readouterr().err


def test_a_run_is_continued_added_and_tells_how_far_it_is(
    cells: Path, small_checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAM2_CACHE", str(cells.parent / "cache"))
    monkeypatch.setattr(training_output, "SECONDS_BETWEEN_LINES", 0.0)
    options = [
        "--from",
        str(small_checkpoint),
        "--data",
        str(cells),
        "--batch-size",
        "1",
        "--run",
        "runs/mine",
    ]
    assert cli.main(["train", *options, "--steps", "1"]) == 0
    assert cli.main(["train", *options, "--steps", "2"]) == 0
    err = capsys.readouterr().err
    for line in ("measuring 1 of 2", "learning 2 of 2", "Continuing runs/mine after step 1 of 2."):
        assert line in err
    assert "of 1\n" not in err.replace("learning 1 of 1", "")
    adding = "sam2 models add runs/mine"
    assert f"To have it by name everywhere: {adding}" in err
    assert cli.main(adding.split()[1:]) == 0
    assert load_model("mine", "cpu").config.name == "small"


def test_lines_come_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now, said = [100.0], []
    monkeypatch.setattr(training_output.time, "monotonic", lambda: now[0])
    lines = training_output._Lines(said.append)
    for step in range(1, 101):
        lines.show("learning", step, 100)
        now[0] += 1.0
    assert said == [
        "learning 31 of 100, about 1 min left",
        "learning 61 of 100, about 39 s left",
        "learning 91 of 100, about 9 s left",
    ]


def test_settings_come_from_a_file_and_options_overrule_them(
    cells: Path, small_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run.toml").write_text(
        f'from = "{small_checkpoint}"\ndata = "cells"\nsteps = 50\nbatch_size = 1\n'
        "[prompts]\ncorrections = 0\n",
        encoding="utf-8-sig",
    )
    assert cli.main(["train", "run.toml", "--steps", "1"]) == 0
    assert (Path("runs") / "cells-small" / "model.safetensors").is_file()
    assert len((Path("runs") / "cells-small" / "log.csv").read_text().splitlines()) == 2
    capsys.readouterr()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("stepz = 3", "There is no setting stepz (did you mean 'steps'?); the known ones are"),
        ("steps = 'many'", "steps = 'many': it should be a whole number"),
        ("steps = 0", "steps = 0: it must be 1 or more."),
        ("[prompts]\nclicks = 3", "There is no setting prompts.clicks"),
        ("prompts = 3", "prompts is a table of settings"),
        ("steps = ", "is not valid TOML"),
    ],
)
def test_a_fault_in_the_settings_is_named(
    text: str, complaint: str, cells: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run.toml").write_text(text)
    assert cli.main(["train", "run.toml", "--data", str(cells)]) == 2
    assert complaint in capsys.readouterr().err


def test_data_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--from", "nano"]) == 2
    assert "--data FOLDER" in capsys.readouterr().err
    assert cli.main(["train", "--data", "nowhere"]) == 2
    assert "There is no folder nowhere" in capsys.readouterr().err


def test_another_size_of_input_is_said_in_the_name_and_the_card_remembers_it(
    cells: Path, small_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", str(cells), "--steps", "1", "--batch-size", "1", "--run", "run"]
    assert cli.main(["train", "--from", f"{small_checkpoint}@160", *options]) == 0
    assert load_model("run", "cpu").image_size == 160
    card = json.loads(Path("run/card.json").read_text())
    assert card["preprocessing"]["input_size"] == 160
    assert card["base"] == small_checkpoint.name
    capsys.readouterr()
    assert cli.main(["train", "--from", "nano@256", "--image-size", "512", *options]) == 2
    assert "--from nano@256 says an input of 256 pixels, and --image-size 512" in capsys.readouterr().err
    assert cli.main(["train", "--from", "nano+fast", *options]) == 2
    assert "nano+fast cannot be trained" in capsys.readouterr().err


def test_a_model_is_taught_through_the_window_that_it_expects(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_small_checkpoint(tmp_path / "medical.safetensors", replace(SMALL, intensities="medical"))
    stack = tifffile.imread(cells / "a.tif").astype(np.uint16) * 100
    tifffile.imwrite(cells / "a.tif", stack, metadata={"axes": "TYX"})
    options = ["--data", str(cells), "--steps", "1", "--batch-size", "1", "--run", "run"]
    seen: list[object] = []
    sampled = sampling.to_model_input
    monkeypatch.setattr(
        sampling,
        "to_model_input",
        lambda pixels, window, *a: seen.append(window) or sampled(pixels, window, *a),
    )
    assert cli.main(["train", "--from", str(tmp_path / "medical.safetensors"), *options]) == 0
    assert {*seen} == {window_of(open_frames(stack, axes="TYX"), None, "medical")}
    assert load_model("run", "cpu").config.intensities == "medical"
    assert json.loads(Path("run/card.json").read_text())["preprocessing"]["window"] == RULES["medical"].words


def test_a_model_that_pads_planes_is_taught_on_squares_alone(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_small_checkpoint(tmp_path / "pads.safetensors", replace(SMALL, keeps_aspect_ratio=True))
    options = ["--data", str(cells), "--steps", "1", "--run", "run"]
    assert cli.main(["train", "--from", str(tmp_path / "pads.safetensors"), *options]) == 2
    assert "is 80 x 60 pixels, and a model that pads planes is taught on squares" in capsys.readouterr().err
