"""Requests made up from our own OpenAPI description: each is answered as described, and none with 500."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from labelstudio_backend.http.app import _OPENAPI_FILE, Application
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor

OPERATIONS = [
    (path, method)
    for path, methods in json.loads(_OPENAPI_FILE.read_text())["paths"].items()
    for method in methods
]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def described(small_checkpoint: Path) -> Iterator[Any]:
    predictor = Predictor(Settings(str(small_checkpoint), "cpu", predict_seconds=0.05))
    yield schemathesis.openapi.from_wsgi("/openapi.json", Application(predictor))
    predictor.close()


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_responses_are_as_described(path: str, method: str, described: Any) -> None:
    @settings(max_examples=25 if method == "post" else 3, deadline=None)
    @given(case=described[path][method].as_strategy())
    def ask(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    ask()


def test_every_operation_is_described(described: Any) -> None:
    assert {path for path, _ in OPERATIONS} == described.app._routes.keys() - {"/"}
