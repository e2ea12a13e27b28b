"""Rehearsal of a release: built, checked, and tried in empty environments; ``dist/`` holds what to upload.

``make release`` runs it on a clean clone. To upload is for a person: ``twine upload dist/*.whl dist/*.gz``.
"""

import argparse
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
PACKAGES = ("sam2_engine", "sam2_plugins", "napari_plugin", "labelstudio_backend")
NOT_SHIPPED = ("benchmarks/results/", ".ci/")
PLATFORMS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "aarch64-apple-darwin", "windows")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
STACK = """
import tifffile
from sam2_engine.synthetic import moving_cells
tifffile.imwrite("cells.tif", moving_cells(num_frames=4)[0])
"""
SHOWN = re.compile(r"sam2-plugins |  (torch|numpy|zarr) |  mean IoU")
_TIMES: list[tuple[str, float]] = []


def main() -> None:
    """Rehearse, or say at which step it failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--python", action="append", metavar="PATH", help="An interpreter; this one if none is given."
    )
    parser.add_argument("--torch", default="torch", help="The build of PyTorch, with pip's options.")
    parser.add_argument(
        "--lowest-torch", help="Another for the lowest versions; torch==2.5.0 is the lowest of all."
    )
    arguments = parser.parse_args()
    with step("a clean clone"):
        refuse_changes()
    with step("source distribution and wheel"):
        built = build()
    with step("metadata and description (twine)"):
        run(sys.executable, "-m", "twine", "check", "--strict", *built)
    with step("contents"):
        check_contents(*built)
    with step("wheels for every system"):
        check_wheels_of_others()
    for python in arguments.python or [sys.executable]:
        for lowest, torch in ((True, arguments.lowest_torch or arguments.torch), (False, arguments.torch)):
            try_out(python, built[0], torch, lowest)
    with step("checksums"):
        write_checksums()
    print("\n".join(["", *(f"{seconds:7.1f} s  {name}" for name, seconds in _TIMES), f"ready: {DIST}"]))


@contextmanager
def step(name: str) -> Iterator[None]:
    """Say what is done, and remember how long it took."""
    print(f"== {name}", flush=True)
    start = time.perf_counter()
    yield
    _TIMES.append((name, time.perf_counter() - start))


def run(*command: object, cwd: Path = ROOT) -> str:
    """Run a command and return what it prints; end with all that it said where it fails."""
    words = [str(word) for word in command]
    result = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{shlex.join(words)}\n{result.stdout}{result.stderr}failed with status {result.returncode}")
    return result.stdout


def refuse_changes() -> None:
    """End where the tree holds what no commit does."""
    if changed := run("git", "status", "--porcelain"):
        sys.exit(f"commit or remove first what is not in the last commit:\n{changed}")


def build() -> tuple[Path, Path]:
    """Return the new wheel, built from the new source distribution, and that."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", DIST)
    (wheel,), (source,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    return wheel, source


def check_contents(wheel: Path, source: Path) -> None:
    """End where something is missing in one of the two, or should not be in it."""
    tracked = run("git", "ls-files").splitlines()
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(source) as archive:
        in_source = {name.partition("/")[2] for name in archive.getnames()}
    packaged = {name for name in tracked if name.startswith(tuple(f"{package}/" for package in PACKAGES))}
    shipped = {name for name in tracked if not name.startswith(NOT_SHIPPED)}
    foreign = {name for name in in_wheel - packaged if ".dist-info/" not in name}
    wrong = {
        "not in the wheel": packaged - in_wheel,
        "in the wheel for no reason": foreign,
        "not in the source distribution": shipped - in_source,
        "in the source distribution for no reason": in_source - shipped - {"PKG-INFO"},
    }
    if any(wrong.values()):
        sys.exit("\n".join(f"{what}: {', '.join(sorted(names))}" for what, names in wrong.items() if names))
    for file in (wheel, source):
        print(f"   {file.name}: {file.stat().st_size / 1e6:.1f} MB")


def check_wheels_of_others() -> None:
    """End where a package has no wheel for a system and a Python that we name."""
    for version in PYTHONS:
        for platform in PLATFORMS:
            compiled("--python-version", version, "--python-platform", platform, "--only-binary", ":all:")
    print(f"   Python {', '.join(PYTHONS)} on {', '.join(PLATFORMS)}")


def compiled(*options: str) -> str:
    """Return the versions that uv chooses for the package without extras."""
    command = ("-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", *options)
    return run(sys.executable, *command, ROOT / "pyproject.toml")


def try_out(python: str, wheel: Path, torch: str, lowest: bool) -> None:
    """Install the wheel into an empty environment, and do there what the README says."""
    version = run(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    name = f"Python {version}, {'lowest' if lowest else 'newest'} versions"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        binaries = place / "environment" / ("Scripts" if os.name == "nt" else "bin")
        own = binaries / "python"
        with step(f"{name}: installed"):
            run(python, "-m", "venv", place / "environment")
            pip = (own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
            run(*pip, *shlex.split(torch))
            run(*pip, *(("--constraint", lowest_versions(version, place)) if lowest else ()), wheel)
            run(own, "-m", "pip", "check")
        with step(f"{name}: tried"):
            follow_the_readme(binaries / "sam2", own, place)
        if not lowest:
            bill_of_materials(own)


def lowest_versions(python: str, place: Path) -> Path:
    """Return a file of constraints: the lowest version of each package that we ask for, PyTorch apart."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {re.split(r"[<>=]", requirement)[0] for requirement in project["dependencies"]} - {"torch"}
    chosen = compiled("--resolution", "lowest-direct", "--python-version", python).splitlines()
    file = place / "lowest.txt"
    file.write_text("\n".join(line for line in chosen if line.partition("==")[0] in asked), encoding="utf-8")
    return file


def follow_the_readme(sam2: Path, python: Path, place: Path) -> None:
    """Do what the first page says, as somebody who has just installed the package."""
    for command in ("--version", "doctor", "models", "demo"):
        said = run(sam2, command, cwd=place)
        for line in filter(SHOWN.match, said.splitlines()):
            print(f"   {line.strip()}")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    run(python, "-c", STACK, cwd=place)
    run(python, "-c", snippet, cwd=place)


def bill_of_materials(python: Path) -> None:
    """Write what an installation of today brings, with versions and licenses."""
    (wheel,) = DIST.glob("*.whl")
    file = DIST / f"{wheel.name.partition('-py3')[0]}.cdx.json"
    command = (
        "-m",
        "cyclonedx_py",
        "environment",
        "--pyproject",
        ROOT / "pyproject.toml",
        "--output-reproducible",
    )
    run(sys.executable, *command, "--output-file", file, python)


def write_checksums() -> None:
    """Write ``SHA256SUMS``, as ``sha256sum --check`` reads it."""
    files = sorted(path for path in DIST.iterdir() if path.is_file() and not path.name.startswith("."))
    lines = (f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    (DIST / "SHA256SUMS").write_text("".join(lines))


if __name__ == "__main__":
    main()
