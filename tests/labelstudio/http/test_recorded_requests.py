"""Every request that a real Label Studio sent, sent again; answers are compared with the drawn shapes."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelstudio_harness import DATA, MediaServer, Reply, call, iou, recorded
from skimage.draw import ellipse, polygon

from labelstudio_backend.http.app import Application
from labelstudio_backend.schema.brush_rle import decode_brush_rle
from labelstudio_backend.schema.sequences import rectangle_at
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor

STATUS = {
    "health": 200,
    "health_401_no_auth": 401,
    "predict_batch_image_v109": 200,
    "predict_batch_video_v109": 200,
    "predict_image_keypoint_negative": 200,
    "predict_image_keypoint_positive": 200,
    "predict_image_keypoint_two_positive": 200,
    "predict_image_rectangle": 200,
    "predict_interactive_empty_result_image": 200,
    "predict_interactive_no_context_image": 200,
    "predict_interactive_no_context_video": 200,
    "predict_test_button_image": 200,
    "predict_video_after_submit_empty_result": 200,
    "predict_video_foreign_label": 200,
    "predict_video_label_assigned": 200,
    "predict_video_label_readded_with_model_keyframes": 200,
    "predict_video_label_removed": 200,
    "predict_video_two_objects_same_label": 200,
    "predict_video_user_edited_keyframes_with_extra_keys": 200,
    "setup_basic_auth": 200,
    "setup_image": 200,
    "setup_legacy_token_disabled": 200,
    "setup_video": 200,
    "versions_404_v2": 200,
    "versions_405_v109": 200,
    "webhook_annotation_created_brush": 201,
    "webhook_annotation_created_video": 201,
    "webhook_start_training": 201,
}
WITH_AUTH = {"health_401_no_auth", "setup_basic_auth"}
NO_WORK = [
    "predict_batch_video_v109",
    "predict_interactive_empty_result_image",
    "predict_video_after_submit_empty_result",
    "predict_video_label_removed",
]
TRACKED = [
    name for name in STATUS if name.startswith("predict_video") and name not in NO_WORK
]  # all on moving.mp4, with labeled rectangles


def replay(application: Application, server: MediaServer, name: str) -> Reply:
    request = recorded(name, server)
    headers = {}
    if "Authorization" in request["headers"]:
        headers["HTTP_AUTHORIZATION"] = request["headers"]["Authorization"]
    return call(application, request["method"], request["path"], request["json"], headers=headers)


def settings(server: MediaServer, model: str | Path, **more: Any) -> Settings:
    return Settings(model=str(model), device="cpu", label_studio_url=server.url, **more)


@pytest.fixture(scope="module")
def application(recorded_server: MediaServer, small_checkpoint: Path) -> Iterator[Application]:
    """With random weights: enough for the form of an answer."""
    predictor = Predictor(settings(recorded_server, small_checkpoint, predict_seconds=600))
    project = recorded("predict_batch_image_v109", recorded_server)["json"]["project"]
    predictor.parameters.set(project, {"points_per_side": 2})  # enough for the form of an answer
    yield Application(predictor)
    predictor.close()


@pytest.fixture(scope="module")
def replies(application: Application, recorded_server: MediaServer) -> Callable[[str], Reply]:
    """Replays a recording, or gives the reply again."""

    def reply(name: str) -> Reply:
        if name not in WITH_AUTH:
            return replay(application, recorded_server, name)
        guarded = settings(recorded_server, application.predictor.settings.model, basic_auth=("u", "p"))
        return replay(Application(Predictor(guarded)), recorded_server, name)

    return cache(reply)


@pytest.fixture(scope="module")
def nano(recorded_server: MediaServer) -> Iterator[Application]:
    """With the shipped weights, at an input size that is enough for three shapes."""
    predictor = Predictor(settings(recorded_server, "nano@384", predict_seconds=600))
    project = recorded("predict_batch_image_v109", recorded_server)["json"]["project"]
    predictor.parameters.set(project, {"points_per_side": 10})
    yield Application(predictor)
    predictor.close()


@pytest.fixture(scope="module")
def small_nano(recorded_server: MediaServer) -> Iterator[Application]:
    """With the shipped weights, at an input size that is enough for a disc."""
    predictor = Predictor(settings(recorded_server, "nano@256", predict_seconds=600))
    yield Application(predictor)
    predictor.close()


def test_the_table_names_every_recording() -> None:
    assert set(STATUS) == {path.stem for path in (DATA / "requests").iterdir()}


@pytest.mark.parametrize("name", STATUS)
def test_status_and_form(
    name: str, application: Application, recorded_server: MediaServer, replies: Callable[[str], Reply]
) -> None:
    reply = replies(name)
    assert reply.status == STATUS[name], reply.body
    version = application.predictor.model_version
    if name.startswith("predict"):
        tasks = recorded(name, recorded_server)["json"]["tasks"]
        assert len(reply.json["results"]) == len(tasks)
        for prediction in reply.json["results"]:
            if name == "predict_batch_video_v109":
                assert prediction == []  # there is no box to track
                continue
            assert isinstance(prediction["result"], list)
            assert 0 <= prediction["score"] <= 1
            assert prediction["model_version"] == version
    elif name.startswith("setup"):
        assert reply.json["model_version"] == version
    elif name.startswith("versions"):
        assert reply.json["versions"] == [version]


@pytest.mark.parametrize("name", NO_WORK)
def test_what_needs_no_work_touches_no_media(
    name: str, application: Application, recorded_server: MediaServer
) -> None:
    recorded_server.seen.clear()
    application.predictor.sessions.clear()
    reply = replay(application, recorded_server, name)
    assert all(not prediction or prediction["result"] == [] for prediction in reply.json["results"])
    assert recorded_server.seen == []
    assert len(application.predictor.sessions) == 0


@pytest.mark.parametrize("name", TRACKED)
def test_tracks_keep_their_identity_and_their_keyframes(
    name: str, recorded_server: MediaServer, replies: Callable[[str], Reply]
) -> None:
    sent = recorded(name, recorded_server)["json"]["params"]["context"]["result"]
    answer = replies(name).json["results"][0]["result"]
    assert [region["id"] for region in answer] == [region["id"] for region in sent]
    for before, after in zip(sent, answer):
        assert (after["from_name"], after["to_name"], after["type"]) == ("box", "video", "videorectangle")
        assert after["value"]["labels"] == before["value"]["labels"]
        items = {item["frame"]: item for item in after["value"]["sequence"]}
        assert list(items) == sorted(items)
        needed = {"frame", "time", "enabled", "rotation", "x", "y", "width", "height"}
        assert all(needed <= item.keys() for item in items.values())
        assert items[max(items)]["enabled"] is False
        for item in before["value"]["sequence"]:
            found = items[item["frame"]]
            assert {key: found[key] for key in ("x", "y", "width", "height")} == {
                key: item[key] for key in ("x", "y", "width", "height")
            }


def drawn(*shapes: str) -> np.ndarray:
    mask = np.zeros((480, 640), dtype=bool)
    for shape in shapes:
        if shape == "ellipse":
            mask[ellipse(180, 160, 80, 80)] = True
        elif shape == "rectangle":
            mask[180:401, 360:561] = True
        else:
            mask[polygon([60, 20, 120], [300, 380, 420])] = True
    return mask


@pytest.mark.parametrize(
    ("name", "label", "shapes"),
    [
        ("predict_image_keypoint_positive", "Ball", ("ellipse",)),
        ("predict_image_keypoint_two_positive", "Ball", ("ellipse", "triangle")),
        ("predict_image_keypoint_negative", "Ball", ("ellipse", "triangle")),
        ("predict_image_rectangle", "Box", ("rectangle",)),
    ],
)
def test_brushes_cover_the_drawn_shapes(
    name: str, label: str, shapes: tuple[str, ...], nano: Application, recorded_server: MediaServer
) -> None:
    (region,) = replay(nano, recorded_server, name).json["results"][0]["result"]
    assert (region["from_name"], region["to_name"], region["type"]) == ("brush", "image", "brushlabels")
    assert region["value"]["brushlabels"] == [label]
    mask = decode_brush_rle(region["value"]["rle"], (region["original_height"], region["original_width"]))
    assert iou(mask, drawn(*shapes)) >= 0.7


@pytest.mark.parametrize("name", ["predict_interactive_no_context_image", "predict_test_button_image"])
def test_an_earlier_rectangle_of_another_model_is_a_prompt(
    name: str, nano: Application, recorded_server: MediaServer
) -> None:
    (prediction,) = replay(nano, recorded_server, name).json["results"]
    (region,) = prediction["result"]
    assert region["value"]["brushlabels"] == ["Ball"]  # as that model called it
    assert iou(decode_brush_rle(region["value"]["rle"], (480, 640)), drawn("rectangle")) >= 0.7
    assert prediction["score"] == pytest.approx(region["score"])
    assert 0 < region["score"] <= 1


def test_every_task_of_a_batch_gets_everything_on_its_image(
    nano: Application, recorded_server: MediaServer
) -> None:
    predictions = replay(nano, recorded_server, "predict_batch_image_v109").json["results"]
    assert len(predictions) == 2
    for prediction in predictions:
        found = [decode_brush_rle(region["value"]["rle"], (480, 640)) for region in prediction["result"]]
        for shape in ("ellipse", "rectangle", "triangle"):
            assert max(iou(mask, drawn(shape)) for mask in found) >= 0.7, shape
        scores = [region["score"] for region in prediction["result"]]
        assert prediction["score"] == pytest.approx(min(scores))
        assert {region["value"]["brushlabels"][0] for region in prediction["result"]} == {"Ball"}


def _area(box: tuple[float, ...]) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _box_iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    inner = _area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    return inner / (_area(a) + _area(b) - inner)


@pytest.mark.parametrize(
    "name",
    [
        "predict_video_label_assigned",
        "predict_video_two_objects_same_label",
        "predict_interactive_no_context_video",  # tracked from another model's prediction
    ],
)
def test_the_disc_is_boxed_on_every_frame(
    name: str, small_nano: Application, recorded_server: MediaServer
) -> None:
    region = replay(small_nano, recorded_server, name).json["results"][0]["result"][0]
    items = region["value"]["sequence"]
    assert len(items) < 30
    for frame in range(1, 31):
        shown = rectangle_at(items, frame)
        assert shown is not None, frame
        left, top = shown["x"] * 3.2, shown["y"] * 2.4
        box = (left, top, left + shown["width"] * 3.2, top + shown["height"] * 2.4)
        x = 20 + 6 * (frame - 1)
        assert _box_iou(box, (x, 60, x + 51, 111)) >= 0.7, frame
    assert rectangle_at(items, 31) is None
