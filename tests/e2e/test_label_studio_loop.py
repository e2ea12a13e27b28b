"""The guide's loop in a real Label Studio: annotate, export, train, serve the new weights, predict again."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import tifffile
from label_studio_host import GUIDE, MARKS, MODEL, LabelStudio, Project, Workspace, make_project
from numpy.typing import NDArray
from skimage.draw import disk

from labelstudio_backend.schema.sequences import rectangle_at

pytestmark = MARKS

FRAMES, WIDTH, HEIGHT, RADIUS = 10, 192, 128, 20
CONFIG = """<View>
  <Labels name="kind" toName="video"><Label value="Cell"/></Labels>
  <Video name="video" value="$video" framerate="10"/>
  <VideoRectangle name="box" toName="video" smart="true"/>
</View>"""


def center(frame: int) -> tuple[int, int]:
    """Where the disc is on a frame counted from 0: (x, y) in pixels."""
    return 40 + 10 * frame, 60


def write_video(path: Path) -> Path:
    """Write a video of a disc that moves to the right."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FRAMES):
            image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
            image[disc_mask(number)] = (220, 90, 60)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode())
    return path


def disc_mask(frame: int) -> NDArray[np.bool_]:
    x, y = center(frame)
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[disk((y, x), RADIUS, shape=mask.shape)] = True
    return mask


def box_on_first_frame() -> dict[str, Any]:
    """Return what the page sends once a box around the disc has got its label."""
    (x, y), size = center(0), 2 * RADIUS + 1
    box = {
        "x": (x - RADIUS) / WIDTH,
        "y": (y - RADIUS) / HEIGHT,
        "width": size / WIDTH,
        "height": size / HEIGHT,
    }
    percent = {key: 100 * value for key, value in box.items()}
    sequence = [{"frame": 1, "time": 0.1, "enabled": True, "rotation": 0, **percent}]
    value = {"framesCount": FRAMES, "duration": FRAMES / 10, "labels": ["Cell"], "sequence": sequence}
    return {"id": "disc", "from_name": "box", "to_name": "video", "type": "videorectangle", "value": value}


def annotate(label_studio: LabelStudio, project: Project) -> list[dict[str, Any]]:
    """Label the box, as a person would; return the tracked regions, which must lie on the disc."""
    answer = label_studio.interactive_annotating(project.backend, project.task["id"], box_on_first_frame())[
        "data"
    ]
    (region,) = answer["result"]
    for frame in range(FRAMES):
        shown = rectangle_at(region["value"]["sequence"], frame + 1)
        assert shown is not None
        x, y = shown["x"] + shown["width"] / 2, shown["y"] + shown["height"] / 2
        assert (x * WIDTH / 100, y * HEIGHT / 100) == pytest.approx(center(frame), abs=6)
    return answer["result"]


def retrieved(label_studio: LabelStudio, project: Project) -> list[str]:
    """Press "Retrieve predictions" and return the model versions of all predictions, the oldest first."""
    label_studio.retrieve_predictions(project)
    found = label_studio.api("GET", f"/api/predictions?task={project.task['id']}")
    return [one["model_version"] for one in sorted(found, key=lambda one: one["id"])]


def commands_of_the_guide() -> list[list[str]]:
    """Return what is to be typed in the loop, without the word ``sam2``."""
    section = GUIDE.read_text().split("## From annotations to better weights")[1]
    return [shlex.split(line) for line in re.findall(r"^sam2 (.*)$", section.split("```")[1], re.MULTILINE)]


def test_annotating_and_training_make_a_loop_as_the_guide_says(
    label_studio: LabelStudio, workspaces: Callable[[], Workspace], tmp_path: Path
) -> None:
    workspace = workspaces()
    export, train, serve = commands_of_the_guide()
    server = workspace.serve()
    project = make_project(label_studio, server, CONFIG, write_video(tmp_path / "video.mp4"))
    label_studio.submit(project.task["id"], annotate(label_studio, project))
    (old,) = retrieved(label_studio, project)
    assert old.endswith(f"-{MODEL}")

    exported = label_studio.api("GET", f"/api/projects/{project.id}/export?exportType=JSON")
    (workspace.folder / "project.json").write_text(json.dumps(exported))
    assert workspace.run(*export).endswith(f"{FRAMES} frames, 1 object\n")
    for frame in range(FRAMES):
        labels = tifffile.imread(
            workspace.folder / "data" / "labels" / f"task-{project.task['id']}" / f"{frame:03}.tif"
        )
        assert ((labels == 1) & disc_mask(frame)).sum() / ((labels == 1) | disc_mask(frame)).sum() >= 0.8

    workspace.run(*train, "--steps", "2", "--batch-size", "1")
    server.stop()
    assert serve[:2] == ["serve", "--model"]
    workspace.serve(serve[2])
    annotate(label_studio, project)
    assert retrieved(label_studio, project) == [old, old.removesuffix(MODEL) + "cells"]
