"""The examples in ``deploy`` and the documentation name what there is, and the files are whole."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from labelstudio_backend import commands, settings
from labelstudio_backend.http import server
from labelstudio_backend.http.app import Application
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCUMENTATION = (ROOT / "docs" / "label-studio.md").read_text()
OF_OTHERS = {"XDG_CACHE_HOME", "PATH", "PYTHONUNBUFFERED"}
METAVARS = {"KEY", "NAME", "PATH", "PROJECT"}  # what options are called in the help


@pytest.fixture(scope="module")
def known() -> set[str]:
    """The environment variables that the server reads."""
    sources = [Path(str(module.__file__)).read_text() for module in (settings, commands, server)]
    names = {name for text in sources for name in re.findall(r'"([A-Z][A-Z_]+[A-Z])"', text)}
    return names - METAVARS


def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return content


def deployment() -> dict[str, Any]:
    first = next(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
    container: dict[str, Any] = first["spec"]["template"]["spec"]["containers"][0]
    return container


def test_all_that_can_be_set_is_documented(known: set[str]) -> None:
    assert {name for name in known if f"`{name}`" not in DOCUMENTATION} == set()


def test_what_the_examples_set_is_read(known: set[str]) -> None:
    unit = (DEPLOY / "sam2-serve.service").read_text()
    image = (DEPLOY / "Dockerfile").read_text()
    used = {
        *compose()["services"]["sam2"]["environment"],
        *(variable["name"] for variable in deployment()["env"]),
        *re.findall(r"([A-Z_]{3,})=", " ".join(re.findall(r"^Environment=(.*)", unit, re.MULTILINE))),
        *re.findall(r"([A-Z_]{3,})=", " ".join(re.findall(r"^ENV ((?:.*\\\n)*.*)", image, re.MULTILINE))),
    }
    assert {"MODEL_DIR", "LABEL_STUDIO_URL"} <= used
    assert used - OF_OTHERS <= known


def test_probes_ask_for_what_is_answered() -> None:
    routes = Application(Predictor(Settings()))._routes
    container = deployment()
    ready, live = (container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("readiness", "liveness"))
    (checked,) = re.findall(r"127\.0\.0\.1:9090(/[a-z/]+)", (DEPLOY / "Dockerfile").read_text())
    assert (ready, live, checked) == ("/health/ready", "/health/live", "/health/ready")
    assert {ready, live, checked} <= routes.keys()


def test_the_image_is_given_what_it_copies() -> None:
    image = (DEPLOY / "Dockerfile").read_text()
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(.*)", image, re.MULTILINE)
        for name in line.split()[:-1]
    }
    let_in = set(re.findall(r"^!(\S+)", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE))
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)
    assert compose()["services"]["sam2"]["build"] == {"context": "..", "dockerfile": "deploy/Dockerfile"}
