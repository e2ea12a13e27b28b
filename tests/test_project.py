"""What holds for the project as a whole: what an import costs, length of functions, pins."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PACKAGES = ("sam2_engine", "sam2_plugins", "napari_plugin", "labelstudio_backend")
SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"torch": "pytorch", "typing-extensions": "typing_extensions"}
NOT_FOR_THE_ENGINE = {
    *("sam2_plugins", "napari_plugin", "labelstudio_backend"),
    *("napari", "qtpy", "PyQt6", "PySide6", "vispy", "magicgui", "superqt", "npe2"),
    *("typer", "click", "rich", "flask", "werkzeug", "gunicorn", "label_studio_ml", "label_studio_sdk"),
    *("av", "cv2", "dask", "distributed", "pydicom", "nibabel", "tensorboard", "transformers", "torchvision"),
}


def imported_by(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after a statement."""
    code = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_the_engine_imports_no_host_and_no_extra() -> None:
    # PyTorch itself looks for some of these; what it finds is not our import.
    ours = imported_by("import sam2_engine, sam2_engine.official_api, sam2_engine.training")
    assert not (ours - imported_by("import torch, numpy")) & NOT_FOR_THE_ENGINE


def test_what_hosts_share_imports_no_host() -> None:
    hosts = {"napari", "qtpy", "PyQt6", "gunicorn", "flask", "napari_plugin", "labelstudio_backend"}
    assert not imported_by("import sam2_plugins.session.annotation_session, sam2_plugins.export") & hosts


def test_no_function_is_long() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": code_lines(node)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and code_lines(node) > 60
    }
    assert long == {}


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    first = function.body[0]
    docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    skipped = (first.end_lineno or 0) - first.lineno + 1 if docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - skipped


def test_everything_that_is_asked_for_is_pinned() -> None:
    pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    names = {re.sub(r"[-_.]+", "-", name).lower() for name in pinned}
    wanted = list(PROJECT["dependencies"])
    for extra in PROJECT["optional-dependencies"]["all"]:
        for name in re.findall(r"[\w-]+", extra.partition("[")[2]):
            wanted += PROJECT["optional-dependencies"][name]
    missing = {re.split(r"[\[<>=]", requirement)[0].lower() for requirement in wanted} - names
    assert missing == {"torch"}, "PyTorch is pinned in the Makefile"


def test_no_package_that_an_extra_brings_has_a_name_of_ours() -> None:
    brought = packages_distributions()
    assert {name: by for name in PACKAGES if set(by := brought.get(name, ())) - {"sam2-plugins"}} == {}


def test_the_recipe_asks_for_what_the_package_asks_for() -> None:
    recipe = yaml.safe_load((ROOT / "release/recipe/recipe.yaml").read_text(encoding="utf-8"))
    assert recipe["context"]["version"] == PROJECT["version"]
    assert PROJECT["requires-python"] == f">={recipe['context']['python_min']}"
    names = (re.fullmatch(r"([\w-]+)(>=\S+)", requirement) for requirement in PROJECT["dependencies"])
    wanted = {f"{CONDA_NAMES.get(name[1], name[1])} {name[2]}" for name in names if name}
    assert set(recipe["requirements"]["run"]) - {"python >=${{ python_min }}"} == wanted
    assert recipe["build"]["python"]["entry_points"] == [
        f"{command} = {place}" for command, place in PROJECT["scripts"].items()
    ]
    assert recipe["about"]["license_file"] == PROJECT["license-files"]
    assert recipe["about"]["summary"] == PROJECT["description"]


def test_the_citation_names_this_version() -> None:
    assert f"version: {PROJECT['version']}" in (ROOT / "CITATION.cff").read_text().splitlines()


def test_sizes_are_put_into_words_in_one_place():
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if path.name != "wording.py":
                pattern = r"\{[^{}]*(/ ?1e[369]|>> ?[123]0)[^{}]*\} ?[kKMGT]i?B"
                found = re.search(pattern, path.read_text(encoding="utf-8"))
                assert found is None, f"{path}: {found[0] if found else ''} is written by size_in_words"
