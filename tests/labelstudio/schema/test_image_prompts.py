import json
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest

from labelstudio_backend.schema.brush_rle import encode_brush_rle
from labelstudio_backend.schema.image_prompts import LabeledPrompt, drawn_prompts, stored_prompts
from labelstudio_backend.schema.labeling_config import LabelingConfig
from labelstudio_backend.tasks.image_preannotation import prompts_of_task
from sam2_engine.errors import InputError

SHAPE = (100, 200)
CONFIG = """<View><Image name="image" value="$image"/><Image name="other" value="$other"/>
  <Brush name="brush" toName="image"/><Brush name="brush2" toName="other"/></View>"""
TARGET = LabelingConfig.parse(CONFIG).targets()[0]


def box_of(prompt: LabeledPrompt) -> tuple[float, ...]:
    assert prompt.prompt.box is not None
    return astuple(prompt.prompt.box)


def keypoint(x: float, y: float, label: str = "Cell", **more: Any) -> dict[str, Any]:
    return {"type": "keypointlabels", "value": {"x": x, "y": y, "keypointlabels": [label]}, **more}


def rectangle(x: float, y: float, label: str = "Cell", **more: Any) -> dict[str, Any]:
    value = {"x": x, "y": y, "width": 10, "height": 20, "rotation": 0, "rectanglelabels": [label]}
    return {"type": "rectanglelabels", "value": value, **more}


def test_keypoints_of_one_label_are_one_object() -> None:
    regions = [keypoint(10, 10), keypoint(20, 50, is_positive=False), keypoint(50, 50, "Debris")]
    first, second = drawn_prompts(regions, SHAPE)
    assert first == LabeledPrompt.of(("Cell",), None, [(19.5, 9.5)], [(39.5, 49.5)])
    assert second == LabeledPrompt.of(("Debris",), None, [(99.5, 49.5)])


def test_each_rectangle_is_an_object() -> None:
    prompts = drawn_prompts([rectangle(10, 10), rectangle(50, 10), rectangle(50, 50, "Debris")], SHAPE)
    assert [box_of(prompt) for prompt in prompts] == [
        (20, 10, 39, 29),
        (100, 10, 119, 29),
        (100, 50, 119, 69),
    ]
    assert [prompt.labels for prompt in prompts] == [("Cell",), ("Cell",), ("Debris",)]


def test_a_rectangle_with_keypoints_is_one_object() -> None:
    (prompt,) = drawn_prompts(
        [rectangle(10, 10), keypoint(12, 12), keypoint(18, 28, is_positive=False)], SHAPE
    )
    assert prompt == LabeledPrompt.of(("Cell",), (20, 10, 39, 29), [(23.5, 11.5)], [(35.5, 27.5)])


def test_an_ellipse_is_a_prompt() -> None:
    value = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "rotation": 0, "ellipselabels": ["Cell"]}
    (prompt,) = drawn_prompts([{"type": "ellipselabels", "value": value}], SHAPE)
    assert box_of(prompt) == pytest.approx((80, 30, 119, 69))


def test_a_polygon_is_the_box_around_it_and_a_stroke_some_points_on_it() -> None:
    corners = [[10, 10], [20, 10], [20, 30], [15, 20]]
    outline = {"type": "polygonlabels", "value": {"points": corners, "polygonlabels": ["Cell"]}}
    (prompt,) = drawn_prompts([outline], SHAPE)
    assert box_of(prompt) == (20, 10, 39, 29)
    mask = np.zeros(SHAPE, bool)
    mask[10:60, 30] = True
    stroke = {"type": "brush", "id": "a", "value": {"format": "rle", "rle": encode_brush_rle(mask)}}
    named = {"type": "labels", "id": "a", "value": {"labels": ["Cell"]}}
    (prompt,) = drawn_prompts([stroke, named], SHAPE)
    assert prompt == LabeledPrompt.of(("Cell",), None, [(30, 15), (30, 25), (30, 35), (30, 45), (30, 55)])
    assert stored_prompts([outline, stroke, named], SHAPE) == []  # a task's own are annotations


