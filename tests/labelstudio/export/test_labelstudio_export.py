"""Exports of a project: its tracks and masks, stored or tracked again, as files."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from labelstudio_harness import DATA, MediaServer, recorded
from numbered_videos import HEIGHT, WIDTH, write_video
from numpy.typing import NDArray

from labelstudio_backend.export.project_file import read_project_file
from labelstudio_backend.schema.brush_rle import encode_brush_rle
from labelstudio_backend.schema.frame_clock import FrameClock
from labelstudio_backend.schema.labeling_config import ControlTag
from labelstudio_backend.schema.mask_regions import mask_regions
from labelstudio_backend.schema.sequences import rectangle_at
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor
from sam2_engine.datasets import find_dataset
from sam2_engine.errors import InputError
from sam2_engine.masks import decode_rle
from sam2_plugins.cli.app import main

FRAMES = 8


@pytest.fixture
def server(
    media_server: MediaServer, small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> MediaServer:
    """A Label Studio with one short video, and the environment of a server beside it."""
    video = write_video(tmp_path / "video.mp4", range(FRAMES), Fraction(1, 10), rate=10)
    media_server.pages["/data/upload/1/video.mp4"] = (200, {}, video.read_bytes())
    image = (DATA / "media" / "shapes.png").read_bytes()
    media_server.pages["/data/upload/1/shapes.png"] = (200, {}, image)
    monkeypatch.setenv("LABEL_STUDIO_URL", media_server.url)
    monkeypatch.setenv("MODEL_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("MODEL", str(small_checkpoint))
    monkeypatch.setenv("DEVICE", "cpu")
    return media_server


@pytest.fixture
def tracked(server: MediaServer, tmp_path: Path) -> list[dict[str, Any]]:
    """Two objects, tracked by the server; the page's export of them."""
    body = recorded("predict_video_label_assigned", server)["json"]
    task = {**body["tasks"][0], "data": {"video": "/data/upload/1/video.mp4"}}
    (drawn,) = body["params"]["context"]["result"]
    other = json.loads(json.dumps({**drawn, "id": "other"}))
    other["value"]["sequence"][0] |= {"frame": 4, "time": 0.4, "x": 50}
    predictor = Predictor(Settings.from_environment())
    (answer,) = predictor.predict([task], body["label_config"], {"result": [drawn, other]}, body["project"])
    predictor.close()
    assert isinstance(answer, dict)
    cancelled = {"result": [], "was_cancelled": True, "updated_at": "2027"}
    annotation = {"result": answer["result"], "was_cancelled": False, "updated_at": "2026"}
    return [{**task, "annotations": [annotation, cancelled]}]


def export(tasks: list[dict[str, Any]], folder: Path, name: str, format_name: str, *more: str) -> Path:
    (folder / "project.json").write_text(json.dumps(tasks))
    command = ["export-label-studio", str(folder / "project.json"), "-o", str(folder / name)]
    assert main([*command, "--format", format_name, *more]) == 0
    return folder / name


def region_masks(region: dict[str, Any]) -> list[bool]:
    """On which of the file's frames the page shows a region."""
    clock = FrameClock(10.0, [n / 10 for n in range(FRAMES)], FRAMES / 10)
    items = region["value"]["sequence"]
    return [rectangle_at(items, clock.page_frame(n)) is not None for n in range(FRAMES)]


def test_stored_masks_are_exported_in_every_format(
    tracked: list[dict[str, Any]], tracked_frames: list[int], tmp_path: Path
) -> None:
    regions = tracked[0]["annotations"][0]["result"]
    stack = tifffile.imread(export(tracked, tmp_path, "tiffs", "tiff") / f"task-{tracked[0]['id']}.tif")
    assert stack.shape == (FRAMES, HEIGHT, WIDTH)
    vis = json.loads(export(tracked, tmp_path, "vis.json", "youtube-vis").read_text())
    for region, annotation in zip(regions, vis["annotations"]):
        assert [one is not None for one in annotation["segmentations"]] == region_masks(region)
    assert not stack[0][decode_rle(vis["annotations"][0]["segmentations"][0]) & (stack[0] != 1)].any()
    coco = json.loads(export(tracked, tmp_path, "coco.json", "coco").read_text())
    assert len(coco["annotations"]) == sum(sum(region_masks(region)) for region in regions)
    assert [track["name"] for track in coco["tracks"]] == [region["id"] for region in regions]
    with find_dataset(export(tracked, tmp_path, "data", "training")) as found:
        (video,) = found.videos
        assert len(video.visible) == FRAMES
        assert 1 in video.visible[0]
        assert 2 not in video.visible[0]  # a person did not see it there
    assert tracked_frames == []


