"""A real Label Studio with `sam2 serve` as its ML backend, driven through Label Studio's own interface."""

import io
import json
import re
import subprocess
from typing import Any

import numpy as np
import pytest
from label_studio_host import GUIDE, MARKS, VENV, LabelStudio, Project, Service, click, make_project
from PIL import Image

from labelstudio_backend.schema.brush_rle import decode_brush_rle, encode_brush_rle
from labelstudio_backend.schema.sequences import rectangle_at

pytestmark = MARKS

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


@pytest.fixture(scope="module")
def images(label_studio: LabelStudio, backend: Service) -> Project:
    return make_project(label_studio, backend, IMAGE_CONFIG, "shapes.png")


@pytest.fixture(scope="module")
def videos(label_studio: LabelStudio, backend: Service) -> Project:
    return make_project(label_studio, backend, VIDEO_CONFIG, "moving.mp4")


def ellipse() -> np.ndarray:
    y, x = np.mgrid[:480, :640]
    return (x - 160) ** 2 / 80**2 + (y - 180) ** 2 / 80**2 <= 1


def check_brush(region: dict[str, Any]) -> np.ndarray:
    """Compare a brush with the drawn ellipse and return its mask."""
    assert (region["type"], region["value"]["brushlabels"]) == ("brushlabels", ["Ball"])
    mask = decode_brush_rle(region["value"]["rle"], (480, 640))
    disc = ellipse()
    assert (mask & disc).sum() / (mask | disc).sum() >= 0.7
    return mask


def check_track(region: dict[str, Any]) -> list[dict[str, Any]]:
    """Compare a track with the known motion of the disc and return its sequence."""
    assert (region["type"], region["value"]["labels"]) == ("videorectangle", ["Ball"])
    sequence: list[dict[str, Any]] = region["value"]["sequence"]
    for frame in range(1, 31):
        shown = rectangle_at(sequence, frame)
        assert shown is not None
        center = (shown["x"] + shown["width"] / 2) * 3.2, (shown["y"] + shown["height"] / 2) * 2.4
        assert center == pytest.approx((45.5 + 6 * (frame - 1), 85.5), abs=8)
    assert rectangle_at(sequence, 31) is None
    return sequence


def test_a_click_becomes_a_brush_that_label_studio_reads(label_studio: LabelStudio, images: Project) -> None:
    response = label_studio.interactive_annotating(images.backend, images.task["id"], click(160, 180))
    (region,) = response["data"]["result"]
    mask = check_brush(region)
    label_studio.submit(images.task["id"], [region])
    # Label Studio's own decoding, in its export, which is a single file if there is one region.
    exported = label_studio.api("GET", f"/api/projects/{images.id}/export?exportType=BRUSH_TO_PNG")
    with Image.open(io.BytesIO(exported)) as image:
        np.testing.assert_array_equal(np.asarray(image), np.where(mask, 255, 0))


DECODE_AND_ENCODE = """
import json, sys
from label_studio_sdk.converter.brush import decode_rle, encode_rle
decoded = [decode_rle(rle) for rle in json.load(sys.stdin)]
json.dump([[values.tobytes().hex(), encode_rle(values)] for values in decoded], sys.stdout)
"""


def test_label_studios_own_code_decodes_and_encodes_brushes_as_ours(label_studio: LabelStudio) -> None:
    random = np.random.default_rng(5)
    masks = [random.random(shape) < part for shape in ((1, 1), (7, 5), (64, 31)) for part in (0, 0.1, 0.5, 1)]
    masks.append(np.pad(np.ones((150, 200), dtype=bool), 60))  # runs longer than a block can hold
    done = subprocess.run(
        [str(VENV / "bin" / "python"), "-c", DECODE_AND_ENCODE],
        input=json.dumps([encode_brush_rle(mask) for mask in masks]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    results = json.loads(done.stdout)
    assert len(results) == len(masks)
    for mask, (values, rle) in zip(masks, results):
        assert bytes.fromhex(values) == (mask.repeat(4) * np.uint8(255)).tobytes()
        np.testing.assert_array_equal(decode_brush_rle(rle, mask.shape), mask)


def test_a_box_is_tracked_through_the_video(label_studio: LabelStudio, videos: Project) -> None:
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
    response = label_studio.interactive_annotating(videos.backend, videos.task["id"], drawn)
    (region,) = response["data"]["result"]
    assert region["id"] == "disc"
    sequence = check_track(region)
    label_studio.submit(videos.task["id"], [region])
    (task,) = label_studio.api("GET", f"/api/projects/{videos.id}/export?exportType=JSON")
    assert task["annotations"][0]["result"][0]["value"]["sequence"] == sequence
    # What is sent when the label is taken away, and after submitting: nothing to do.
    del drawn["value"]["labels"]
    for regions in ([drawn], []):
        assert (
            label_studio.interactive_annotating(videos.backend, videos.task["id"], *regions)["data"]["result"]
            == []
        )


def test_a_click_on_the_page_becomes_a_brush(label_studio: LabelStudio, backend: Service, drive: Any) -> None:
    (exchange,), (region,) = drive("click", make_project(label_studio, backend, IMAGE_CONFIG, "shapes.png"))
    # The page decodes what it got, draws it, and encodes what it has drawn.
    np.testing.assert_array_equal(check_brush(region), check_brush(*exchange["received"]))


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
        (received,) = exchange["received"]
        drawn, expected = (decode_brush_rle(r["value"]["rle"], (480, 640)) for r in (region, received))
        np.testing.assert_array_equal(drawn, expected)


def test_a_label_on_the_page_tracks_the_box(label_studio: LabelStudio, backend: Service, drive: Any) -> None:
    (exchange,), (region,) = drive("video", make_project(label_studio, backend, VIDEO_CONFIG, "moving.mp4"))
    assert check_track(region) == check_track(*exchange["received"])


def test_retrieving_predictions_twice_makes_no_duplicates(
    label_studio: LabelStudio, images: Project, backend: Service
) -> None:
    always = {"batch": "always", "points_per_side": 4}  # for a single task, too
    label_studio.set_up(images, backend, always)
    for _ in range(2):
        label_studio.retrieve_predictions(images)
    (prediction,) = label_studio.api("GET", f"/api/predictions?task={images.task['id']}")
    versions = label_studio.api("GET", f"/api/ml/{images.backend}/versions")["versions"]
    assert versions == [prediction["model_version"]]


def test_a_missing_file_is_an_error_on_the_page(label_studio: LabelStudio, images: Project) -> None:
    address = "/data/upload/1/gone.png"
    label_studio.api("POST", f"/api/projects/{images.id}/import", [{"data": {"image": address}}])
    tasks = label_studio.api("GET", f"/api/tasks?project={images.id}")["tasks"]
    (task,) = [task for task in tasks if task["data"]["image"] == address]
    (error,) = label_studio.interactive_annotating(images.backend, task["id"], click(10, 10))["errors"]
    assert "400" in error
    assert "gone.png cannot be fetched" in error


def test_clicks_work_right_after_a_restart(
    label_studio: LabelStudio, images: Project, backend: Service, serve: Any
) -> None:
    backend.stop()
    assert label_studio.interactive_annotating(images.backend, images.task["id"], click(160, 180))["errors"]
    serve()
    assert label_studio.interactive_annotating(images.backend, images.task["id"], click(160, 180))["data"][
        "result"
    ]