@pytest.mark.parametrize(
    "region",
    [
        {"type": "polygonlabels", "value": {"points": []}},
        {"type": "polygonlabels", "value": {"points": [[1], [2, 3]]}},
        {"type": "polygonlabels", "value": {"points": "x"}},
        {"type": "brushlabels", "value": {"rle": encode_brush_rle(np.zeros(SHAPE, bool))}},
        {"type": "brushlabels", "value": {"rle": [1, 2, 3]}},
        {"type": "brushlabels", "value": {}},
        {"type": "brushlabels", "value": {"rle": ["x"]}},
    ],
)
def test_a_polygon_or_a_stroke_that_is_not_complete(region: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        drawn_prompts([region], SHAPE)


def test_a_region_may_be_named_by_a_second_result() -> None:
    plain = {"id": "a", "type": "rectangle", "value": {"x": 10, "y": 10, "width": 10, "height": 20}}
    named = {"id": "a", "type": "labels", "value": {**plain["value"], "labels": ["Cell"]}}
    for prompts in (drawn_prompts([plain, named], SHAPE), stored_prompts([plain, named], SHAPE)):
        assert [(prompt.labels, box_of(prompt)) for prompt in prompts] == [(("Cell",), (20, 10, 39, 29))]
    assert drawn_prompts([plain], SHAPE)[0].labels == ()


def test_a_mask_with_the_label_of_a_keypoint_is_no_prompt() -> None:
    """What Label Studio stores where "Keep label selected after creating a region" is on."""
    mask = {"id": "a", "type": "brushlabels", "value": {"rle": [1], "brushlabels": ["Cell"]}}
    label = {"id": "a", "type": "keypointlabels", "value": {"rle": [1], "keypointlabels": ["Cell"]}}
    choice = {"id": "b", "type": "choices", "value": {"choices": ["good"]}}
    assert stored_prompts([mask, label], SHAPE) == []
    (box,) = stored_prompts([mask, label, choice, rectangle(10, 10, id="b")], SHAPE)
    assert box.labels == ("Cell",)


def test_a_turned_image_changes_nothing() -> None:
    """Label Studio measures from the image's own corner, however the page shows it (``rotateControl``)."""
    for drawn in (drawn_prompts, stored_prompts):
        turned = drawn([rectangle(10, 10, image_rotation=90)], SHAPE)
        assert turned == drawn([rectangle(10, 10)], SHAPE)


def test_a_region_may_have_several_labels() -> None:
    value = {"x": 10, "y": 10, "keypointlabels": ["Cell", "Round"]}
    (prompt,) = drawn_prompts([{"type": "keypointlabels", "value": value}], SHAPE)
    assert prompt.labels == ("Cell", "Round")


def test_prompts_belong_to_the_page_they_lie_on() -> None:
    regions = [rectangle(1, 1, "first", item_index=0), rectangle(1, 1, "second", item_index=1)]
    held = task(annotations=[{"result": [*regions, rectangle(1, 1, "without")]}])
    assert labels(held) == ["first", "without"]
    assert [p.labels for p in prompts_of_task(held, TARGET, SHAPE, "ours", page=1)] == [("second",)]


def test_stored_keypoints_are_an_object_each() -> None:
    regions = [keypoint(10, 10), keypoint(20, 50, is_positive=False), keypoint(30, 30), rectangle(50, 50)]
    regions.append({"type": "brushlabels", "value": {"rle": [], "brushlabels": ["Cell"]}})
    regions.append({"type": "choices", "value": {"choices": ["Good"]}})
    box, first, second = stored_prompts(regions, SHAPE)
    assert box.prompt.points is None
    assert first == LabeledPrompt.of(("Cell",), None, [(19.5, 9.5)], [(39.5, 49.5)])
    assert second == LabeledPrompt.of(("Cell",), None, [(59.5, 29.5)], [(39.5, 49.5)])


def task(**more: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"image": "/a.png"}, **more}


def labels(held: dict[str, Any]) -> list[str]:
    return [label for prompt in prompts_of_task(held, TARGET, SHAPE, "ours") for label in prompt.labels]


def test_what_people_drew_goes_before_what_models_found() -> None:
    held = task(
        drafts=[{"result": [rectangle(1, 1, "old draft")]}, {"result": [rectangle(1, 1, "draft")]}],
        annotations=[{"result": [rectangle(1, 1, "annotation")]}],
        predictions=[{"result": [rectangle(1, 1, "prediction")], "model_version": "theirs"}],
    )
    held["data"]["prompts"] = [{"box": [1, 1, 9, 9], "label": "data"}]
    for key, expected in [("drafts", "draft"), ("annotations", "annotation"), ("predictions", "prediction")]:
        assert labels(held) == [expected]
        held[key] = []
    assert labels(held) == ["data"]
    del held["data"]["prompts"]
    assert labels(held) == []


def test_earlier_work_that_is_no_prompt_is_passed_over() -> None:
    skipped = {"result": [rectangle(1, 1, "skipped")], "was_cancelled": True}
    elsewhere = {"result": [rectangle(1, 1, "elsewhere", to_name="other")]}
    brush = {"result": [{"type": "brushlabels", "to_name": "image", "value": {"rle": []}}]}
    own = {"result": [rectangle(1, 1, "own")], "model_version": "ours"}
    here = {"result": [rectangle(1, 1, "here", to_name="image")]}
    assert labels(task(annotations=[here, skipped, elsewhere, brush], predictions=[own])) == ["here"]
    assert labels(task(annotations=[skipped, elsewhere, brush, 3, None], predictions=[own])) == []


def test_prompts_in_the_data_are_in_pixels() -> None:
    written = [{"points": [[5, 6], [7, 8]], "labels": [1, 0], "box": [1, 2, 30, 40], "label": "Cell"}]
    for sent in (written, json.dumps(written)):
        (prompt,) = prompts_of_task({"data": {"prompts": sent}}, TARGET, SHAPE, "ours")
        assert prompt == LabeledPrompt.of(("Cell",), (1, 2, 30, 40), [(5, 6)], [(7, 8)])
    assert prompts_of_task({"data": {"prompts": "a photo of a cell"}}, TARGET, SHAPE, "ours") == []


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"box": [1, 2, 3, 4]}, "not a list"),
        ("3", "not a list"),
        (["x"], "prompt 1 needs"),
        ([{"label": "Cell"}], "prompt 1 needs"),
        ([{"points": []}], "prompt 1 needs"),
        ([{"point": [1, 2]}], "prompt 1 needs"),
        ([{"box": [1, 2, 3, 4]}, {"box": [1, 2, 3]}], "prompt 2: box"),
        ([{"box": ["1", 2, 3, 4]}], "prompt 1: box"),
        ([{"points": [1, 2]}], "prompt 1: points"),
        ([{"points": {"x": 1}}], "prompt 1: points"),
        ([{"points": [[1, float("nan")]]}], "prompt 1: points"),
        ([{"points": [[1, 2]], "labels": [2]}], "prompt 1: labels"),
        ([{"points": [[1, 2]], "labels": [1, 1]}], "prompt 1: labels"),
        ([{"points": [[1, 2]], "labels": 1}], "prompt 1: labels"),
    ],
)
def test_prompts_in_the_data_that_cannot_be_used(written: object, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        prompts_of_task({"data": {"prompts": written}}, TARGET, SHAPE, "ours")
    assert str(refused.value).endswith(".")
