import pickle
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from labelstudio_harness import MediaServer, recorded

from labelstudio_backend.http import ml_backend as backend
from labelstudio_backend.settings import Settings
from sam2_engine.errors import InputError


@pytest.mark.skipif(find_spec("label_studio_ml") is not None, reason="label-studio-ml is installed")
def test_without_the_package_the_extra_is_named() -> None:
    with pytest.raises(InputError, match=r"sam2-plugins\[label-studio-ml\]"):
        backend.backend_class()


class Version1:
    """What our class needs of the package's own in version 1.0.9, where the version is an attribute."""

    def __init__(self, label_config: str, train_output: object = None, **more: object) -> None:
        self.label_config = label_config
        self.model_version = more.get("model_version")


class Version2:
    """The same in version 2.0, where the version is a property, and ``setup`` is called by the base."""

    def __init__(self, project_id: str | None = None, label_config: str | None = None) -> None:
        self.project_id = project_id or ""
        self._label_config = label_config
        assert self.model_version
        self.setup()

    def setup(self) -> None:
        """Do nothing, as the base does."""

    @property
    def label_config(self) -> str | None:
        return self._label_config

    @property
    def model_version(self) -> str | None:
        return None


@pytest.fixture(params=[Version1, Version2])
def model_class(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    small_checkpoint: Path,
    recorded_server: MediaServer,
) -> Iterator[type[Any]]:
    module = ModuleType("label_studio_ml.model")
    module.LabelStudioMLBase = request.param  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "label_studio_ml", ModuleType("label_studio_ml"))
    monkeypatch.setitem(sys.modules, "label_studio_ml.model", module)
    for name, value in (
        ("MODEL", str(small_checkpoint)),
        ("DEVICE", "cpu"),
        ("LABEL_STUDIO_URL", recorded_server.url),
    ):
        monkeypatch.setenv(name, value)
    yield backend.Sam2Backend
    backend._predictor().close()
    backend._predictor.cache_clear()
    backend.backend_class.cache_clear()


def test_the_class_answers_as_our_own_server_does(
    model_class: type[Any], recorded_server: MediaServer
) -> None:
    request = recorded("predict_image_keypoint_positive", recorded_server)["json"]
    model = model_class(label_config=request["label_config"])
    (prediction,) = model.predict(request["tasks"], context=request["params"]["context"])
    assert prediction["model_version"] == model.model_version == Settings.from_environment().model_version
    assert all(region["type"] == "brushlabels" for region in prediction["result"])
    assert model.fit("START_TRAINING", {}) == {}


def test_another_process_finds_the_class_by_its_name(model_class: type[Any]) -> None:
    assert pickle.loads(pickle.dumps(model_class)) is model_class
    with pytest.raises(AttributeError, match="no attribute 'Other'"):
        backend.Other  # noqa: B018 - the access is the test
