import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from label_studio_host import HERE, MODEL, PASSWORD, USER, VENV, LabelStudio, Project, Service, free_port


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    script = str(HERE / "label_studio_server.sh")
    subprocess.run(["bash", script, "install", str(VENV)], check=True)
    folder, port, token = tmp_path_factory.mktemp("label-studio"), free_port(), secrets.token_hex(20)
    command = ["bash", script, "run", str(VENV), str(port), str(folder), token, USER, PASSWORD]
    service = Service.start(command, port, folder / "log")
    yield LabelStudio(service.url, service.process, service.log, token)
    service.stop()


@pytest.fixture(scope="session")
def serve(label_studio: LabelStudio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start our server at one address, again if need be; it gets a personal access token, the modern kind."""
    key = label_studio.api("POST", "/api/token/", {})["token"]
    folder, port = tmp_path_factory.mktemp("backend"), free_port()
    started: list[Service] = []

    def start() -> Service:
        command = [sys.executable, "-m", "sam2_plugins"]
        command += ["serve", "--port", str(port), "--model", MODEL]
        environment = {"LABEL_STUDIO_URL": label_studio.url, "LABEL_STUDIO_API_KEY": key}
        environment |= {"PREDICT_SECONDS": "800", "OMP_WAIT_POLICY": "PASSIVE"}
        environment |= {"MODELS": f"{MODEL}@320", "MODEL_DIR": str(folder / "state")}
        service = Service.start(command, port, folder / "log", **environment)
        started.append(service)
        return service

    yield start
    for service in started:
        service.stop()
        log = service.log.read_text()
        assert key not in log
        assert label_studio.token not in log
        assert "Traceback" not in log


@pytest.fixture(scope="session")
def backend(serve: Any) -> Service:
    service: Service = serve()
    return service


@pytest.fixture(scope="session")
def drive(label_studio: LabelStudio, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Do as an annotator does in Chromium; return what was asked and answered, and the page's own regions."""
    subprocess.run(["bash", str(HERE / "install_browser.sh"), str(VENV / "browser")], check=True)
    pictures = Path(os.environ.get("SAM2_PICTURES", tmp_path_factory.mktemp("pictures")))

    def run(
        kind: str, project: Project, answer: str = "brushregion"
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        command = ["node", str(HERE / "label_studio_page.js"), label_studio.url, USER, PASSWORD]
        command += [
            str(project.id),
            str(project.task["id"]),
            kind,
            str(pictures / f"label-studio-{kind}{'' if answer == 'brushregion' else '-' + answer}.png"),
            answer,
        ]
        modules = {"NODE_PATH": str(VENV / "browser" / "node_modules")}
        done = subprocess.run(
            command, env={**os.environ, **modules}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        return result["exchanges"], result["regions"]

    return run
