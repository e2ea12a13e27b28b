"""The wheel holds what it must, and without extras it is the engine and the command line, working offline."""

import os
import shlex
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from skimage.draw import disk

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
SEGMENT = """
import importlib.util
import numpy
import sam2_engine
for module in ("qtpy", "napari", "flask", "gunicorn", "av", "cv2", "pydicom", "nibabel", "transformers"):
    assert importlib.util.find_spec(module) is None, f"{module} is installed without an extra"
predictor = sam2_engine.ImagePredictor(sam2_engine.load_model("nano", device="cpu"))
image = numpy.load("disc.npy")
predictor.set_image(image)
masks, scores, _ = predictor.predict(point_coords=[[60, 50]], point_labels=[1])
mask, disc = masks[scores.argmax()], image > 100
print((mask & disc).sum() / (mask | disc).sum())
"""


def run(*command: object, **options: object) -> str:
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert result.returncode == 0, result.stdout + result.stderr
    return str(result.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel and its base dependencies alone."""
    folder = tmp_path_factory.mktemp("engine_alone")
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    torch = shlex.split(os.environ.get("TORCH", f"torch=={version('torch')}"))
    for wanted in (torch, [wheel]):
        run(python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", *wanted)
    return python


def test_the_wheel_is_complete(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = ("sam2_engine", "sam2_plugins", "napari_plugin", "labelstudio_backend")
    assert {f"{package}/py.typed" for package in packages} <= names
    assert {"sam2_engine/weights/nano.safetensors", "napari_plugin/napari.yaml"} <= names
    sources = {str(path.relative_to(ROOT)) for package in packages for path in (ROOT / package).rglob("*.py")}
    assert sources <= names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == set(packages)


def test_the_engine_alone_segments_an_image(python: Path, tmp_path: Path) -> None:
    image = np.full((100, 120), 40, dtype=np.uint8)
    image[disk((50, 60), 20)] = 200
    np.save(tmp_path / "disc.npy", image)
    assert float(run(python, "-c", SEGMENT, cwd=tmp_path)) > 0.8


def test_the_command_line_comes_with_it(python: Path, tmp_path: Path) -> None:
    command = python.parent / "sam2"
    assert version("sam2-plugins") in run(command, "--version", cwd=tmp_path)
    assert "nano" in run(command, "models", cwd=tmp_path)
