"""Predictions for images in all forms, and batches, in a real Label Studio."""

import base64
import io
import json
import subprocess
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from label_studio_host import MARKS, MODEL, VENV, LabelStudio, Project, Service, click, make_project
from PIL import Image

from labelstudio_backend.schema.brush_rle import decode_brush_rle

pytestmark = MARKS

FORMS = {
    "BitmaskLabels": "bitmaskregion",
    "PolygonLabels": "polygonregion",
    "RectangleLabels": "rectangleregion",
    "EllipseLabels": "ellipseregion",
}
RECTANGLE = {"x": 56.25, "y": 37.5, "width": 31.25, "height": 45.8, "rotation": 0, "rectanglelabels": ["Box"]}


def config(kind: str) -> str:
    return f"""<View>
  <Image name="image" value="$image"/>
  <{kind} name="mask" toName="image"><Label value="Ball"/><Label value="Box"/></{kind}>
  <KeyPointLabels name="point" toName="image" smart="true" smartOnly="true">
    <Label value="Ball"/>
  </KeyPointLabels>
</View>"""


def alpha(region: dict[str, Any]) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(region["value"]["imageDataURL"].split(",")[1]))) as image:
        return np.asarray(image.convert("RGBA"))[..., 3]


def numbers(region: dict[str, Any]) -> np.ndarray:
    value = region["value"]
    keys = ("x", "y", "width", "height", "radiusX", "radiusY", "rotation")
    found = value.get("points") or [value[key] for key in keys if key in value]
    return np.array(found, dtype=float).ravel()


VALIDATE = """
import json, sys
from label_studio_sdk.label_interface import LabelInterface
config, prediction = json.load(sys.stdin)
json.dump(LabelInterface(config).validate_prediction(prediction, return_errors=True), sys.stdout)
"""


@pytest.mark.parametrize("kind", ["BrushLabels", *FORMS])
def test_label_studio_stores_and_approves_every_form(
    kind: str, label_studio: LabelStudio, backend: Service
) -> None:
    project = make_project(label_studio, backend, config(kind), "shapes.png")
    answer = label_studio.interactive_annotating(project.backend, project.task["id"], click(160, 180))["data"]
    assert {region["type"] for region in answer["result"]} == {kind.lower()}
    done = subprocess.run(
        [str(VENV / "bin" / "python"), "-c", VALIDATE],
        input=json.dumps([config(kind), answer]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []
    label_studio.submit(project.task["id"], answer["result"])
    (task,) = label_studio.api("GET", f"/api/projects/{project.id}/export?exportType=JSON")
    stored = [region["value"] for region in task["annotations"][0]["result"]]
    assert stored == [region["value"] for region in answer["result"]]


@pytest.mark.parametrize("kind", FORMS)
def test_every_form_is_drawn_on_the_page(
    kind: str, label_studio: LabelStudio, backend: Service, drive: Any
) -> None:
    project = make_project(label_studio, backend, config(kind), "shapes.png")
    (exchange,), regions = drive("click", project, FORMS[kind])
    answered = {region["id"]: region for region in exchange["received"]}
    assert {region["id"] for region in regions} == answered.keys()
    for region in regions:
        assert region["value"][kind.lower()] == ["Ball"]
        if kind == "BitmaskLabels":
            np.testing.assert_array_equal(alpha(region), alpha(answered[region["id"]]))
        else:
            np.testing.assert_allclose(numbers(region), numbers(answered[region["id"]]), atol=0.01)


@pytest.fixture(scope="module")
def batch(label_studio: LabelStudio, backend: Service) -> Project:
    """A project with an uploaded image, one whose file is gone, and one with a detector's box."""
    boxes = '<RectangleLabels name="box" toName="image"><Label value="Box"/></RectangleLabels></View>'
    with_boxes = config("BrushLabels").replace("</View>", boxes)
    project = make_project(label_studio, backend, with_boxes, "shapes.png")
    box = {"from_name": "box", "to_name": "image", "type": "rectanglelabels", "value": RECTANGLE}
    detected = {"model_version": "detector", "score": 0.4, "result": [box]}
    label_studio.api(
        "POST",
        f"/api/projects/{project.id}/import",
        [
            {"data": {"image": "/data/upload/1/gone.png"}},
            {"data": {"image": project.task["data"]["image"]}, "predictions": [detected]},
        ],
    )
    label_studio.set_up(project, backend, {"points_per_side": 8})
    return project


def retrieve(label_studio: LabelStudio, project: Project) -> list[list[dict[str, Any]]]:
    """Press "Retrieve predictions" for all tasks and return the predictions of each."""
    label_studio.retrieve_predictions(project)
    tasks = label_studio.api("GET", f"/api/tasks?project={project.id}")["tasks"]
    ids = sorted(task["id"] for task in tasks)
    return [label_studio.api("GET", f"/api/predictions?task={task}") for task in ids]


def test_a_batch_is_retrieved_once_with_scores(
    label_studio: LabelStudio, batch: Project, backend: Service
) -> None:
    first, gone, detected = retrieve(label_studio, batch)
    (everything,) = first
    assert everything["result"]
    assert 0 < everything["score"] <= 1
    assert gone == []
    assert "gone.png" in backend.log.read_text()
    by_detector, ours = sorted(detected, key=lambda prediction: prediction["id"])
    (region,) = ours["result"]
    assert (region["type"], region["value"]["brushlabels"]) == ("brushlabels", ["Box"])
    mask = decode_brush_rle(region["value"]["rle"], (480, 640))
    rectangle = np.zeros((480, 640), dtype=bool)
    rectangle[180:401, 360:561] = True
    assert (mask & rectangle).sum() / (mask | rectangle).sum() >= 0.7
    again = retrieve(label_studio, batch)
    assert [[one["id"] for one in task] for task in again] == [
        [everything["id"]],
        [],
        [by_detector["id"], ours["id"]],
    ]


def test_a_projects_own_model_has_a_version_of_its_own(
    label_studio: LabelStudio, batch: Project, backend: Service
) -> None:
    before = retrieve(label_studio, batch)[0]
    chosen = json.dumps({"points_per_side": 4, "model": f"{MODEL}@320"})
    label_studio.set_up(batch, backend, chosen)
    for _ in range(2):
        after = retrieve(label_studio, batch)[0]
        assert {one["id"] for one in before} < {one["id"] for one in after}
        assert len(after) == len(before) + 1
    assert max(after, key=lambda one: one["id"])["model_version"].endswith("@320")


def test_settings_that_cannot_be_used_are_said_in_label_studio(
    label_studio: LabelStudio, batch: Project, backend: Service
) -> None:
    body = {"url": backend.url, "project": batch.id, "extra_params": {"model": "/etc/passwd"}}
    request = Request(
        f"{label_studio.url}/api/ml/{batch.backend}",
        json.dumps(body).encode(),
        {"Authorization": f"Token {label_studio.token}", "Content-Type": "application/json"},
        method="PATCH",
    )
    with pytest.raises(HTTPError) as refused:
        urlopen(request, timeout=900)
    assert refused.value.code == 400
    assert b"extra param model" in refused.value.read()
