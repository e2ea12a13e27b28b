import io
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from labelstudio_harness import DATA, MediaServer, call, recorded

from labelstudio_backend.http.app import MAX_BODY_BYTES, Application
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor


@pytest.fixture
def application(media_server: MediaServer, small_checkpoint: Path) -> Application:
    return Application(Predictor(Settings(model=str(small_checkpoint), label_studio_url=media_server.url)))


@pytest.fixture
def click(media_server: MediaServer) -> dict[str, Any]:
    """The body of one recorded click."""
    body: dict[str, Any] = recorded("predict_image_keypoint_positive", media_server)["json"]
    return body


def refused(
    application: Application, *, body: object = None, raw: bytes | None = None, path: str = "/predict"
) -> str:
    """Send something unusable and return the sentence that it is answered with."""
    reply = call(application, "POST", path, body, raw=raw)
    assert reply.status == 400
    sentence: str = reply.json["error"]
    assert reply.reason == sentence.encode("ascii", "ignore").decode()[:300]
    assert sentence.endswith((".", "?"))
    assert "Traceback" not in sentence
    return sentence


NO_JSON = [b"", b"{", b"\xff\xfe", b"[1]", b"null", b"[" * 100_000]
NO_JSON += [b'{"tasks": %s}' % number for number in (b"NaN", b"-Infinity", b"1e999", b"-1.5e400")]


@pytest.mark.parametrize("raw", NO_JSON)
@pytest.mark.parametrize("path", ["/predict", "/setup", "/webhook"])
def test_what_is_not_json(raw: bytes, path: str, application: Application) -> None:
    assert "JSON" in refused(application, raw=raw, path=path)


@pytest.mark.parametrize("tasks", [None, [], {}, "x"])
def test_no_task(tasks: object, application: Application, click: dict[str, Any]) -> None:
    assert "no task" in refused(application, body={**click, "tasks": tasks})


@pytest.mark.parametrize("task", [None, 1, {}, {"data": []}])
def test_a_task_without_data(task: object, application: Application, click: dict[str, Any]) -> None:
    assert "no data" in refused(application, body={**click, "tasks": [task]})


def test_a_task_whose_id_is_no_name(application: Application, click: dict[str, Any]) -> None:
    task = {**click["tasks"][0], "id": [1]}
    assert "neither a number nor a name" in refused(application, body={**click, "tasks": [task]})


def test_a_file_that_is_not_there(application: Application, click: dict[str, Any]) -> None:
    click["tasks"][0]["data"]["image"] = "/data/upload/1/gone.png"
    assert "gone.png is not there" in refused(application, body=click)


def test_media_that_is_neither_image_nor_video(
    application: Application, click: dict[str, Any], media_server: MediaServer
) -> None:
    media_server.pages["/data/upload/1/text.png"] = (200, {"Content-Type": "image/png"}, b"no image")
    click["tasks"][0]["data"]["image"] = "/data/upload/1/text.png"
    assert "not an image" in refused(application, body=click)
    request = recorded("predict_video_label_assigned", media_server)["json"]
    media_server.pages["/data/upload/1/text.mp4"] = (200, {"Content-Type": "video/mp4"}, b"no video")
    request["tasks"][0]["data"]["video"] = "/data/upload/1/text.mp4"
    (region,) = call(application, "POST", "/predict", request).json["results"][0]["result"]
    assert "text.mp4 is neither" in region["meta"]["text"][0]


