"""Recorded requests with one value exchanged: whatever it is, the answer is a sentence and not a failure."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelstudio_harness import MediaServer, call, recorded

from labelstudio_backend.http.app import Application
from labelstudio_backend.schema.labeling_config import LabelingConfig
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.image_preannotation import prompts_of_task
from labelstudio_backend.tasks.predictor import Predictor
from sam2_engine.errors import InputError

NAMES = [
    "setup_image",
    "predict_batch_image_v109",
    "predict_image_keypoint_negative",
    "predict_image_rectangle",
    "predict_video_two_objects_same_label",
    "predict_video_user_edited_keyframes_with_extra_keys",
]
EARLIER = ("drafts", "annotations", "predictions")
REMOVED = object()
VALUES = st.sampled_from(
    [REMOVED, None, True, 0, -1, 1.5, 1e300, 10**400, "", "x", "$", "..", "\ud800", "http://[", [], [[]], {}]
)


@pytest.fixture(scope="module")
def application(recorded_server: MediaServer, small_checkpoint: Path) -> Iterator[Application]:
    """One that tracks only for a moment, and looks for little on an image."""
    predictor = Predictor(
        Settings(str(small_checkpoint), "cpu", label_studio_url=recorded_server.url, predict_seconds=0.05)
    )
    parameters = predictor.parameters.get(None)
    predictor.parameters.get = lambda project: replace(parameters, points_per_side=1)  # type: ignore[method-assign]
    yield Application(predictor)
    predictor.close()


def places(
    part: object, way: tuple[Any, ...] = (), leave_out: tuple[str, ...] = ()
) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value of a request."""
    items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in items:
        if key not in leave_out:
            yield (*way, key)
            yield from places(value, (*way, key), leave_out)


def exchange_one(part: Any, data: st.DataObject, leave_out: tuple[str, ...] = ()) -> None:
    *way, key = data.draw(st.sampled_from(list(places(part, leave_out=leave_out))))
    for step in way:
        part = part[step]
    value = data.draw(VALUES)
    if value is REMOVED:
        del part[key]
    else:
        part[key] = copy.deepcopy(value)


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_one_value_exchanged(
    data: st.DataObject, application: Application, recorded_server: MediaServer
) -> None:
    request = recorded(data.draw(st.sampled_from(NAMES)), recorded_server)
    body = request["json"]
    # What Label Studio adds of earlier work is looked at for a batch only, in a test of its own.
    exchange_one(body, data, leave_out=EARLIER)
    reply = call(application, request["method"], request["path"], body)
    assert reply.status in (200, 400), reply.body
    if reply.status == 400:
        assert reply.json["error"].endswith((".", "?"))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_one_value_of_earlier_work_exchanged(data: st.DataObject, recorded_server: MediaServer) -> None:
    body = recorded("predict_image_keypoint_negative", recorded_server)["json"]
    (target,) = LabelingConfig.parse(body["label_config"]).targets()
    (task,) = body["tasks"]
    task["annotations"] = copy.deepcopy(task["drafts"])
    task["data"]["prompts"] = [{"points": [[1, 2]], "labels": [1], "box": [1, 2, 3, 4], "label": "Ball"}]
    for key in data.draw(st.sampled_from([(), ("drafts",), ("drafts", "annotations"), EARLIER])):
        task[key] = []
    exchange_one(task, data)
    if not isinstance(task.get("data"), dict):
        return  # refused before, as the other test sees
    sentence = "."
    prompts = []
    try:
        prompts = prompts_of_task(task, target, (480, 640), "ours")
    except InputError as error:
        sentence = str(error)
    assert sentence.endswith(".")
    assert not any(one.prompt.is_empty for one in prompts)