def test_what_was_changed_after_tracking_is_tracked_again(
    tracked: list[dict[str, Any]], tracked_frames: list[int], tmp_path: Path
) -> None:
    _, other = tracked[0]["annotations"][0]["result"]
    first = next(item for item in other["value"]["sequence"] if item["frame"] == 4)
    first["x"] = 20.0
    export(tracked, tmp_path, "vis.json", "youtube-vis")
    assert tracked_frames == list(range(4, FRAMES))  # from its own keyframe on, and not the other one


def test_without_the_servers_folder_everything_is_tracked_again(
    tracked: list[dict[str, Any]], tracked_frames: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = json.loads(export(tracked, tmp_path, "stored.json", "youtube-vis").read_text())
    monkeypatch.setenv("MODEL_DIR", str(tmp_path / "elsewhere"))
    again = json.loads(export(tracked, tmp_path, "again.json", "youtube-vis").read_text())
    assert tracked_frames == list(range(1, FRAMES))
    assert again == stored


def test_images_with_drawn_masks(server: MediaServer, tmp_path: Path) -> None:
    mask = np.zeros((480, 640), np.bool_)
    mask[100:200, 300:420] = True
    regions: list[dict[str, Any]] = []
    for form in ("BrushLabels", "PolygonLabels", "VectorLabels", "BitmaskLabels"):
        control = ControlTag(form, form.lower(), "image", ("Ball",))
        regions += mask_regions(mask, control, ["Ball"], 0.5, 0.0)
    nameless = {"id": "b", "type": "brush", "value": {"format": "rle", "rle": encode_brush_rle(mask)}}
    name = {"id": "b", "type": "labels", "value": {"labels": ["Box"]}}
    regions += [
        nameless,
        name,
        {"id": "r", "type": "rectangle", "value": {"x": 1, "y": 1, "width": 9, "height": 9}},
    ]
    task = {
        "id": 5,
        "data": {"image": "/data/upload/1/shapes.png", "note": "a/b"},
        "annotations": [{"result": regions}],
    }
    coco = json.loads(export([task], tmp_path, "coco.json", "coco").read_text())
    names = {one["id"]: one["name"] for one in coco["categories"]}
    assert [names[one["category_id"]] for one in coco["annotations"]] == ["Ball"] * 4 + ["Box"]
    for one in coco["annotations"]:
        found: NDArray[np.bool_] = decode_rle(one["segmentation"])
        assert (found ^ mask).sum() <= 2 * (100 + 120)


def test_a_region_of_several_results_is_one_object(server: MediaServer, tmp_path: Path) -> None:
    mask = np.zeros((480, 640), np.bool_)
    mask[100:200, 300:420] = True
    rle = {"format": "rle", "rle": encode_brush_rle(mask)}
    regions = [
        # As the page stores a mask that it accepts while a keypoint's label stays chosen.
        {"id": "a", "type": "brushlabels", "value": {**rle, "brushlabels": ["Ball"]}},
        {"id": "a", "type": "keypointlabels", "value": {**rle, "keypointlabels": ["Ball"]}},
        # As a tag without labels of its own is answered.
        {"id": "b", "type": "brush", "value": rle},
        {"id": "b", "type": "labels", "value": {**rle, "labels": ["Box"]}},
    ]
    data = {"image": "/data/upload/1/shapes.png"}
    task = {"id": 5, "data": data, "annotations": [{"result": regions}]}
    coco = json.loads(export([task], tmp_path, "coco.json", "coco").read_text())
    names = {one["id"]: one["name"] for one in coco["categories"]}
    assert [names[one["category_id"]] for one in coco["annotations"]] == ["Ball", "Box"]


def test_each_page_of_a_task_is_an_image_of_its_own(
    server: MediaServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    control = ControlTag("BrushLabels", "brush", "image", ("Ball",))
    regions: list[dict[str, Any]] = []
    masks = {0: np.zeros((480, 640), np.bool_), 2: np.zeros((480, 640), np.bool_)}
    masks[0][10:60, 20:90], masks[2][300:400, 300:420] = True, True
    for page, mask in masks.items():
        regions += [{**one, "item_index": page} for one in mask_regions(mask, control, ["Ball"], 0.5, 0.0)]
    page_address = "/data/upload/1/shapes.png"
    data = {"pages": [page_address] * 3, "tags": ["a", "b"], "title": "x"}
    task = {"id": 5, "data": data, "annotations": [{"result": regions}]}
    folder = export([task], tmp_path, "tiffs", "tiff")
    assert sorted(one.name for one in folder.iterdir()) == ["task-5-page-1.tif", "task-5-page-3.tif"]
    for page, mask in masks.items():
        stack = np.squeeze(tifffile.imread(folder / f"task-5-page-{page + 1}.tif"))
        np.testing.assert_array_equal(stack > 0, mask)
    assert "of task-5, pages without a region are left out: 2." in " ".join(capsys.readouterr().err.split())
    regions[1]["item_index"] = 3
    export([task, {**task, "id": 6, "data": {"pages": [page_address] * 4}}], tmp_path, "more", "tiff")
    said = " ".join(capsys.readouterr().err.split())
    assert "task-5 is left out: Task 5 has a region on page 4, but only 3 images" in said


def test_a_task_that_cannot_be_read_is_named_and_left_out(
    tracked: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = {**tracked[0], "id": 99, "data": {"video": "/data/upload/1/gone.mp4"}}
    export([gone, *tracked], tmp_path, "coco.json", "coco")
    assert "task-99 is left out: The file" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[", "no export of a Label Studio project"),
        ("{}", "no export of a Label Studio project"),
        ('[{"id": 1, "video": "/x.mp4", "box": []}]', "no export of a Label Studio project"),
        ('[{"id": 1, "data": {}, "annotations": []}]', "has an annotation"),
    ],
)
def test_files_that_are_no_project(content: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "project.json").write_text(content)
    with pytest.raises(InputError, match=sentence):
        read_project_file(tmp_path / "project.json")


def test_which_of_the_data_is_the_media(tracked: list[dict[str, Any]], tmp_path: Path) -> None:
    data = {
        "video": "/data/upload/1/video.mp4",
        "thumbnail": "https://host/video.jpg",
        "fps": 10,
        "title": "a. b",
    }
    tracked[0]["data"] = data
    (tmp_path / "project.json").write_text(json.dumps(tracked), encoding="utf-8-sig")
    (task,) = read_project_file(tmp_path / "project.json")
    assert task.address("video") == data["video"]
    assert task.frame_rate == pytest.approx(10)
    with pytest.raises(InputError, match=r"2 values that look like addresses.*--key"):
        task.address(None)
    with pytest.raises(InputError, match="no address under 'fps'"):
        task.address("fps")


def test_review_pages_show_the_masks_and_lead_back_to_the_task(
    tracked: list[dict[str, Any]], server: MediaServer, tmp_path: Path
) -> None:
    folder = export(tracked, tmp_path, "pages", "review")
    (page,) = (one for one in folder.glob("*.html") if one.name != "index.html")
    content = json.loads(page.read_text().partition('id="data">')[2].partition("</script>")[0])
    task = tracked[0]
    assert content["link"] == f"{server.url}/projects/{task['project']}/data?task={task['id']}"
    assert (content["first"], len(content["frames"]), len(content["objects"])) == (1, FRAMES, 2)
    assert any(mask["runs"] for mask in content["objects"][0]["masks"].values())


def test_a_box_that_was_submitted_before_it_was_tracked_is_named(
    tracked: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(tracked, tmp_path, "tracked", "tiff")
    assert "stood still" not in capsys.readouterr().err
    (region, *_) = tracked[0]["annotations"][0]["result"]
    region["value"]["sequence"] = [{**region["value"]["sequence"][0], "enabled": True}]
    region["value"]["sequence"][0].pop("sam2", None)
    export(tracked, tmp_path, "still", "tiff")
    assert "1 rectangle stood still" in capsys.readouterr().err