def test_several_tasks_with_one_drawing(application: Application, click: dict[str, Any]) -> None:
    assert "belongs to one task" in refused(application, body={**click, "tasks": click["tasks"] * 2})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"value": None}, "no value"),
        ({"value": {"x": 10, "keypointlabels": ["Ball"]}}, "nothing for y"),
        ({"value": {"x": 10, "y": 1e400, "keypointlabels": ["Ball"]}}, "JSON"),
        ({"value": {"x": 10, "y": 10**400, "keypointlabels": ["Ball"]}}, "not a number"),
        ({"value": {"x": 10, "y": 120, "keypointlabels": ["Ball"]}}, "outside"),
        ({"value": {"x": 10, "y": 10}}, "no label"),
        ({"value": {"x": 10, "y": 10, "keypointlabels": ["Cat"]}}, "no label 'Cat'"),
        ({"type": "polygonlabels", "value": {"x": 1, "polygonlabels": ["Ball"]}}, "no corners"),
        ({"type": "vectorlabels", "value": {"vertices": [], "vectorlabels": ["Ball"]}}, "no prompt"),
        ({"type": "ellipselabels", "value": {"x": 1, "ellipselabels": ["Ball"]}}, "nothing for y"),
        ({"item_index": 3}, "page 4"),
        ({"to_name": "text"}, "no tag for 'text'"),
        (
            {
                "type": "rectanglelabels",
                "value": {"x": 1, "y": 1, "width": 0, "height": 9, "labels": ["Ball"]},
            },
            "less than one pixel",
        ),
    ],
)
def test_drawings_that_are_no_prompt(
    change: dict[str, Any], words: str, application: Application, click: dict[str, Any]
) -> None:
    click["params"]["context"]["result"][0].update(change)
    assert words in refused(application, body=click)


@pytest.mark.parametrize("context", [{"result": 3}, {"result": {}}, "x", 5])
def test_a_context_of_another_form(context: object, application: Application, click: dict[str, Any]) -> None:
    assert "context" in refused(application, body={**click, "params": {"context": context}})


@pytest.mark.parametrize("xml", [None, "", "<View", "<View/>"])
def test_a_configuration_that_cannot_be_served(
    xml: object, application: Application, click: dict[str, Any]
) -> None:
    assert "configuration" in refused(application, body={**click, "label_config": xml})
    assert "configuration" in refused(application, body={"schema": xml}, path="/setup")


def test_only_background_clicks_give_nothing(application: Application, click: dict[str, Any]) -> None:
    click["params"]["context"]["result"][0]["is_positive"] = False
    reply = call(application, "POST", "/predict", click)
    assert (reply.status, reply.json["results"][0]["result"]) == (200, [])


def test_paths_that_do_not_exist(application: Application) -> None:
    assert call(application, "GET", "/nowhere").status == 404
    reply = call(application, "GET", "/predict")
    assert (reply.status, reply.headers["Allow"]) == (405, "POST")
    assert call(application, "DELETE", "/health").status == 405


def test_head_is_get_without_a_body(application: Application) -> None:
    reply = call(application, "HEAD", "/health")
    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["Content-Length"]) > 0


def test_health(application: Application) -> None:
    for path in ("/health", "/"):
        assert call(application, "GET", path).json["status"] == "UP"


def test_a_request_that_is_too_large(application: Application) -> None:
    reply = call(application, "POST", "/predict", raw=b" " * (MAX_BODY_BYTES + 1))
    assert reply.status == 413


@pytest.mark.parametrize("length", ["9" * 30, "9" * 4000])
def test_a_length_that_is_none(length: str, application: Application) -> None:
    reply = call(application, "POST", "/predict", raw=b"{}", headers={"CONTENT_LENGTH": length})
    assert reply.status == 400
    assert "Content-Length" in reply.json["error"]


