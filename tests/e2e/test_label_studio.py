"""A real Label Studio with `sam2 serve` as its ML backend, driven through Label Studio's own interface."""

import io
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image

from labelstudio_backend.brush_rle import decode_brush_rle, encode_brush_rle
from sam2_engine.model_files import find

MODEL = os.environ.get("SAM2_TEST_MODEL", "nano")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(2000),
    pytest.mark.skipif(
        find(MODEL) is None and not Path(MODEL).is_file(),
        reason="nano's weights are not in this installation",
    ),
]

HERE = Path(__file__).parent
MEDIA = HERE.parent / "labelstudio" / "data" / "media"
VENV = Path(os.environ.get("LABEL_STUDIO_VENV", HERE.parents[1] / ".venv-label-studio"))
USER, PASSWORD = "annotator@example.com", "Annotate-1"
GUIDE = HERE.parents[1] / "docs" / "label-studio.md"
IMAGE_CONFIG = """<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="Ball"/><Label value="Box"/></BrushLabels>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="Ball"/></KeyPointLabels>
</View>"""
VIDEO_CONFIG = """<View>
  <Labels name="kind" toName="video"><Label value="Ball"/><Label value="Box"/></Labels>
  <Video name="video" value="$video" framerate="10"/>
  <VideoRectangle name="box" toName="video" smart="true"/>
</View>"""


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

    def submit(self, task: int, result: list[dict[str, Any]]) -> None:
        self.api("POST", f"/api/tasks/{task}/annotations/", {"result": result})


@pytest.fixture(scope="module")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    script = str(HERE / "label_studio_server.sh")
    subprocess.run(["bash", script, "install", str(VENV)], check=True)
    folder, port, token = tmp_path_factory.mktemp("label-studio"), free_port(), secrets.token_hex(20)
    command = ["bash", script, "run", str(VENV), str(port), str(folder), token, USER, PASSWORD]
    service = Service.start(command, port, folder / "log")
    yield LabelStudio(service.url, service.process, service.log, token)
    service.stop()


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def backend(serve: Any) -> Service:
    service: Service = serve()
    return service


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


@pytest.fixture(scope="module")
def images(label_studio: LabelStudio, backend: Service) -> Project:
    return make_project(label_studio, backend, IMAGE_CONFIG, "shapes.png")


@pytest.fixture(scope="module")
def videos(label_studio: LabelStudio, backend: Service) -> Project:
    return make_project(label_studio, backend, VIDEO_CONFIG, "moving.mp4")


def click(x: float, y: float) -> dict[str, Any]:
    return {
        "id": "click",
        "from_name": "point",
        "to_name": "image",
        "type": "keypointlabels",
        "is_positive": True,
        "value": {"x": 100 * x / 640, "y": 100 * y / 480, "width": 0.3, "keypointlabels": ["Ball"]},
    }


def ellipse() -> np.ndarray:
    y, x = np.mgrid[:480, :640]
    return (x - 160) ** 2 / 80**2 + (y - 180) ** 2 / 80**2 <= 1


def check_brush(region: dict[str, Any]) -> np.ndarray:
    """Compare a brush with the drawn ellipse and return its mask."""
    assert (region["type"], region["value"]["brushlabels"]) == ("brushlabels", ["Ball"])
    mask = decode_brush_rle(region["value"]["rle"], (480, 640))
    truth = ellipse()
    assert (mask & truth).sum() / (mask | truth).sum() >= 0.7
    return mask


def check_track(region: dict[str, Any]) -> list[dict[str, Any]]:
    """Compare a track with the known motion of the disc and return its sequence."""
    assert (region["type"], region["value"]["labels"]) == ("videorectangle", ["Ball"])
    sequence: list[dict[str, Any]] = region["value"]["sequence"]
    assert [item["frame"] for item in sequence] == list(range(1, 31))
    for item in sequence:
        centre = (item["x"] + item["width"] / 2) * 3.2, (item["y"] + item["height"] / 2) * 2.4
        assert centre == pytest.approx((45.5 + 6 * (item["frame"] - 1), 85.5), abs=8)
    return sequence


def test_a_click_becomes_a_brush_that_label_studio_reads(label_studio: LabelStudio, images: Project) -> None:
    answer = label_studio.ask(images.backend, images.task["id"], click(160, 180))
    (region,) = answer["data"]["result"]
    mask = check_brush(region)
    label_studio.submit(images.task["id"], [region])
    # Label Studio's own reading of the packing, in its export, which is a single file if there is one region.
    exported = label_studio.api("GET", f"/api/projects/{images.id}/export?exportType=BRUSH_TO_PNG")
    with Image.open(io.BytesIO(exported)) as picture:
        np.testing.assert_array_equal(np.asarray(picture), np.where(mask, 255, 0))


READ_AND_PACK_AGAIN = """
import json, sys
from label_studio_sdk.converter.brush import decode_rle, encode_rle
read = [decode_rle(packed) for packed in json.load(sys.stdin)]
json.dump([[values.tobytes().hex(), encode_rle(values)] for values in read], sys.stdout)
"""


