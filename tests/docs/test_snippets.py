"""Every command and block of Python that the pages show runs, or is named here with the reason why not."""

import gc
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sample_files import write_sample_files
from snippets import PAGES, ROOT, Snippet, snippets

from sam2_plugins.cli.app import main

NOT_RUN = {
    # commands of a shell, by how they begin
    "pip install": "`make release` and tests/e2e install the package",
    "python -m venv": "as before",
    "python3 -m venv": "as before",
    "source ": "as before",
    "label-studio start": "is another program: tests/e2e",
    "make ": "targets of the Makefile: tests are one of them",
    "git clone": "there is no address yet",
    "napari": "opens a window: tests/napari and tests/e2e do",
    "export ": "sets variables for the server",
    "sam2 models export-bioimage": "needs a trained model: tests/engine/weights/test_bioimage.py",
    "sam2 download": "needs a network: tests/engine/weights/test_downloads.py",
    "sam2 open scan.nii.gz --model medsam2": "weights that fields made are not in the package",
    "sam2 prompt scan.sam2": "as before",
    "sam2 propagate scan.sam2": "as before",
    "sam2 serve": "serves until it is stopped: tests/labelstudio and tests/e2e",
    "sam2 export-label-studio": "needs a project of Label Studio: tests/labelstudio/export",
    "sam2 train --from sam2.1": "official weights are not in the package",
    "sam2 export-model sam2.1": "as before",
    "python -m sam2_engine.onnx_runner": "is run where there is no PyTorch: tests/engine/model_export",
    "sam2 train cells.toml": "six minutes, and its output is shown: tests/plugins/cli/test_train_command.py",
    "python -m sam2_engine.training.nano.train": "takes hours: tests/engine/training/nano",
    "dask ": "starts a cluster: tests/plugins/cluster",
    "ssh ": "needs another machine",
    "LABEL_STUDIO_API_KEY=": "needs Docker: tests/labelstudio/test_deployment_files.py",
    "kubectl ": "needs Kubernetes: tests/labelstudio/test_helm_chart.py",
    "helm ": "as before",
    "sudo ": "changes the system",
    # blocks of Python, by their first line
    "from sam2_engine import load_model, ImagePredictor, VideoSession, Auto": "shows signatures",
    "import time\n\nfrom dask_jobqueue": "needs a queue of jobs",
    "import nd2": "needs a file of Nikon's",
    "from label_studio_ml.api": "needs an environment of its own: tests/labelstudio/http",
}
RUN_ELSEWHERE = {
    "docs/guides/shell.md": "tests/plugins/cli/test_shell_guide.py",
    "docs/guides/data-engine.md": "tests/plugins/masklets/test_data_engine_guide.py",
}
"""Pages whose commands, as one script, are run by a test of their own."""
SHORTENED = {"sam2 train": ("--steps", "2"), "sam2 auto": ("--points-per-side", "8", "--model", "nano@256")}
SHORTENED |= {f"sam2 {name}": ("--model", "nano@256") for name in ("track", "segment", "evaluate", "demo")}
"""Options that are added here, so that a test takes seconds; a model that a page names stays."""
ITS_OWN_FILES = ("docs/python.md",)
"""Pages that begin by writing the files that they use."""
OUTPUTS = ("-o", "--output", "--csv", "--report", "--run")


def reason(snippet: Snippet) -> str | None:
    """Return why something is not run, None if it is."""
    if "tcp://" in snippet.text and not snippet.is_python:
        return "needs a cluster: tests/plugins/cluster"
    return next((why for begin, why in NOT_RUN.items() if snippet.text.startswith(begin)), None)


SNIPPETS = {page.relative_to(ROOT).as_posix(): list(snippets(page)) for page in PAGES}
TO_RUN = [
    page
    for page, found in SNIPPETS.items()
    if page not in RUN_ELSEWHERE and any(reason(snippet) is None for snippet in found)
]


def test_everything_that_is_not_run_is_there() -> None:
    shown = [snippet.text for found in SNIPPETS.values() for snippet in found]
    assert {begin for begin in NOT_RUN if not any(text.startswith(begin) for text in shown)} == set()


def test_what_is_run_elsewhere_is() -> None:
    for page, test in RUN_ELSEWHERE.items():
        assert Path(page).name in (ROOT / test).read_text(encoding="utf-8")


def test_what_is_no_command_is_marked_as_text() -> None:
    commands = [
        (page, snippet.line, snippet.text)
        for page, found in SNIPPETS.items()
        for snippet in found
        if not snippet.is_python and not reason(snippet)
    ]
    assert [place for place in commands if place[2].split()[0] not in ("sam2", "awk")] == []


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("samples")
    write_sample_files(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("page", TO_RUN)
def test_a_page_runs(
    page: str,
    samples: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = tmp_path / "here"
    if page in ITS_OWN_FILES:
        place.mkdir()
    else:
        shutil.copytree(samples, place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "models"))
    names: dict[str, Any] = {"__name__": "__main__"}
    for snippet in SNIPPETS[page]:
        if reason(snippet):
            continue
        if snippet.is_python:
            exec(compile(snippet.text, f"{page}:{snippet.line}", "exec"), names)
        else:
            status = run(snippet.text)
            assert status == 0, f"{page}:{snippet.line}: {snippet.text}\n{capsys.readouterr().err}"
    names.clear()  # a script leaves its files to its end
    gc.collect()


def run(command: str) -> int:
    """Run a command of a page as a shell would, after its outputs of an earlier one were removed."""
    words = shlex.split(command, comments=True)
    for option, value in pairwise(words):
        if option in OUTPUTS and value != "-":
            shutil.rmtree(value, ignore_errors=True)
            Path(value).unlink(missing_ok=True)
    if words[0] != "sam2":
        return subprocess.run(["bash", "-ec", command], check=False).returncode
    found = [
        name
        for word in words[1:]
        for name in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
    ]
    more = next((options for begin, options in SHORTENED.items() if command.startswith(begin)), ())
    return main([*found, *(() if "--model" in words else more)])
