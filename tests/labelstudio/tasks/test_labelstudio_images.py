"""Requests about images from beginning to end, with random weights: who answers, in which form, for what."""

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelstudio_harness import DATA, MediaServer, call
from PIL import Image
from small_model import SMALL, write_small_checkpoint

from labelstudio_backend.http.app import Application
from labelstudio_backend.media import decoding
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks import image_tasks
from labelstudio_backend.tasks.predictor import Predictor
from sam2_engine import feature_cache
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.weights.pixel_rules import window_of
from sam2_plugins.session.annotation_session import AnnotationSession

IMAGE = "/data/upload/1/shapes.png"
BRUSH = """<View><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="Cell"/><Label value="Debris"/></BrushLabels>
</View>"""
FORMS = {
    "BrushLabels": {"format", "rle"},
    "BitmaskLabels": {"imageDataURL"},
    "PolygonLabels": {"points", "closed"},
    "VectorLabels": {"vertices", "closed"},
    "RectangleLabels": {"x", "y", "width", "height", "rotation"},
    "EllipseLabels": {"x", "y", "radiusX", "radiusY", "rotation"},
}
TWO_IMAGES = """<View><Image name="left" value="$left"/><Image name="right" value="$right"/>
  <Labels name="kinds" toName="left,right"><Label value="Cell"/></Labels>
  <Rectangle name="box" toName="left" smart="true"/><Polygon name="polygon" toName="right"/></View>"""
ONE_CLICK = {"points_per_side": 1, "confidence": 0, "batch": "always"}


@pytest.fixture
def settings(media_server: MediaServer, small_checkpoint: Path, tmp_path: Path) -> Settings:
    return Settings(
        model=str(small_checkpoint),
        models=("nano@64",),
        device="cpu",
        label_studio_url=media_server.url,
        predict_seconds=120,
        state_folder=tmp_path,
    )


@pytest.fixture
def application(settings: Settings) -> Any:
    predictor = Predictor(settings)
    yield Application(predictor)
    predictor.close()


def config(kind: str) -> str:
    return BRUSH.replace("BrushLabels", kind)


def task(**data: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"image": IMAGE, **data}}


def drawn(kind: str, *, to_name: str = "image", label: str = "Cell", **place: float) -> dict[str, Any]:
    region: dict[str, Any] = {"id": f"{kind}{place}", "type": kind, "to_name": to_name, "value": dict(place)}
    if kind.endswith("labels"):
        region["value"][kind] = [label]
    return region


POINT = drawn("keypointlabels", x=30, y=30)
BOX = drawn("rectanglelabels", x=50, y=30, width=40, height=50)
OVAL = drawn("ellipselabels", x=50, y=50, radiusX=20, radiusY=30)


def predict(
    application: Application,
    tasks: Any,
    xml: str,
    *drawn: dict[str, Any],
    project: str = "1.1",
    status: int = 200,
) -> Any:
    context = {"result": list(drawn)} if drawn else None
    body = {"tasks": tasks, "label_config": xml, "project": project, "params": {"context": context}}
    reply = call(application, "POST", "/predict", body)
    assert reply.status == status, reply.body
    return reply.json["results"] if status == 200 else reply.json["error"]


def without_ids(prediction: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**region, "id": None} for region in prediction["result"]]


def setup(application: Application, extra_params: object, xml: str = BRUSH, project: str = "1.1") -> Any:
    body = {"schema": xml, "project": project, "extra_params": extra_params}
    return call(application, "POST", "/setup", body)


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("prompt", [POINT, BOX, OVAL], ids=["point", "box", "oval"])
def test_every_prompt_gives_every_form(kind: str, prompt: dict[str, Any], application: Application) -> None:
    (prediction,) = predict(application, [task()], config(kind), prompt)
    assert prediction["result"]
    for region in prediction["result"]:
        assert (region["type"], region["from_name"], region["to_name"]) == (kind.lower(), "brush", "image")
        assert region["value"].keys() == {*FORMS[kind], kind.lower()}
        assert region["value"][kind.lower()] == ["Cell"]
        assert region["score"] == prediction["score"]


def test_a_second_click_neither_reads_nor_hashes_nor_encodes_the_image_again(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(application, [task()], BRUSH, POINT)
    done: list[str] = []
    for owner, name in ((decoding, "_run_decoder"), (feature_cache, "hash_pixels"), (Sam2, "encode_image")):
        original = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda *a, name=name, original=original: done.append(name) or original(*a)
        )
    other = {**POINT, "value": {**POINT["value"], "x": 31}}
    predict(application, [task()], BRUSH, other)
    assert done == []


