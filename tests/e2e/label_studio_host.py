"""A real Label Studio and our server beside it, and what an annotator does with them."""

import json
import os
import signal
import socket
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

MODEL = os.environ.get("SAM2_TEST_MODEL", "nano")
HERE = Path(__file__).parent
MEDIA = HERE.parent / "labelstudio" / "data" / "media"
VENV = Path(os.environ.get("LABEL_STUDIO_VENV", HERE.parents[1] / ".venv-label-studio"))
USER, PASSWORD = "annotator@example.com", "Annotate-1"


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
    def start(cls, command: list[str], port: int, log: Path, **environment: str) -> "Service":
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
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

    def ask(self, backend: int, task: int, *regions: dict[str, Any]) -> dict[str, Any]:
        """Send what was drawn as the page does and return what the page would get."""
        answer: dict[str, Any] = self.api(
            "POST",
            f"/api/ml/{backend}/interactive-annotating",
            {"task": task, "context": {"result": list(regions)}},
        )
        return answer

    def set_up(self, project: "Project", backend: Service, extra_params: object) -> None:
        """Give the connection between a project and our server its "extra params"."""
        body = {"url": backend.url, "project": project.id, "extra_params": extra_params}
        self.api("PATCH", f"/api/ml/{project.backend}", body)

    def submit(self, task: int, result: list[dict[str, Any]]) -> None:
        self.api("POST", f"/api/tasks/{task}/annotations/", {"result": result})


@dataclass
class Project:
    id: int
    backend: int
    task: dict[str, Any]


def make_project(label_studio: LabelStudio, backend: Service, config: str, media: str) -> Project:
    project = label_studio.api("POST", "/api/projects", {"title": f"With {media}", "label_config": config})[
        "id"
    ]
    added = label_studio.api(
        "POST", "/api/ml", {"url": backend.url, "project": project, "is_interactive": True, "title": "SAM 2"}
    )
    assert added["state"] == "CO", added
    return Project(project, added["id"], label_studio.upload(project, MEDIA / media))


def click(x: float, y: float) -> dict[str, Any]:
    return {
        "id": "click",
        "from_name": "point",
        "to_name": "image",
        "type": "keypointlabels",
        "is_positive": True,
        "value": {"x": 100 * x / 640, "y": 100 * y / 480, "width": 0.3, "keypointlabels": ["Ball"]},
    }
