"""A real Label Studio and our server beside it, and what an annotator does with them."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from sam2_engine.weights.locations import find

MODEL = os.environ.get("SAM2_TEST_MODEL", "nano")
HERE = Path(__file__).parent
GUIDE = HERE.parents[1] / "docs" / "label-studio.md"
MEDIA = HERE.parent / "labelstudio" / "data" / "media"
VENV = Path(os.environ.get("LABEL_STUDIO_VENV", HERE.parents[1] / ".venv-label-studio"))
USER, PASSWORD = "annotator@example.com", "Annotate-1"
MARKS = [
    pytest.mark.e2e,
    pytest.mark.timeout(2000),
    pytest.mark.skipif(
        find(MODEL) is None and not Path(MODEL).is_file(),
        reason=f"the weights of {MODEL} are not in this installation",
    ),
]
"""Of every test module in a real Label Studio."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Service:
    """A server in a process group of its own."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(
        cls, command: list[str], port: int, log: Path, folder: Path | None = None, **environment: str
    ) -> "Service":
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        service = cls(f"http://127.0.0.1:{port}", process, log)
        while process.poll() is None:
            try:
                urlopen(service.url + "/health", timeout=5).close()
                return service
            except OSError:
                time.sleep(0.3)
        pytest.fail(f"{command[0]} ended:\n{log.read_text()[-3000:]}")

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(60)


@dataclass
class LabelStudio(Service):
    token: str = ""

    @classmethod
    def install_and_start(cls, folder: Path) -> "LabelStudio":
        """Start one with an empty database in ``folder``, installed if need be."""
        script = str(HERE / "label_studio_server.sh")
        subprocess.run(["bash", script, "install", str(VENV)], check=True)
        port, token = free_port(), secrets.token_hex(20)
        command = ["bash", script, "run", str(VENV), str(port), str(folder), token, USER, PASSWORD]
        service = Service.start(command, port, folder / "log")
        return cls(service.url, service.process, service.log, token)

    def access_token(self) -> str:
        """Return a personal access token."""
        return str(self.api("POST", "/api/token/", {})["token"])

    def api(
        self, method: str, path: str, body: object = None, *, data: bytes | None = None, kind: str = ""
    ) -> Any:
        if body is not None:
            data, kind = json.dumps(body).encode(), "application/json"
        headers = {"Authorization": f"Token {self.token}", **({"Content-Type": kind} if kind else {})}
        try:
            with urlopen(Request(self.url + path, data, headers, method=method), timeout=900) as response:
                content = response.read()
                # Label Studio's exports call themselves "application/.json".
                is_json = response.headers.get_content_subtype() in ("json", ".json")
                return json.loads(content) if is_json else content
        except HTTPError as error:
            pytest.fail(f"{method} {path}: {error.code} {error.read()[:500]!r}")

    def upload(self, project: int, file: Path) -> dict[str, Any]:
        """Import a file as a task and return the task."""
        border = uuid.uuid4().hex
        head = f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="{file.name}"\r\n\r\n'
        data = head.encode() + file.read_bytes() + f"\r\n--{border}--\r\n".encode()
        self.api(
            "POST",
            f"/api/projects/{project}/import",
            data=data,
            kind=f"multipart/form-data; boundary={border}",
        )
        task: dict[str, Any] = self.api("GET", f"/api/tasks?project={project}")["tasks"][-1]
        return task

    def interactive_annotating(self, backend: int, task: int, *regions: dict[str, Any]) -> dict[str, Any]:
        """Send what was drawn as the page does and return what the page would get."""
        response: dict[str, Any] = self.api(
            "POST",
            f"/api/ml/{backend}/interactive-annotating",
            {"task": task, "context": {"result": list(regions)}},
        )
        return response

    def set_up(self, project: "Project", backend: Service, extra_params: object) -> None:
        """Give the connection between a project and our server its "extra params"."""
        body = {"url": backend.url, "project": project.id, "extra_params": extra_params}
        self.api("PATCH", f"/api/ml/{project.backend}", body)

    def retrieve_predictions(self, project: "Project") -> None:
        """Choose Actions, Retrieve predictions for all tasks."""
        body = {"selectedItems": {"all": True, "excluded": []}, "project": project.id}
        self.api("POST", f"/api/dm/actions?id=retrieve_tasks_predictions&project={project.id}", body)

    def submit(self, task: int, result: list[dict[str, Any]]) -> None:
        self.api("POST", f"/api/tasks/{task}/annotations/", {"result": result})


class Workspace:
    """A folder in which our commands are run, the server among them, all with the same environment."""

    def __init__(self, folder: Path, label_studio_url: str, key: str) -> None:
        self.folder = folder
        self.started: list[Service] = []
        self._port = free_port()
        self._environment = {
            "LABEL_STUDIO_URL": label_studio_url,
            "LABEL_STUDIO_API_KEY": key,
            "MODELS": f"{MODEL}@320",
            "MODEL_DIR": str(folder / "state"),
            "PREDICT_SECONDS": "800",
            "OMP_WAIT_POLICY": "PASSIVE",
        }

    def set(self, **variables: str) -> None:
        """Set variables of the environment for what is started from now on."""
        self._environment |= variables

    def serve(self, model: str = MODEL) -> Service:
        """Start the server, always at the same address."""
        command = [sys.executable, "-m", "sam2_plugins", "serve", "--port", str(self._port), "--model", model]
        log = self.folder / f"log-{len(self.started)}"
        self.started.append(Service.start(command, self._port, log, self.folder, **self._environment))
        return self.started[-1]

    def run(self, *arguments: str) -> str:
        """Run ``sam2`` to its end and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "sam2_plugins", *arguments],
            cwd=self.folder,
            env={**os.environ, **self._environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


@dataclass
class Project:
    id: int
    backend: int
    task: dict[str, Any]


def make_project(label_studio: LabelStudio, backend: Service, config: str, media: str | Path) -> Project:
    """Make a project with one task and connect it; ``media`` is a path, or a name among the test's media."""
    title = f"With {Path(media).name}"
    project = label_studio.api("POST", "/api/projects", {"title": title, "label_config": config})["id"]
    added = label_studio.api(
        "POST", "/api/ml", {"url": backend.url, "project": project, "is_interactive": True, "title": "SAM 2"}
    )
    assert added["state"] == "CO", added
    return Project(project, added["id"], label_studio.upload(project, MEDIA / media))


def drive_page(
    label_studio: LabelStudio,
    kind: str,
    project: Project,
    screenshot: Path,
    region_type: str = "brushregion",
    scene: dict[str, Any] | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Do in Chromium what ``label_studio_page.js`` knows as ``kind``, and take a screenshot at the end.

    ``scene`` says where things are; None for the test's own media. Returns the regions that the page sent and
    got, and its own.
    """
    subprocess.run(["bash", str(HERE / "install_browser.sh"), str(VENV / "browser")], check=True)
    command = ["node", str(HERE / "label_studio_page.js"), label_studio.url, USER, PASSWORD]
    command += [str(project.id), str(project.task["id"]), kind, str(screenshot), region_type]
    command += [json.dumps(scene)] if scene else []
    modules = {"NODE_PATH": str(VENV / "browser" / "node_modules")}
    done = subprocess.run(command, env={**os.environ, **modules}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    return result["exchanges"], result["regions"]


def click(x: float, y: float) -> dict[str, Any]:
    return {
        "id": "click",
        "from_name": "point",
        "to_name": "image",
        "type": "keypointlabels",
        "is_positive": True,
        "value": {"x": 100 * x / 640, "y": 100 * y / 480, "width": 0.3, "keypointlabels": ["Ball"]},
    }