def test_several_prompts_are_predicted_at_once(application: Application) -> None:
    other = drawn("rectanglelabels", x=10, y=10, width=30, height=30)
    (two,) = predict(application, [task()], BRUSH, BOX, other)
    assert len({region["id"] for region in two["result"]}) == 2
    (one,) = predict(application, [task()], BRUSH, POINT, {**POINT, "is_positive": False})
    assert len(one["result"]) == 1


def test_what_was_answered_goes_back_as_it_came(application: Application) -> None:
    about = {"id": POINT["id"], "from_name": "quality", "to_name": "image", "type": "choices"}
    choice = {**about, "value": {**POINT["value"], "choices": ["good"]}}
    text = {"id": "of the task", "from_name": "note", "to_name": "image", "type": "textarea"}
    note = {**text, "value": {"text": ["seen twice"]}}
    (prediction,) = predict(application, [task()], BRUSH, choice, POINT, note)
    (alone,) = predict(application, [task()], BRUSH, POINT)
    assert prediction["result"][-2:] == [choice, note]
    assert len(prediction["result"]) == len(alone["result"]) + 2


def test_predictions_are_for_the_image_that_was_drawn_on(application: Application) -> None:
    both = {"id": 1, "data": {"left": IMAGE, "right": IMAGE}}
    for name, kind in (("left", "rectangle"), ("right", "polygon")):
        prompt = drawn("rectangle", to_name=name, x=50, y=30, width=40, height=50)
        label = {**prompt, "type": "labels", "value": {**prompt["value"], "labels": ["Cell"]}}
        (prediction,) = predict(application, [both], TWO_IMAGES, prompt, label)
        shapes = [region for region in prediction["result"] if region["type"] == kind]
        names = [region for region in prediction["result"] if region["type"] == "labels"]
        assert len(shapes) + len(names) == len(prediction["result"])
        assert [region["id"] for region in shapes] == [region["id"] for region in names]
        assert {region["to_name"] for region in prediction["result"]} == {name}
        assert all(region["value"]["labels"] == ["Cell"] for region in names)


def test_a_batch_works_on_all_images_of_a_task(application: Application) -> None:
    setup(application, ONE_CLICK, TWO_IMAGES)
    both = {"id": 1, "data": {"left": IMAGE, "right": IMAGE}}
    (prediction,) = predict(application, [both], TWO_IMAGES)
    assert {region["to_name"] for region in prediction["result"]} == {"left", "right"}


def test_projects_with_different_settings_are_served_at_once(application: Application) -> None:
    versions = {}
    for project, kind, params in [
        ("1.1", "PolygonLabels", {"tolerance": 0}),
        ("2.2", "PolygonLabels", '{"tolerance": 20}'),
        ("3.3", "RectangleLabels", {"model": "nano@64"}),
        ("4.4", "BrushLabels", None),
    ]:
        versions[project] = setup(application, params, config(kind), project).json["model_version"]
    answers = {}
    for _ in range(2):
        for project, kind in [("1.1", "PolygonLabels"), ("2.2", "PolygonLabels"), ("3.3", "RectangleLabels")]:
            (answers[project],) = predict(application, [task()], config(kind), BOX, project=project)
            assert answers[project]["model_version"] == versions[project]
    corners = {
        project: sum(len(region["value"]["points"]) for region in answers[project]["result"])
        for project in ("1.1", "2.2")
    }
    assert corners["1.1"] > corners["2.2"]
    assert versions["1.1"] == versions["2.2"] == versions["4.4"] != versions["3.3"]
    assert versions["3.3"].endswith("-nano@64")


def test_a_restart_forgets_no_project(application: Application, settings: Settings) -> None:
    version = setup(application, {"model": "nano@64", "batch": "off"}).json["model_version"]
    restarted = Application(Predictor(settings))
    (prediction,) = predict(restarted, [task()], BRUSH, BOX)
    assert prediction["model_version"] == version
    assert predict(restarted, [task()], BRUSH) == [[]]


@pytest.mark.parametrize(
    ("extra_params", "words"),
    [
        ({"model": "/etc/passwd"}, "extra param model"),
        ('{"model": "../../weights"}', "extra param model"),
        ("{", "not JSON"),
        ({"label": "Zebra"}, "no label 'Zebra'"),
    ],
)
def test_settings_that_are_refused_change_nothing(
    extra_params: object, words: str, application: Application
) -> None:
    setup(application, {"batch": "off"})
    reply = setup(application, extra_params)
    assert (reply.status, words in reply.json["error"]) == (400, True)
    assert predict(application, [task()], BRUSH) == [[]]


