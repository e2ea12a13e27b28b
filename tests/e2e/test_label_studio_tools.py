"""The page's tools in a real Label Studio: its keys, Auto-Accept, and which of them ask a backend at all."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from label_studio_host import GUIDE, MARKS, LabelStudio, Service, make_project
from PIL import Image

pytestmark = MARKS


@pytest.mark.parametrize("kind", ["keys", "kept"])
def test_one_click_per_object_with_keys_and_auto_accept_as_the_guide_says(
    kind: str, label_studio: LabelStudio, backend: Service, drive: Any
) -> None:
    config, _ = re.findall(r"```xml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    exchanges, regions = drive(kind, make_project(label_studio, backend, config, "shapes.png"))
    assert [[one["type"] for one in exchange["sent"]] for exchange in exchanges] == [["keypointlabels"]] * 2
    masks = [region for region in regions if region["type"] == "brushlabels"]
    assert [mask["value"]["brushlabels"] for mask in masks] == [["Cell"], ["Cell"]]
    # A label that stays chosen is given to each mask once more, as a result of its own under the same id.
    others = [(one["id"], one["type"]) for one in regions if one not in masks]
    expected = [(mask["id"], "keypointlabels") for mask in masks] if kind == "kept" else []
    assert others == expected


@pytest.mark.parametrize(
    ("kind", "is_smart", "is_sent"),
    [
        ("Rectangle", True, True),
        ("Brush", True, False),
        ("Bitmask", True, False),
        ("Polygon", False, False),
        ("Ellipse", False, False),
    ],
)
def test_which_smart_tools_ask_a_backend(
    kind: str, is_smart: bool, is_sent: bool, label_studio: LabelStudio, backend: Service, drive: Any
) -> None:
    config = f"""<View>
  <{kind}Labels name="drawn" toName="image" smart="true"><Label value="Cell"/></{kind}Labels>
  <Image name="image" value="$image"/>
  <VectorLabels name="mask" toName="image"><Label value="Cell"/></VectorLabels></View>"""
    exchanges, regions = drive("smart", make_project(label_studio, backend, config, "shapes.png"))
    *sent, chosen = exchanges
    assert (chosen["tool"]["smart"], bool(sent)) == (is_smart, is_sent)
    assert {region["type"] for one in sent for region in one["sent"]} <= {f"{kind.lower()}labels"}
    assert regions or sent


def test_the_most_doubtful_task_is_the_next_one_to_label(
    label_studio: LabelStudio, backend: Service, tmp_path: Path
) -> None:
    config, _ = re.findall(r"```xml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    project = make_project(label_studio, backend, config, "shapes.png")
    noise = np.random.default_rng(0).normal(90, 30, (240, 320))
    noise[80:160, 100:220] += 25
    Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(tmp_path / "noise.png")
    noisy = label_studio.upload(project.id, tmp_path / "noise.png")
    label_studio.set_up(project, backend, {"points_per_side": 6})
    label_studio.retrieve_predictions(project)
    tasks = [project.task["id"], noisy["id"]]
    found = {task: label_studio.api("GET", f"/api/predictions?task={task}") for task in tasks}
    scores = {task: prediction["score"] for task, (prediction,) in found.items()}
    assert scores[noisy["id"]] < scores[project.task["id"]]
    version = found[noisy["id"]][0]["model_version"]
    chosen = {"sampling": "Uncertainty sampling", "model_version": version}
    label_studio.api("PATCH", f"/api/projects/{project.id}", chosen)
    assert label_studio.api("GET", f"/api/projects/{project.id}/next")["id"] == noisy["id"]
