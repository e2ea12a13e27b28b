"""The examples in ``deploy`` and the documentation name what there is, and the files are whole."""

import re
import shutil
import subprocess
import sys
import zipfile
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
METAVARS = {"DATASET", "JSON", "KEY", "NAME", "PATH", "PROJECT", "URL"}  # what options are called in the help


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


def copied_into_the_image() -> set[str]:
    image = (DEPLOY / "Dockerfile").read_text()
    lines = re.findall(r"^COPY (?!--from)(.*)", image, re.MULTILINE)
    return {name for line in lines for name in line.split()[:-1]}


def test_the_image_is_given_what_it_copies() -> None:
    copied = copied_into_the_image()
    let_in = set(re.findall(r"^!(\S+)", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE))
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)
    assert compose()["services"]["sam2"]["build"] == {"context": "..", "dockerfile": "deploy/Dockerfile"}


@pytest.mark.slow
def test_what_the_image_copies_is_enough_to_build_the_package(tmp_path: Path) -> None:
    source = tmp_path / "src"
    for name in copied_into_the_image():
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    wheel = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*wheel, "--disable-pip-version-check", str(source)], check=True)
    (built,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(built) as content:
        names = set(content.namelist())
    assert {"sam2_engine/weights/nano.safetensors", "labelstudio_backend/http/openapi.json"} <= names


def test_the_script_that_checks_these_files_says_what_it_did_not_run(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/bash", str(DEPLOY / "check.sh")],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 4, said
    assert all(line.startswith(("passed: ", "not run: ")) for line in said)
