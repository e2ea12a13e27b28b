"""Examples in docstrings run, and print what they say."""

import doctest
import importlib
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("sam2_engine", "sam2_plugins", "napari_plugin", "labelstudio_backend")
OPTIONAL = {"labelstudio_backend/http/ml_backend.py": "label_studio_ml"}
"""What the examples of a file import and not everybody has."""
FILES = [
    path.relative_to(ROOT).as_posix()
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("file", FILES)
def test_examples_run(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if file in OPTIONAL:
        pytest.importorskip(OPTIONAL[file])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # what an example leaves goes with the test
    module = importlib.import_module(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    assert doctest.testmod(module, report=False).failed == 0, "printed above: what was expected, what came"