def test_retrieved_predictions_carry_scores_and_the_version_of_setup(application: Application) -> None:
    version = setup(application, {**ONE_CLICK, "label": "Debris"}).json["model_version"]
    for prediction in predict(application, [task(), {**task(), "id": 2}], BRUSH):
        assert prediction["model_version"] == version
        assert 0 <= prediction["score"] <= 1
        assert prediction["result"]
        for region in prediction["result"]:
            assert 0 <= region["score"] <= 1
            assert region["value"]["brushlabels"] == ["Debris"]


def test_no_more_regions_than_max_objects(application: Application) -> None:
    setup(application, {**ONE_CLICK, "points_per_side": 3, "max_objects": 1})
    assert len(predict(application, [task()], BRUSH)[0]["result"]) == 1


@pytest.mark.parametrize("batch", ["prompts", "always"])
def test_prompts_of_a_task_go_before_automatic_masks(batch: str, application: Application) -> None:
    setup(application, {**ONE_CLICK, "batch": batch})
    imported = {"result": [BOX, {**BOX, "id": "b"}], "model_version": "detector"}
    held, in_data, without = task(), task(prompts=[{"box": [10, 10, 200, 200], "label": "Debris"}]), task()
    held["predictions"] = [imported]
    first, second, third = predict(application, [held, in_data, without], BRUSH)
    assert [region["value"]["brushlabels"] for region in first["result"]] == [["Cell"], ["Cell"]]
    assert [region["value"]["brushlabels"] for region in second["result"]] == [["Debris"]]
    if batch == "prompts":
        assert third == []  # left without a prediction, to be asked for again
    else:
        assert third["result"]


def test_a_task_that_is_opened_is_not_laid_under_with_everything(
    application: Application, media_server: MediaServer
) -> None:
    setup(application, {**ONE_CLICK, "batch": "automatic"})
    assert predict(application, [task()], BRUSH) == [[]]
    assert media_server.seen == []
    (by_prompt,) = predict(application, [task(prompts=[{"box": [10, 10, 200, 200], "label": "Cell"}])], BRUSH)
    assert len(by_prompt["result"]) == 1
    several = predict(application, [task(), {**task(), "id": 2}], BRUSH)
    known = {**task(), "predictions": [{"result": [], "model_version": "other"}]}
    for prediction in [*several, *predict(application, [known], BRUSH)]:
        assert prediction["result"]


def test_a_task_that_cannot_be_read_stops_no_other(
    application: Application, media_server: MediaServer, caplog: pytest.LogCaptureFixture
) -> None:
    setup(application, ONE_CLICK)
    gone = {"id": 2, "data": {"image": "/data/upload/1/gone.png"}}
    first, second, third = predict(application, [task(), gone, {**task(), "id": 3}], BRUSH)
    assert without_ids(first) == without_ids(third)
    assert first["result"]
    assert second == []
    assert "gone.png is not there" in caplog.text
    sentence = predict(application, [gone, {**gone, "id": 4}], BRUSH, status=400)
    assert "gone.png is not there" in sentence
    assert "all 2 tasks" in sentence
    media_server.pages["/data/upload/1/gone.png"] = (200, {}, (DATA / "media" / "shapes.png").read_bytes())
    assert without_ids(predict(application, [gone], BRUSH)[0]) == without_ids(first)


@pytest.mark.parametrize(
    ("headers", "body", "words"),
    [
        ({"Content-Type": "text/html"}, b"<html>log in</html>", "web page"),
        ({"Content-Type": "image/png"}, b"<html>log in</html>", "not an image"),
        ({"Content-Type": "audio/wav"}, b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0" + b"\0" * 64, "not an image"),
        ({"Content-Type": "image/png"}, b"", "not an image"),
        ({}, (DATA / "media" / "moving.mp4").read_bytes(), "not an image"),
    ],
    ids=["page", "page-as-image", "audio", "nothing", "video"],
)
def test_media_that_is_no_image(
    headers: dict[str, str], body: bytes, words: str, application: Application, media_server: MediaServer
) -> None:
    media_server.pages["/data/upload/1/odd.png"] = (200, headers, body)
    setup(application, ONE_CLICK)
    odd = task(image="/data/upload/1/odd.png")
    assert words in predict(application, [odd], BRUSH, BOX, status=400)
    assert words in predict(application, [odd], BRUSH, status=400)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": 101}, "outside"),
        ({"x": -20, "y": -20}, "outside"),
        ({"keypointlabels": ["Zebra"]}, "no label 'Zebra'"),
        ({"keypointlabels": []}, "no label"),
    ],
)
def test_clicks_that_cannot_be_used(change: dict[str, Any], words: str, application: Application) -> None:
    click = {**POINT, "value": {**POINT["value"], **change}}
    assert words in predict(application, [task()], BRUSH, click, status=400)


