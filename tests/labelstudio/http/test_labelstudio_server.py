"""``sam2 serve`` as people start it: a process of its own, under gunicorn or waitress."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from labelstudio_harness import MediaServer, recorded

from labelstudio_backend.http.server import serve
from labelstudio_backend.settings import Settings
from sam2_engine.errors import InputError

SAM2 = [sys.executable, "-m", "sam2_plugins"]
WITHOUT_GUNICORN = """
import sys
sys.modules["gunicorn.app.base"] = None  # as on Windows, where it cannot be imported
from sam2_plugins.__main__ import main
main()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **more}


@pytest.fixture
def port() -> int:
    return free_port()


@contextmanager
def serving(
    program: list[str], port: int, checkpoint: Path, media: MediaServer, folder: Path
) -> Iterator["subprocess.Popen[str]"]:
    command = [*program, "serve", "--port", str(port), "--model", str(checkpoint), "--device", "cpu"]
    variables = environment(LABEL_STUDIO_URL=media.url, MODEL_DIR=str(folder), TMPDIR=str(folder))
    process = subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=120)


def ask(port: int, path: str, body: object = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(f"http://127.0.0.1:{port}{path}", data=data), timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def wait_until_ready(process: "subprocess.Popen[str]", port: int) -> None:
    while process.poll() is None:
        try:
            assert ask(port, "/health")["status"] == "UP"
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the server ended: {process.communicate()[1]}")


@pytest.mark.parametrize("program", [SAM2, [sys.executable, "-c", WITHOUT_GUNICORN]])
def test_serves_until_it_is_told_to_stop(
    program: list[str], port: int, small_checkpoint: Path, recorded_server: MediaServer, tmp_path: Path
) -> None:
    with serving(program, port, small_checkpoint, recorded_server, tmp_path) as server:
        wait_until_ready(server, port)
        rectangle = recorded("predict_image_rectangle", recorded_server)["json"]
        setup = ask(port, "/setup", recorded("setup_image", recorded_server)["json"])
        answer = ask(port, "/predict", rectangle)
        assert answer["model_version"] == setup["model_version"]
        if program is SAM2:
            kill_worker(server)  # as a file could that crashes the decoder
            wait_until_ready(server, port)
            # Label Studio does not repeat /setup: the page goes on with its next request.
            assert values(ask(port, "/predict", rectangle)) == values(answer) != []
        server.terminate()
        _, log = server.communicate(timeout=120)
    assert server.returncode == 0
    assert log.count("path='/predict' status=200") == (2 if program is SAM2 else 1)
    assert "Traceback" not in log
    assert list(tmp_path.glob("sam2-*")) == []  # fetched files are gone


def values(answer: dict[str, Any]) -> list[object]:
    """What was answered, without the ids that are new each time."""
    return [region["value"] for prediction in answer["results"] for region in prediction["result"]]


def children(process: "subprocess.Popen[str]") -> list[str]:
    return subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()


def kill_worker(server: "subprocess.Popen[str]") -> None:
    """Kill the only child of the server."""
    (worker,) = children(server)
    os.kill(int(worker), signal.SIGSEGV)
    while worker in children(server):
        time.sleep(0.1)


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
        ("LABEL_STUDIO_URL", "http://user:password@labels.example.org"),
        ("ALLOW_PRIVATE_ADDRESSES", "perhaps"),
    ],
)
def test_an_environment_that_cannot_be_used(name: str, value: str) -> None:
    with pytest.raises(InputError, match=name):
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
    defaults = Settings.from_environment({})
    assert defaults == Settings(state_folder=defaults.state_folder)
