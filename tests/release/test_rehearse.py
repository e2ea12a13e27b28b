"""What the rehearsal of a release refuses."""

import importlib.util
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
TRACKED = ("sam2_engine/masks.py", "docs/nano.md", "benchmarks/results/nano/evaluation.md")


@pytest.fixture
def rehearse(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("rehearse", ROOT / "release/rehearse.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "run", lambda *_, **__: "\n".join(TRACKED))
    return module


def built(folder: Path, in_wheel: list[str], in_source: list[str]) -> tuple[Path, Path]:
    wheel, source, file = folder / "a.whl", folder / "a.tar.gz", folder / "file"
    file.write_text("x")
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in in_wheel:
            archive.write(file, name)
    with tarfile.open(source, "w:gz") as archive:
        for name in in_source:
            archive.add(file, f"sam2_plugins-1/{name}")
    return wheel, source


def test_what_is_whole_passes(rehearse: ModuleType, tmp_path: Path) -> None:
    rehearse.check_contents(
        *built(tmp_path, ["sam2_engine/masks.py", "a.dist-info/METADATA"], [*TRACKED[:2], "PKG-INFO"])
    )


@pytest.mark.parametrize(
    ("in_wheel", "in_source", "said"),
    [
        ([], TRACKED[:2], "not in the wheel: sam2_engine/masks.py"),
        (["sam2_engine/masks.py", "tests/a.py"], TRACKED[:2], "in the wheel for no reason: tests/a.py"),
        (["sam2_engine/masks.py"], TRACKED[:1], "not in the source distribution: docs/nano.md"),
        (
            ["sam2_engine/masks.py"],
            TRACKED,
            "in the source distribution for no reason: benchmarks/results/nano/evaluation.md",
        ),
    ],
)
def test_what_is_missing_or_too_much_ends_it(
    rehearse: ModuleType, tmp_path: Path, in_wheel: list[str], in_source: list[str], said: str
) -> None:
    with pytest.raises(SystemExit, match=said):
        rehearse.check_contents(*built(tmp_path, in_wheel, list(in_source)))


def test_changes_that_no_commit_holds_end_it(rehearse: ModuleType) -> None:
    with pytest.raises(SystemExit, match="commit or remove first"):
        rehearse.refuse_changes()
