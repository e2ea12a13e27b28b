"""Start training: the project's export, a training in its own process, and weights if they are better."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelstudio_harness import MediaServer
from PIL import Image

from labelstudio_backend.http.app import Application
from labelstudio_backend.schema.brush_rle import encode_brush_rle
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor
from sam2_engine.errors import InputError
from sam2_plugins.fine_tuning import FineTuning

CONFIG = """<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image"><Label value="Disc"/></BrushLabels></View>"""
EXPORT = "/api/projects/2/export?exportType=JSON"
PROJECT = "2.1795224187"


@pytest.fixture
def studio(media_server: MediaServer) -> MediaServer:
    """A Label Studio with four images, on each of which a person has brushed a disc."""
    tasks = []
    for number in range(4):
        y, x = np.ogrid[:64, :80]
        disc = np.hypot(x - 30 - 6 * number, y - 32) < 14
        png = io.BytesIO()
        Image.fromarray(np.where(disc, 200, 30).astype(np.uint8)).save(png, "PNG")
        address = f"/data/upload/2/{number}.png"
        media_server.pages[address] = (200, {}, png.getvalue())
        region = {
            "id": "a",
            "type": "brushlabels",
            "from_name": "brush",
            "to_name": "image",
            "value": {"format": "rle", "rle": encode_brush_rle(disc), "brushlabels": ["Disc"]},
        }
        annotation = {"result": [region], "was_cancelled": False, "updated_at": "2026"}
        tasks.append({"id": number, "project": 2, "data": {"image": address}, "annotations": [annotation]})
    content = json.dumps(tasks).encode()
    media_server.pages[EXPORT] = (200, {"Content-Type": "application/json"}, content)
    return media_server


@pytest.fixture
def settings(studio: MediaServer, tmp_path: Path) -> Settings:
    return Settings(
        model="nano@64",
        device="cpu",
        label_studio_url=studio.url,
        state_folder=tmp_path,
        trains=True,
        training_steps=2,
    )


@pytest.fixture
def predictor(settings: Settings) -> Iterator[Predictor]:
    made = Predictor(settings)
    yield made
    made.close()


def finished_as(monkeypatch: pytest.MonkeyPatch, better: bool) -> list[FineTuning]:
    """Let trainings end at once with weights that are better, or not; return them."""
    ended: list[FineTuning] = []

    def train(training: FineTuning) -> Iterator[Any]:
        from sam2_engine.weights.loading import load_model, save_model

        training.model.mkdir()
        save_model(load_model("nano", device="cpu", image_size=64), training.model / "model.safetensors")
        training.improvement, training.is_better = "Gain: as a test wants it.", better
        ended.append(training)
        yield from ()

    monkeypatch.setattr(FineTuning, "train", train)
    return ended


@pytest.mark.slow
def test_a_whole_training(predictor: Predictor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert predictor.start_training(2)
    predictor.trainings.wait()
    (folder,) = (predictor.settings.state_folder or Path()).glob("trainings/project-2/1")
    assert (folder / "data").is_dir()
    assert list(folder.glob("*/*.safetensors"))
    assert any("Gain on" in record.getMessage() for record in caplog.records)


def test_better_weights_are_served_under_a_version_of_their_own(
    predictor: Predictor, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = finished_as(monkeypatch, better=True)
    before = predictor.version_for(PROJECT)
    assert predictor.start_training(2)
    predictor.trainings.wait()
    after = predictor.version_for(PROJECT)
    assert after.endswith("project-2-1")
    assert predictor.setup(CONFIG, PROJECT) == after != before
    assert predictor.version_for("3.17") == before
    data = json.loads((ended[0].folder / "settings.json").read_text())
    assert (data["model"], data["image_size"], data["steps"]) == ("nano", 64, 2)
    again = Predictor(settings)  # after a restart
    assert again.version_for(PROJECT) == after
    tasks = [{"id": 1, "data": {"image": "/data/upload/2/0.png"}, "predictions": [{}]}]
    assert isinstance(again.predict(tasks, CONFIG, None, PROJECT)[0], dict)
    again.start_training(2)
    again.trainings.wait()
    assert again.version_for(PROJECT).endswith("project-2-2")
    assert json.loads((ended[1].folder / "settings.json").read_text())["model"].endswith("project-2-1")
    again.setup(CONFIG, PROJECT, {"model": "nano@64"})
    assert again.version_for(PROJECT).endswith("project-2-2")
    again.close()


def test_weights_that_are_not_better_are_not_served(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    finished_as(monkeypatch, better=False)
    before = predictor.version_for(PROJECT)
    predictor.start_training(2)
    predictor.trainings.wait()
    assert predictor.version_for(PROJECT) == before
    assert any("the new one is not better" in record.getMessage() for record in caplog.records)


def test_one_training_at_a_time(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    go_on = threading.Event()

    def train(training: FineTuning) -> Iterator[Any]:
        go_on.wait(60)
        yield from ()

    monkeypatch.setattr(FineTuning, "train", train)
    assert predictor.start_training(2)
    assert not predictor.start_training(2)
    assert not predictor.start_training(3)
    go_on.set()
    predictor.trainings.wait()


def test_what_was_stopped_goes_on(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Path] = []

    def train(training: FineTuning) -> Iterator[Any]:
        begun.append(training.folder)
        (training.folder / "run").mkdir(exist_ok=True)
        (training.folder / "run" / "checkpoint.pt").write_bytes(b"")
        yield from ()

    monkeypatch.setattr(FineTuning, "train", train)
    for _ in range(2):
        assert predictor.start_training(2)
        predictor.trainings.wait()
    assert begun[0] == begun[1]


def test_a_project_without_annotations_fails_in_a_sentence(
    predictor: Predictor, studio: MediaServer, caplog: pytest.LogCaptureFixture
) -> None:
    studio.pages[EXPORT] = (200, {"Content-Type": "application/json"}, b"[]")
    predictor.start_training(2)
    predictor.trainings.wait()
    assert any("has an annotation; submit some" in record.getMessage() for record in caplog.records)


def test_training_is_off_by_default(settings: Settings, studio: MediaServer) -> None:
    predictor = Predictor(Settings(model="nano@64", device="cpu", label_studio_url=studio.url))
    with pytest.raises(InputError, match="TRAINING=1"):
        predictor.start_training(2)
    assert webhook(predictor, {"action": "START_TRAINING", "project": {"id": 2}})["status"] == "ignored"
    predictor.close()


def test_the_button_starts_it(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    finished_as(monkeypatch, better=True)
    event = {"action": "START_TRAINING", "project": {"id": 2}}
    assert webhook(predictor, event) == {"status": "started", "action": "START_TRAINING"}
    predictor.trainings.wait()
    other = {"action": "ANNOTATION_CREATED", "project": {"id": 2}}
    assert webhook(predictor, other)["status"] == "ignored"


def webhook(predictor: Predictor, event: dict[str, Any]) -> dict[str, Any]:
    """Send an event as Label Studio does."""
    body = json.dumps(event).encode()
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/webhook",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    answer: dict[str, Any] = json.loads(b"".join(Application(predictor)(environ, lambda *_: None)))  # type: ignore[arg-type, return-value]
    return answer
