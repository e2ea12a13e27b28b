"""The server over many requests: threads, descriptors, temporary files and memory do not grow."""

import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from labelstudio_harness import MediaServer, recorded
from process_usage import growth, tidy_usage

from labelstudio_backend.http.app import Application
from labelstudio_backend.http.listener import Listener
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def port(
    temporary: Path, tmp_path: Path, recorded_server: MediaServer, small_checkpoint: Path
) -> Iterator[int]:
    settings = Settings(
        model=str(small_checkpoint),
        device="cpu",
        label_studio_url=recorded_server.url,
        predict_seconds=600,
        state_folder=tmp_path / "state",
        cache_folder=tmp_path / "media",
    )
    predictor = Predictor(settings)
    listener = Listener(Application(predictor), 4, host="127.0.0.1", port=0)
    end = threading.Event()

    def run() -> None:
        while not end.is_set():
            listener.step(0.02)
        listener.close(10)

    thread = threading.Thread(target=run)
    thread.start()
    yield listener.port
    end.set()
    thread.join()
    predictor.close()


def ask(port: int, path: str, body: object) -> int:
    request = Request(f"http://127.0.0.1:{port}{path}", data=json.dumps(body).encode())
    try:
        with urlopen(request, timeout=60) as response:
            response.read()
            return int(response.status)
    except HTTPError as error:
        error.read()
        status = error.code
        error.close()
        return status


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (("setup_image", "predict_image_rectangle", "predict_image_keypoint_positive"), 200),
        pytest.param(("setup_video", "predict_video_label_assigned"), 200, marks=pytest.mark.slow),
    ],
)
def test_requests_leave_nothing(
    names: tuple[str, ...], status: int, port: int, recorded_server: MediaServer, temporary: Path
) -> None:
    requests: list[Any] = [recorded(name, recorded_server) for name in names]

    def round_of_requests() -> None:
        for request in requests:
            assert ask(port, request["path"], request["json"]) == status
        assert ask(port, "/predict", {"tasks": "none"}) == 400

    assert growth(round_of_requests, lambda: tidy_usage(temporary)) == []