def test_label_studios_own_code_reads_and_writes_the_packing_as_ours(label_studio: LabelStudio) -> None:
    random = np.random.default_rng(5)
    masks = [random.random(shape) < part for shape in ((1, 1), (7, 5), (64, 31)) for part in (0, 0.1, 0.5, 1)]
    masks.append(np.pad(np.ones((150, 200), dtype=bool), 60))  # runs longer than a block can hold
    done = subprocess.run(
        [str(VENV / "bin" / "python"), "-c", READ_AND_PACK_AGAIN],
        input=json.dumps([encode_brush_rle(mask) for mask in masks]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    answers = json.loads(done.stdout)
    assert len(answers) == len(masks)
    for mask, (values, packed) in zip(masks, answers):
        assert bytes.fromhex(values) == (mask.repeat(4) * np.uint8(255)).tobytes()
        np.testing.assert_array_equal(decode_brush_rle(packed, mask.shape), mask)


def test_a_box_is_followed_through_the_video(label_studio: LabelStudio, videos: Project) -> None:
    drawn = {
        "id": "disc",
        "from_name": "box",
        "to_name": "video",
        "type": "videorectangle",
        "value": {
            "framesCount": 30,
            "duration": 3,
            "labels": ["Ball"],
            "sequence": [
                {"frame": 1, "time": 0.1, "enabled": True, "rotation": 0}
                | {"x": 6.25, "y": 25.0, "width": 15.9, "height": 21.25}
            ],
        },
    }
    answer = label_studio.ask(videos.backend, videos.task["id"], drawn)
    (region,) = answer["data"]["result"]
    assert region["id"] == "disc"
    sequence = check_track(region)
    label_studio.submit(videos.task["id"], [region])
    (task,) = label_studio.api("GET", f"/api/projects/{videos.id}/export?exportType=JSON")
    assert task["annotations"][0]["result"][0]["value"]["sequence"] == sequence
    # What is sent when the label is taken away, and after submitting: nothing to do.
    del drawn["value"]["labels"]
    for regions in ([drawn], []):
        assert label_studio.ask(videos.backend, videos.task["id"], *regions)["data"]["result"] == []


@pytest.fixture(scope="module")
def drive(label_studio: LabelStudio, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Do as an annotator does in Chromium; return what was asked and answered, and the page's own regions."""
    subprocess.run(["bash", str(HERE / "install_browser.sh"), str(VENV / "browser")], check=True)
    pictures = Path(os.environ.get("SAM2_PICTURES", tmp_path_factory.mktemp("pictures")))

    def run(kind: str, project: Project) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        command = ["node", str(HERE / "label_studio_page.js"), label_studio.url, USER, PASSWORD]
        command += [
            str(project.id),
            str(project.task["id"]),
            kind,
            str(pictures / f"label-studio-{kind}.png"),
        ]
        modules = {"NODE_PATH": str(VENV / "browser" / "node_modules")}
        done = subprocess.run(
            command, env={**os.environ, **modules}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        return result["exchanges"], result["regions"]

    return run


def test_a_click_on_the_page_becomes_a_brush(label_studio: LabelStudio, backend: Service, drive: Any) -> None:
    (exchange,), (region,) = drive("click", make_project(label_studio, backend, IMAGE_CONFIG, "shapes.png"))
    # The page unpacks what it got, draws it, and packs what it has drawn.
    np.testing.assert_array_equal(check_brush(region), check_brush(*exchange["answered"]))


def test_background_clicks_and_rectangles_as_the_guide_says(
    label_studio: LabelStudio, backend: Service, drive: Any
) -> None:
    config, _ = re.findall(r"```xml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    exchanges, regions = drive("prompts", make_project(label_studio, backend, config, "shapes.png"))
    one, two, rectangle = (exchange["sent"] for exchange in exchanges)
    assert [[click["is_positive"] for click in clicks] for clicks in (one, two)] == [[True], [True, False]]
    assert [drawn["type"] for drawn in rectangle] == ["rectanglelabels"]
    assert [region["value"]["brushlabels"] for region in regions] == [["Cell"], ["Debris"]]
    for region, exchange in zip(regions, exchanges[1:]):
        (answered,) = exchange["answered"]
        read, meant = (decode_brush_rle(r["value"]["rle"], (480, 640)) for r in (region, answered))
        np.testing.assert_array_equal(read, meant)


def test_a_label_on_the_page_follows_the_box(label_studio: LabelStudio, backend: Service, drive: Any) -> None:
    (exchange,), (region,) = drive("video", make_project(label_studio, backend, VIDEO_CONFIG, "moving.mp4"))
    assert check_track(region) == check_track(*exchange["answered"])


def test_retrieving_predictions_twice_makes_no_duplicates(label_studio: LabelStudio, images: Project) -> None:
    for _ in range(2):
        label_studio.api(
            "POST",
            f"/api/dm/actions?id=retrieve_tasks_predictions&project={images.id}",
            {"selectedItems": {"all": True, "excluded": []}, "project": images.id},
        )
    (prediction,) = label_studio.api("GET", f"/api/predictions?task={images.task['id']}")
    versions = label_studio.api("GET", f"/api/ml/{images.backend}/versions")["versions"]
    assert versions == [prediction["model_version"]]


def test_a_missing_file_is_said_to_the_person(label_studio: LabelStudio, images: Project) -> None:
    address = "/data/upload/1/gone.png"
    label_studio.api("POST", f"/api/projects/{images.id}/import", [{"data": {"image": address}}])
    tasks = label_studio.api("GET", f"/api/tasks?project={images.id}")["tasks"]
    (task,) = [task for task in tasks if task["data"]["image"] == address]
    (error,) = label_studio.ask(images.backend, task["id"], click(10, 10))["errors"]
    assert "400" in error
    assert "gone.png cannot be fetched" in error


def test_clicks_work_right_after_a_restart(
    label_studio: LabelStudio, images: Project, backend: Service, serve: Any
) -> None:
    backend.stop()
    assert label_studio.ask(images.backend, images.task["id"], click(160, 180))["errors"]
    serve()
    assert label_studio.ask(images.backend, images.task["id"], click(160, 180))["data"]["result"]
