"""``sam2 serve`` as people start it: a process of its own under gunicorn."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from labelstudio_harness import MediaServer, recorded

from labelstudio_backend.server import serve
from labelstudio_backend.settings import Settings
from sam2_engine.errors import InputError

SAM2 = [sys.executable, "-m", "sam2_plugins"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **more}


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def server(
    port: int, small_checkpoint: Path, recorded_server: MediaServer
) -> Iterator[subprocess.Popen[str]]:
    command = [*SAM2, "serve", "--port", str(port), "--model", str(small_checkpoint), "--device", "cpu"]
    process = subprocess.Popen(
        command, env=environment(LABEL_STUDIO_URL=recorded_server.url), stderr=subprocess.PIPE, text=True
    )
    yield process
    process.terminate()
    process.communicate(timeout=120)


def ask(port: int, path: str, body: object = None) -> dict[str, object]:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(f"http://127.0.0.1:{port}{path}", data=data), timeout=60) as response:
        answer: dict[str, object] = json.load(response)
        return answer


def wait_until_ready(process: "subprocess.Popen[str]", port: int) -> None:
    while process.poll() is None:
        try:
            assert ask(port, "/health")["status"] == "UP"
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the server ended: {process.communicate()[1]}")


def test_serves_until_it_is_told_to_stop(
    server: "subprocess.Popen[str]", port: int, recorded_server: MediaServer
) -> None:
    wait_until_ready(server, port)
    setup = ask(port, "/setup", recorded("setup_image", recorded_server)["json"])
    answer = ask(port, "/predict", recorded("predict_image_rectangle", recorded_server)["json"])
    assert answer["model_version"] == setup["model_version"]
    server.terminate()
    _, log = server.communicate(timeout=120)
    assert server.returncode == 0
    assert "path='/predict' status=200" in log
    assert "Traceback" not in log


def test_a_model_that_is_not_there(port: int) -> None:
    command = [*SAM2, "serve", "--port", str(port), "--model", "nosuch"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "There is no model 'nosuch'" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken(recorded_server: MediaServer) -> None:
    with pytest.raises(InputError, match="--port"):
        serve(Settings(), "127.0.0.1", recorded_server.server_port)
    with pytest.raises(InputError, match="--host"):
        serve(Settings(), "no.such.host.invalid", 9090)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BASIC_AUTH_USER", "u"),
        ("LABEL_STUDIO_URL", "labels.example.org"),
        ("ALLOWED_HOSTS", "http://a:80, file:///etc"),
        ("MEDIA_ROOT", "/no/such/folder"),
        ("PREDICT_SECONDS", "soon"),
        ("MAX_MEDIA_BYTES", "-1"),
    ],
)
def test_an_environment_that_cannot_be_used(name: str, value: str) -> None:
    with pytest.raises(InputError):
        Settings.from_environment({name: value})


def test_what_the_environment_says(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {
            "MODEL": "sam2.1_hiera_tiny",
            "LABEL_STUDIO_URL": "https://labels.example.org/",
            "LABEL_STUDIO_API_KEY": "key",
            "ALLOWED_HOSTS": "http://Store:9000 https://b",
            "MEDIA_ROOT": str(tmp_path),
            "PREDICT_SECONDS": "20",
            "BASIC_AUTH_USER": "u",
            "BASIC_AUTH_PASS": "p",
        },
        device="cpu",
    )
    assert (settings.model, settings.device, settings.api_key) == ("sam2.1_hiera_tiny", "cpu", "key")
    assert settings.label_studio_url == "https://labels.example.org"
    assert settings.allowed_hosts == {"http://store:9000", "https://b:443"}
    assert (settings.media_root, settings.predict_seconds, settings.basic_auth) == (tmp_path, 20, ("u", "p"))
    assert Settings.from_environment({}) == Settings()