def test_a_request_that_breaks_off(application: Application) -> None:
    class Broken(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise ConnectionResetError("reset by peer")

    reply = call(application, "POST", "/predict", raw=b"{}", headers={"wsgi.input": Broken()})
    assert reply.status == 400
    assert "ended before it was whole" in reply.json["error"]


@pytest.mark.parametrize("auth", [None, "u:q", "v:p", "u", ""])
@pytest.mark.parametrize("path", ["/health", "/predict", "/metrics", "/nowhere"])
def test_basic_auth_covers_everything(auth: str | None, path: str, small_checkpoint: Path) -> None:
    application = Application(Predictor(Settings(model=str(small_checkpoint), basic_auth=("u", "p"))))
    reply = call(application, "GET", path, auth=auth)
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"].startswith("Basic")
    assert call(application, "GET", "/health", auth="u:p").status == 200
    assert call(application, "GET", "/health", headers={"HTTP_AUTHORIZATION": "Basic %%%"}).status == 401


def test_a_failure_of_ours_shows_nothing_of_its_inside(
    application: Application,
    click: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("inner secret")

    monkeypatch.setattr(application.predictor.sessions, "use", broken)
    reply = call(application, "POST", "/predict", click)
    assert reply.status == 500
    assert b"inner secret" not in reply.body
    assert b"Traceback" not in reply.body
    reference = reply.json["error"].rstrip(".").split()[-1]
    assert any(reference in record.getMessage() and record.exc_info for record in caplog.records)


def test_no_token_is_logged(
    media_server: MediaServer, small_checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(model=str(small_checkpoint), label_studio_url=media_server.url, api_key="hidden-key")
    application = Application(Predictor(settings))
    request = recorded("setup_image", media_server)
    click = recorded("predict_image_keypoint_positive", media_server)
    with caplog.at_level(logging.DEBUG):
        assert call(application, "POST", "/setup", request["json"]).status == 200
        assert call(application, "POST", "/predict", click["json"]).status == 200
    assert "path='/predict'" in caplog.text
    for secret in (request["json"]["access_token"], "hidden-key"):
        assert secret not in caplog.text
    assert "hidden-key" not in repr(settings)


def test_metrics_count(application: Application, click: dict[str, Any]) -> None:
    call(application, "GET", "/nowhere")
    call(application, "POST", "/predict", click)
    lines = call(application, "GET", "/metrics").body.decode().splitlines()
    assert 'sam2_requests_total{path="other",status="404"} 1' in lines
    assert 'sam2_requests_total{path="/predict",status="200"} 1' in lines
    assert "sam2_sessions 1" in lines
    assert "sam2_background_videos 0" in lines
    assert 'sam2_request_seconds_bucket{path="/predict",le="+Inf"} 1' in lines
    held = dict(line.split(" ") for line in lines if line.startswith("sam2_") and "{" not in line)
    assert float(held["sam2_session_bytes"]) > 0
    assert float(held["sam2_feature_bytes"]) > 0
    assert float(held["sam2_media_bytes"]) == (DATA / "media" / "shapes.png").stat().st_size


def test_a_second_click_fetches_nothing(
    application: Application, click: dict[str, Any], media_server: MediaServer
) -> None:
    for _ in range(3):
        assert call(application, "POST", "/predict", click).status == 200
    assert len(media_server.seen) == 1


def test_health_is_answered_while_all_predictions_are_under_way(
    small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, click: dict[str, Any]
) -> None:
    application = Application(Predictor(Settings(model=str(small_checkpoint))), max_requests=2)
    begun, end = threading.Semaphore(0), threading.Event()

    def predict(*_: object) -> list[Any]:
        begun.release()
        assert end.wait(60)
        return []

    monkeypatch.setattr(application.predictor, "predict", predict)
    with ThreadPoolExecutor(2) as people:
        replies = [people.submit(call, application, "POST", "/predict", click) for _ in range(2)]
        try:
            assert begun.acquire(timeout=60)
            assert begun.acquire(timeout=60)
            for path in ("/health", "/health/ready", "/health/live", "/metrics", "/versions"):
                assert call(application, "GET", path).status == 200
            busy = call(application, "POST", "/predict", click)
            assert (busy.status, busy.headers["Retry-After"]) == (503, "5")
            assert busy.reason == busy.json["error"]
        finally:
            end.set()
        assert [reply.result().status for reply in replies] == [200, 200]
    assert call(application, "POST", "/predict", click).status == 200


def test_ready_is_said_when_the_weights_are_loaded(media_server: MediaServer, small_checkpoint: Path) -> None:
    missing: list[str | None] = ["The model is being downloaded: 3 of 9 MB."]
    application = Application(Predictor(Settings(model=str(small_checkpoint))), lambda: missing[-1])
    for path in ("/health", "/health/ready", "/"):
        reply = call(application, "GET", path)
        assert (reply.status, reply.reason, reply.json["error"]) == (503, missing[0], missing[0])
    assert call(application, "POST", "/predict", {}).status == 503
    assert call(application, "GET", "/health/live").status == 200
    # A project can be connected meanwhile: that needs no weights.
    assert call(application, "POST", "/setup", recorded("setup_image", media_server)["json"]).status == 200
    missing.append(None)
    for path in ("/health", "/health/ready", "/health/live"):
        assert call(application, "GET", path).json["status"] == "UP"


def test_probes_need_no_password(small_checkpoint: Path) -> None:
    application = Application(Predictor(Settings(model=str(small_checkpoint), basic_auth=("u", "p"))))
    for path in ("/health/live", "/health/ready"):
        assert call(application, "GET", path).json == {"status": "UP"}


SECRET = "Jane Doe, born 1970"


@pytest.mark.parametrize("kind", ["image", "video"])
@pytest.mark.parametrize(
    "change",
    [
        lambda task, region: task["data"].update(image=SECRET, video=SECRET),
        lambda task, region: task["data"].update(image=f"data:{SECRET}", video=f"data:{SECRET}"),
        lambda task, region: task["data"].update(
            image=f"/data/upload/1/a.png?who={SECRET}", video=f"s3://b?{SECRET}"
        ),
        lambda task, region: task["data"].update(image=[SECRET], video={"x": SECRET}, fps=SECRET),
        lambda task, region: task.update(id=[SECRET]),
        lambda task, region: region["value"].update(x=SECRET, sequence=[{"frame": SECRET}]),
        lambda task, region: region["value"].update(y={SECRET: 1}, sequence=[{"frame": 1, "x": SECRET}]),
        lambda task, region: region.update(value=SECRET),
        lambda task, region: region.update(item_index=SECRET),
    ],
)
def test_no_reply_and_no_log_line_has_a_tasks_data(
    kind: str,
    change: Any,
    media_server: MediaServer,
    application: Application,
    caplog: pytest.LogCaptureFixture,
) -> None:
    name = {"image": "predict_image_keypoint_positive", "video": "predict_video_label_assigned"}[kind]
    body = recorded(name, media_server)["json"]
    body["label_config"] = body["label_config"].replace('framerate="10"', 'framerate="$fps"')
    region = body["params"]["context"]["result"][0]
    change(body["tasks"][0], region)
    with caplog.at_level(logging.DEBUG):
        reply = call(application, "POST", "/predict", body)
    said = reply.json.get("error") or [r.get("meta") for r in reply.json["results"][0]["result"]]
    assert "Jane" not in json.dumps(said)
    assert "Jane" not in reply.reason
    assert "Jane" not in caplog.text


@pytest.mark.parametrize(
    ("change", "said"), [({}, True), ({"sam2": [1]}, False), ({"enabled": False}, False)]
)
def test_a_box_that_was_submitted_before_it_was_tracked_is_named_in_the_log(
    change: dict[str, Any],
    said: bool,
    application: Application,
    media_server: MediaServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (drawn,) = recorded("predict_video_label_assigned", media_server)["json"]["params"]["context"]["result"]
    drawn["value"]["sequence"] = [{**drawn["value"]["sequence"][0], **change}]
    event = {"action": "ANNOTATION_CREATED", "annotation": {"task": 7, "result": [drawn, 3, {}]}}
    with caplog.at_level(logging.WARNING):
        assert call(application, "POST", "/webhook", event).status == 201
    assert ("task=7 was submitted before 1 rectangle was tracked" in caplog.text) == said
