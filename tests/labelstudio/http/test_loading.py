"""Models that a server is told to serve and that are not on this machine; and Label Studio's key."""

import hashlib
import logging
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from labelstudio_harness import MediaServer, call, recorded

from labelstudio_backend.http.app import Application
from labelstudio_backend.http.loading import Loading, missing_models
from labelstudio_backend.media.downloads import Downloader
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor
from sam2_engine.errors import InputError
from sam2_engine.weights.registry import REGISTRY

NAME = "sam2.1_hiera_tiny"
WEIGHTS = f"/092824/{NAME}.pt"
PERSONAL_TOKEN = "eyJhbGciOi.eyJ0b2tlbi.c2ln"


@pytest.fixture
def nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, media_server: MediaServer) -> Path:
    """A machine without weights, and a server that has them."""
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("SAM2_DOWNLOAD_URL", media_server.url)
    return tmp_path


def test_what_is_missing_is_downloaded_once_and_said(
    nothing_here: Path,
    media_server: MediaServer,
    small_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    content = small_checkpoint.read_bytes()
    checksum = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(REGISTRY, NAME, replace(REGISTRY[NAME], sha256=checksum))
    media_server.pages[WEIGHTS] = (200, {}, content)
    predictor = Predictor(Settings(NAME, "cpu", models=(f"{NAME}@320", "nano", str(small_checkpoint))))
    assert missing_models(predictor.settings) == [NAME]
    said: list[str | None] = []
    monkeypatch.setattr(predictor, "load", lambda: said.append(begun.waits_for))
    begun = Loading(predictor)
    reply = call(Application(predictor, lambda: begun.waits_for), "GET", "/health/ready")
    assert reply.status == 503
    with caplog.at_level(logging.INFO):
        begun.run()
        Loading(predictor).run()
    assert begun.waits_for is None
    assert said[0] == "The model is still being loaded; try again in a minute."
    assert [path for path, _ in media_server.seen] == [WEIGHTS]
    assert f"model={NAME} downloaded=" in caplog.text


@pytest.mark.parametrize(
    ("server", "words"),
    [("http://127.0.0.1:9", "No connection to 127.0.0.1"), ("", "no file http://127.0.0.1")],
)
def test_a_server_without_a_network_ends_with_a_sentence(
    server: str, words: str, nothing_here: Path, media_server: MediaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAM2_DOWNLOAD_URL", server or media_server.url)
    with pytest.raises(InputError, match=words) as ended:
        Loading(Predictor(Settings(f"{NAME}@512", "cpu"))).run()
    assert str(ended.value).startswith(f"The model {NAME} is not on this machine")
    assert "MODEL" in str(ended.value)


def test_the_command_ends_with_it_too(nothing_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAM2_DOWNLOAD_URL", "http://127.0.0.1:9")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "sam2_plugins", "serve", "--port", port, "--model", NAME]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert f"The model {NAME} is not on this machine" in done.stderr.splitlines()[-1]


def test_a_folder_that_takes_no_model(nothing_here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nothing_here / "cache").write_text("a file")
    with pytest.raises(InputError, match="SAM2_CACHE"):
        Loading(Predictor(Settings(NAME, "cpu"))).run()


# ------------------------------------------------------------------ Label Studio's key


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("key", ["legacy", PERSONAL_TOKEN])
def test_a_key_that_label_studio_refuses_is_told_on_connecting(
    status: int, key: str, media_server: MediaServer, small_checkpoint: Path
) -> None:
    media_server.pages["/api/token/refresh/"] = (200, {}, b'{"access": "short-lived"}')
    media_server.pages["/api/current-user/whoami"] = (status, {}, b"{}")
    settings = Settings(str(small_checkpoint), "cpu", label_studio_url=media_server.url, api_key=key)
    application = Application(Predictor(settings))
    reply = call(application, "POST", "/setup", recorded("setup_image", media_server)["json"])
    assert reply.status == 400
    assert "LABEL_STUDIO_API_KEY" in reply.json["error"]
    assert key not in reply.json["error"]
    media_server.pages["/api/current-user/whoami"] = (200, {}, b"{}")
    for _ in range(3):
        reply = call(application, "POST", "/setup", recorded("setup_image", media_server)["json"])
        assert reply.status == 200
    asked = [path for path, _ in media_server.seen if path.endswith("whoami")]
    assert len(asked) == 2  # what was taken stands for a while


def test_label_studio_that_is_not_there_is_told_on_connecting(
    media_server: MediaServer, small_checkpoint: Path
) -> None:
    settings = Settings(str(small_checkpoint), "cpu", label_studio_url="http://127.0.0.1:9", api_key="key")
    reply = call(
        Application(Predictor(settings)), "POST", "/setup", recorded("setup_image", media_server)["json"]
    )
    assert reply.status == 400
    assert "LABEL_STUDIO_URL" in reply.json["error"]


def test_label_studio_that_waits_for_us_is_not_waited_for(
    media_server: MediaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Label Studio of one process answers nothing until it has our response."""

    def connect(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr("labelstudio_backend.media.downloads.connect", connect)
    for key in ("legacy", PERSONAL_TOKEN):
        Downloader(Settings(label_studio_url=media_server.url, api_key=key)).check_key(0.01)


def test_a_wrong_key_is_logged_at_the_start(
    media_server: MediaServer,
    small_checkpoint: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    media_server.pages["/api/current-user/whoami"] = (401, {}, b"{}")
    settings = Settings(str(small_checkpoint), "cpu", label_studio_url=media_server.url, api_key="secret")
    begun = Loading(Predictor(settings))
    begun._try_label_studio()
    assert "does not take LABEL_STUDIO_API_KEY" in caplog.text
    assert "secret" not in caplog.text
