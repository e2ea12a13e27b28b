"""Fine-tuning on a session in a process of its own: its frames, stopping, going on, the gain."""

import io
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import tifffile

from sam2_engine.errors import InputError
from sam2_engine.weights.loading import load_model
from sam2_engine.weights.model_folder import read_card
from sam2_plugins.cli.app import main
from sam2_plugins.fine_tuning import (
    FineTuning,
    _is_gain,
    reviewed_frames,
    reviewed_masks,
    unfinished_training,
    what_is_taught,
)
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.readable import run_to_end


@pytest.fixture
def reviewed(session: AnnotationSession) -> AnnotationSession:
    """A disc painted on every frame; two of them are not verified but only tracked."""
    y, x = np.mgrid[:60, :80]
    object_id = session.add_object()
    for t in range(6):
        session.import_masks(t, {object_id: (x - 20 - 2 * t) ** 2 + (y - 20) ** 2 < 100})
    session.verify(object_id, range(6))
    list(session.propagate())
    return session


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path / "cache" / "checkpoints"


def test_only_reviewed_frames_are_trained_on(reviewed):
    assert reviewed.frames_of(1) == list(range(8))
    assert reviewed_frames(reviewed) == list(range(6))
    reviewed.add_points(7, 1, (34, 20))
    assert reviewed_frames(reviewed) == [*range(6), 7]
    reviewed.verify(1, [2], verified=False)
    other = reviewed.add_object()
    reviewed.add_points(0, other, (60, 40))
    list(reviewed.propagate([other], stop=3))
    assert reviewed_frames(reviewed) == [0, 4, 5, 7]


def test_too_few_frames(session, tmp_path):
    session.add_points(0, session.add_object(), (20, 20))
    with pytest.raises(InputError, match=r"1 mask is verified, clicked or painted, and 5 are the fewest, or"):
        run_to_end(FineTuning.prepare(session, tmp_path))
    assert not list(tmp_path.iterdir())


def test_it_stops_goes_on_and_becomes_a_model(reviewed, tmp_path, cache, small_checkpoint):
    home = tmp_path / "trainings"
    training = run_to_end(FineTuning.prepare(reviewed, home, steps=5, device="cpu"))
    steps = training.train()
    for progress in steps:
        if progress.done:
            training.stop()
    assert progress.total == 5
    assert 0 < progress.done < 5
    assert not training.finished

    again = unfinished_training(home)
    assert again.folder == training.folder
    last = list(again.train())[-1]
    assert last.done == 5
    assert again.improvement.startswith("Gain on 2 held-out frames: IoU after one click")
    assert again.finished
    assert unfinished_training(home) is None
    assert again.use("cells") == "cells"
    assert load_model("cells", "cpu").config.name == "small"
    reviewed.use_model("cells")


@pytest.fixture
def five_masks(session: AnnotationSession) -> AnnotationSession:
    """Five verified squares on two frames, beside one that nobody looked at."""
    for number in range(6):
        object_id, mask = session.add_object(), np.zeros((60, 80), bool)
        row, column = divmod(number, 3)
        mask[8 + 26 * row : 24 + 26 * row, 6 + 25 * column : 22 + 25 * column] = True
        session.import_masks(number % 2, {object_id: mask})
    for object_id in (1, 2, 3, 4, 5):
        session.verify(object_id, session.frames_of(object_id))
    return session


def test_five_verified_masks_are_enough_on_whichever_frames(five_masks, tmp_path, cache):
    assert reviewed_masks(five_masks) == {0: {1, 3, 5}, 1: {2, 4}}
    assert what_is_taught(five_masks) == "5 verified masks"
    training = run_to_end(FineTuning.prepare(five_masks, tmp_path, steps=2, device="cpu"))
    labels = [tifffile.imread(path) for path in sorted((training.folder / "data" / "labels").iterdir())]
    assert [set(np.unique(one)) - {0} for one in labels] == [{1, 3, 5}, {2, 4}]
    said = [progress.sentence for progress in training.train()]
    assert "3 objects for training, 2 held out for validation." in said
    assert training.improvement.startswith("Gain on 2 held-out objects: IoU after one click")
    assert read_card(training.model).data["objects"] == 3
    five_masks.verify(1, [0], verified=False)
    with pytest.raises(InputError, match="4 masks are verified, clicked or painted, and 5 are the fewest"):
        run_to_end(FineTuning.prepare(five_masks, tmp_path))


def test_a_few_objects_must_gain_more_than_chance_gives():
    few = {"one_click": 0.5, "followed": None, "objects": 2}
    assert not _is_gain({"before": few, "after": {**few, "one_click": 0.505}})
    assert _is_gain({"before": few, "after": {**few, "one_click": 0.52}})
    frames = {**few, "objects": 0}
    assert _is_gain({"before": frames, "after": {**frames, "one_click": 0.505}})
    assert not _is_gain({"before": frames, "after": frames})


def test_a_name_that_is_taken_gets_a_number(tmp_path, cache, small_checkpoint):
    for expected in ("cells", "cells-2"):
        training = FineTuning(tmp_path / expected)
        training.model.mkdir(parents=True)
        (training.model / "model.safetensors").write_bytes(small_checkpoint.read_bytes())
        assert training.use("cells") == expected
    assert {path.name for path in cache.iterdir()} == {"cells", "cells-2"}


def test_errors_of_the_process_are_sentences(reviewed, tmp_path, cache):
    training = run_to_end(FineTuning.prepare(reviewed, tmp_path, steps=1, device="abacus"))
    with pytest.raises(InputError, match="There is no device 'abacus' here"):
        list(training.train())
    settings = training.folder / "settings.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "steps": 9, "device": "cpu"}))
    steps = training.train()
    next(progress for progress in steps if progress.done)
    os.kill(training._process.pid, signal.SIGKILL)
    with pytest.raises(InputError, match=r"Training ended before it was done \(status -9\)"):
        list(steps)


def test_lines_of_json_end_with_the_outcome(reviewed, tmp_path, cache, capsys, monkeypatch):
    training = run_to_end(FineTuning.prepare(reviewed, tmp_path, steps=1))
    options = ["--data", str(training.folder / "data"), "--run", str(tmp_path / "run"), "--steps", "1"]
    monkeypatch.setattr("sys.stdin", io.StringIO())  # it ends at once
    status = main(["train", "--json-lines", "--from", reviewed.model_name, *options])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert any("said" in line for line in lines)
    assert lines[-1]["finished"] == (status == 0)
