import json
from pathlib import Path
from typing import Any

import pytest

from labelstudio_backend.schema.project_parameters import ProjectParameters, ProjectParameterStore
from labelstudio_backend.settings import Settings, model_name
from sam2_engine.errors import InputError

MODELS = ("nano", "tiny")
ALL = {
    "model": "tiny",
    "tolerance": 2.5,
    "direction": "both",
    "time_budget": 30,
    "batch": "prompts",
    "label": "Cell",
    "answer": "polygon",
    "confidence": 0.5,
    "min_area": 0,
    "max_objects": 5,
    "points_per_side": 8,
}


@pytest.mark.parametrize("nothing", [None, "", "  ", {}, "{}", "null", {"model": None}])
def test_nothing_means_the_defaults(nothing: object) -> None:
    assert ProjectParameters.parse(nothing, MODELS) == ProjectParameters()


def test_an_object_and_its_json_are_the_same() -> None:
    read = ProjectParameters.parse(ALL, MODELS)
    assert read == ProjectParameters.parse(json.dumps(ALL), MODELS)
    assert {key: getattr(read, key) for key in ALL} == ALL
    assert isinstance(ProjectParameters.parse({"points_per_side": 8.0}, MODELS).points_per_side, int)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ([1], "JSON object"),
        (3, "JSON object"),
        ("3", "JSON object"),
        ({"tolerence": 1}, "Unknown extra param 'tolerence'"),
        ({"model": "/etc/passwd"}, "may be nano or tiny"),
        ({"model": "../tiny"}, "may be nano or tiny"),
        ({"model": ["nano"]}, "may be nano or tiny"),
        ({"tolerance": -1}, "from 0 to 100"),
        ({"tolerance": "1"}, "from 0 to 100"),
        ({"tolerance": True}, "from 0 to 100"),
        ('{"tolerance": NaN}', "from 0 to 100"),
        ({"tolerance": 10**400}, "from 0 to 100"),
        ({"time_budget": 0}, "from 1 to 3600"),
        ({"direction": "sideways"}, "forward or backward or both"),
        ({"batch": False}, "automatic or always or prompts or off"),
        ({"answer": "video"}, "brush or bitmask"),
        ({"points_per_side": 2.5}, "whole number"),
        ({"label": ""}, "must be a text"),
    ],
)
def test_what_cannot_be_set(wrong: object, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        ProjectParameters.parse(wrong, MODELS)
    assert str(refused.value).endswith(".")
    assert len(str(refused.value)) < 300


def test_each_project_has_its_own_also_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "state" / "projects.json"
    store = ProjectParameterStore(MODELS, file)
    store.set("1.17", {"tolerance": 3})
    store.set("2.18", '{"model": "tiny"}')
    with pytest.raises(InputError):
        store.set("1.17", {"tolerance": -3})
    for opened in (store, ProjectParameterStore(MODELS, file)):
        assert opened.get("1.17").tolerance == 3
        assert opened.get("2.18").model == "tiny"
        assert opened.get("3.19") == ProjectParameters()
    store.set("1.17", None)
    assert ProjectParameterStore(MODELS, file).get("1.17") == ProjectParameters()


@pytest.mark.parametrize("content", ["", "[", "[1]", '{"1.17": 3}', '{"1.17": {"model": "gone"}}'])
def test_a_damaged_file_is_started_anew(content: str, tmp_path: Path) -> None:
    file = tmp_path / "projects.json"
    file.write_text(content)
    store = ProjectParameterStore(MODELS, file)
    assert store.get("1.17") == ProjectParameters()
    store.set("1.17", {"tolerance": 3})
    assert ProjectParameterStore(MODELS, file).get("1.17").tolerance == 3


def test_a_file_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    store = ProjectParameterStore(MODELS, tmp_path / "state" / "projects.json")
    assert store.set("1.17", {"tolerance": 3}).tolerance == 3
    assert store.get("1.17").tolerance == 3


def test_a_server_names_its_models_without_their_folders(tmp_path: Path) -> None:
    environment: dict[str, Any] = {"MODELS": "sam2.1_hiera_tiny, nano@320", "MODEL_DIR": str(tmp_path)}
    settings = Settings.from_environment(environment, model="/weights/cells.safetensors")
    assert settings.model_names == {
        "cells": "/weights/cells.safetensors",
        "sam2.1_hiera_tiny": "sam2.1_hiera_tiny",
        "nano@320": "nano@320",
    }
    assert settings.model_version.endswith("-cells")
    assert settings.version_of("sam2.1_hiera_tiny").endswith("-sam2.1_hiera_tiny")
    assert settings.state_folder == tmp_path


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("nano", "nano"),
        ("nano@320+fast", "nano@320+fast"),
        ("runs/cells.pt", "cells"),
        ("runs/cells.pt@320+fast", "cells@320+fast"),
    ],
)
def test_a_file_is_named_without_folder_and_ending(model: str, name: str) -> None:
    assert model_name(model) == name


def test_polygons_are_simplified_more_on_larger_images() -> None:
    by_default = ProjectParameters()
    assert [by_default.polygon_tolerance(shape) for shape in [(9, 9), (480, 640), (6000, 8000)]] == [1, 1, 8]
    assert by_default.keyframe_tolerance == 1
    exact = ProjectParameters.parse({"tolerance": 0}, ["nano"])
    assert (exact.polygon_tolerance((6000, 8000)), exact.keyframe_tolerance) == (0, 0)