def test_what_is_left_of_a_deleted_region_is_nothing_to_do(
    application: Application, media_server: MediaServer
) -> None:
    body = {"tasks": [task()], "label_config": BRUSH, "params": {"context": {"result": []}}}
    reply = call(application, "POST", "/predict", body)
    assert reply.json["results"][0]["result"] == []
    assert media_server.seen == []
    only_name = {"id": "gone", "type": "labels", "to_name": "image", "value": {"labels": ["Cell"]}}
    assert predict(application, [task()], BRUSH, only_name)[0]["result"] == []


def test_predictions_are_json_that_label_studio_can_store(application: Application) -> None:
    for kind in FORMS:
        result = predict(application, [task()], config(kind), BOX)[0]["result"]
        assert json.loads(json.dumps(result, allow_nan=False)) == result


PAGES = """<View><Image name="image" valueList="$pages" rotateControl="true"/>
  <BrushLabels name="brush" toName="image" choice="multiple">
    <Label value="Cell"/><Label value="Round"/></BrushLabels>
</View>"""


def test_an_image_with_pages_is_answered_page_by_page(
    application: Application, media_server: MediaServer
) -> None:
    held = {"id": 1, "data": {"pages": [IMAGE, "/data/upload/1/second.png"]}}
    media_server.pages["/data/upload/1/second.png"] = (200, {}, (DATA / "media" / "shapes.png").read_bytes())
    click = {**POINT, "item_index": 1, "image_rotation": 90}
    (prediction,) = predict(application, [held], PAGES, click)
    assert [path for path, _ in media_server.seen] == ["/data/upload/1/second.png"]
    assert {(r["item_index"], r["image_rotation"]) for r in prediction["result"]} == {(1, 90)}
    assert "several pages" in predict(application, [held], PAGES, click, {**BOX, "item_index": 0}, status=400)
    for wrong in ([1], {}, True, "1", -1, 2):
        predict(application, [held], PAGES, {**POINT, "item_index": wrong or [1]}, status=400)
    held["annotations"] = [{"result": [{**BOX, "item_index": 0}, {**BOX, "item_index": 1}]}]
    (prediction,) = predict(application, [held], PAGES)
    assert sorted(region["item_index"] for region in prediction["result"]) == [0, 1]


def test_a_region_with_several_labels_is_answered_with_all(application: Application) -> None:
    click = drawn("keypointlabels", x=30, y=30)
    click["value"]["keypointlabels"] = ["Cell", "Round"]
    for xml in (PAGES.replace("valueList", "value").replace("$pages", "$image"), ONE_LABELS_TAG):
        (prediction,) = predict(application, [task()], xml, click)
        assert prediction["result"][-1]["value"][prediction["result"][-1]["type"]] == ["Cell", "Round"]


ONE_LABELS_TAG = """<View><Image name="image" value="$image"/>
  <Labels name="kinds" toName="image"><Label value="Cell"/><Label value="Round"/></Labels>
  <Brush name="brush" toName="image"/></View>"""


def test_one_task_that_cannot_be_read_says_why(application: Application) -> None:
    """Was: a single task without a prompt got an empty answer, as if all were well."""
    held = {"id": 1, "data": {"image": "http://elsewhere.example.org/a.png"}}
    assert "ALLOWED_HOSTS" in predict(application, [held], BRUSH, status=400)
    held = {"id": None, "data": {"image": "s3://cells/a.png"}}
    assert "cloud storage" in predict(application, [held], BRUSH, status=400)


def test_a_model_sees_the_gray_levels_that_it_expects(
    settings: Settings, media_server: MediaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_small_checkpoint(tmp_path / "medical.safetensors", replace(SMALL, intensities="medical"))
    image = np.zeros((60, 80), np.uint16)
    image[20:40, 20:40] = 1000 + np.arange(400).reshape(20, 20)
    page = BytesIO()
    Image.fromarray(image).save(page, "PNG")
    media_server.pages["/data/upload/1/mr.png"] = (200, {}, page.getvalue())
    opened: list[AnnotationSession] = []

    def open_session(*given: Any, **options: Any) -> AnnotationSession:
        opened.append(AnnotationSession(*given, **options))
        return opened[-1]

    monkeypatch.setattr(image_tasks, "AnnotationSession", open_session)
    predictor = Predictor(replace(settings, model=str(tmp_path / "medical.safetensors")))
    predict(Application(predictor), [task(image="/data/upload/1/mr.png")], BRUSH, BOX)
    predictor.close()
    assert opened
    assert {session.window for session in opened} == {window_of(opened[0].frames, None, "medical")}
    assert opened[0].window != window_of(opened[0].frames)
