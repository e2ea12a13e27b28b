"""Masklets verified in a real Label Studio by its keys, and a box that is moved; the verdicts come back."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
from label_studio_host import HERE, MARKS, PASSWORD, USER, VENV, LabelStudio, Workspace

from sam2_plugins.masklets.dataset import MaskletDataset
from sam2_plugins.masklets.decisions import Status
from sam2_plugins.masklets.sa_v import MANUAL

pytestmark = MARKS

FRAMES, WIDTH, HEIGHT = 8, 320, 192
DISCS = ((60, 50, 18, (220, 90, 60)), (160, 140, 22, (70, 200, 90)), (250, 60, 20, (90, 120, 240)))
"""Center on the first frame, radius, color; each moves by 4 pixels a frame."""
SEARCH = ["--points-per-side", "8", "--crop-layers", "0", "--key-frames", "1"]


def write_video(path: Path) -> None:
    """Write a video of three discs, as a browser plays it."""
    y, x = np.ogrid[:HEIGHT, :WIDTH]
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FRAMES):
            image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
            for left, top, radius, color in DISCS:
                image[np.hypot(x - left - 4 * number, y - top) <= radius] = color
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode())


def make_project(label_studio: LabelStudio, config: str, folder: Path, tasks: Path) -> int:
    """Make a project as the guide says: labeling setup, local files, tasks."""
    made = {"title": "Masklets", "label_config": config}
    project = int(label_studio.api("POST", "/api/projects", made)["id"])
    storage = {"project": project, "title": "files", "path": str(folder), "use_blob_urls": True}
    label_studio.api("POST", "/api/storages/localfiles", storage)
    label_studio.api("POST", f"/api/projects/{project}/import", json.loads(tasks.read_text()))
    return project


def verify(label_studio: LabelStudio, project: int, actions: list[dict[str, Any]], picture: Path) -> Any:
    """Do in Chromium what an annotator does; return the regions that each task was opened with."""
    subprocess.run(["bash", str(HERE / "install_browser.sh"), str(VENV / "browser")], check=True)
    command = ["node", str(HERE / "label_studio_verdicts.js"), label_studio.url, USER, PASSWORD]
    modules = {"NODE_PATH": str(VENV / "browser" / "node_modules")}
    done = subprocess.run(
        [*command, str(project), str(picture), json.dumps(actions)],
        env={**os.environ, **modules},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_masklets_are_verified_by_their_keys_and_corrected_by_a_moved_box(
    label_studio: LabelStudio, workspaces: Callable[[], Workspace], tmp_path: Path
) -> None:
    workspace = workspaces()
    write_video(workspace.folder / "discs.mp4")
    files = label_studio.log.parent / "files"
    folder = files / "dataset"
    workspace.run("masklets", "discs.mp4", "-o", str(folder), "--model", "nano@320", *SEARCH)
    dataset = MaskletDataset.open(folder)
    found = dataset.found("discs")
    assert found["masklet_num"] == len(DISCS)
    said = workspace.run(
        "masklet-tasks", str(folder), "-o", "tasks.json", "--media", "/data/local-files/?d=dataset"
    )
    config = said[said.index("<View>") : said.index("</View>") + len("</View>")]
    project = make_project(label_studio, config, folder, workspace.folder / "tasks.json")
    listed = label_studio.api("GET", f"/api/tasks?project={project}&fields=all")["tasks"]
    by_masklet = {one["data"]["masklet"]: one for one in listed}
    first, second, third = sorted(by_masklet)
    (box,) = by_masklet[third]["predictions"][0]["result"]
    sides = box["value"]["sequence"][0]
    center = [
        (sides["x"] + sides["width"] / 2) * WIDTH / 100,
        (sides["y"] + sides["height"] / 2) * HEIGHT / 100,
    ]
    move = {"frame": 1, "from": center, "to": [center[0] + 6, center[1] + 4], "size": [WIDTH, HEIGHT]}
    actions = [
        {"task": by_masklet[first]["id"], "key": "a"},
        {"task": by_masklet[second]["id"], "key": "r"},
        {"task": by_masklet[third]["id"], "key": "c", "move": move},
    ]
    pictures = Path(os.environ.get("SAM2_PICTURES", tmp_path))
    shown = verify(label_studio, project, actions, pictures / "label-studio-masklet.png")
    assert [[region["type"] for region in regions] for regions in shown] == [["videorectangle"]] * 3

    exported = label_studio.api("GET", f"/api/projects/{project}/export?exportType=JSON")
    (workspace.folder / "project.json").write_text(json.dumps(exported))
    said = workspace.run("masklet-verdicts", str(folder), "project.json")
    assert re.search(r"3 verdicts.*1", said), said
    assert dataset.statuses("discs") == {
        first: Status.ACCEPTED,
        second: Status.REJECTED,
        third: Status.ACCEPTED,
    }
    decisions = {one.masklet: one for one in dataset.decisions.read()}
    assert {one.by for one in decisions.values()} == {"Label Studio user 1"}
    assert all(one.seconds > 0 for one in decisions.values())
    assert [(edit.frame, edit.boxes) for edit in decisions[third].edits] == [(0, 1)]
    assert decisions[first].iou == 1.0 > decisions[third].iou
    assert json.loads(dataset.annotations("discs", MANUAL).read_text())["masklet_id"] == [first, third]
    assert "0 verdicts" in workspace.run("masklet-verdicts", str(folder), "project.json")
