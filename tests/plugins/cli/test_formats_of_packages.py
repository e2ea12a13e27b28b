"""Export formats that another package brings, installed as users install it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[3] / "docs/guides/adding-a-format.md"
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "counting"
version = "1"

"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """The package of the guide, installed into a folder."""
    source, target = tmp_path_factory.mktemp("counting"), tmp_path_factory.mktemp("installed")
    text = GUIDE.read_text()
    code = next(one for one in re.findall(r"```python\n(.*?)```", text, re.S) if "COUNTS" in one)
    (points,) = re.findall(r"```toml\n(.*?)```", text, re.S)
    (source / "pyproject.toml").write_text(PROJECT + points.replace("my_package", "counting"))
    (source / "counting.py").write_text(code)
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-deps"]
    options = ["--no-index", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*pip, *options, str(source)], check=True)
    return target


def sam2(plugin, *arguments):
    program = f"import sys; sys.path.append({str(plugin)!r})\n"
    program += "from sam2_plugins.cli.app import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True
    )


def test_a_package_brings_a_format(plugin, recorded, tmp_path):
    assert "counts" in sam2(plugin, "export", "--help").stdout
    done = sam2(plugin, "export", recorded, "-o", tmp_path / "cells.txt", "--interval", "5,min")
    assert done.returncode == 0, done.stderr
    assert "A count has no outlines." in done.stderr
    assert (tmp_path / "cells.txt").read_text().startswith("0 min: 1\n5 min: 1\n")
    refused = sam2(plugin, "export", recorded, "-o", tmp_path / "cells.txt")
    assert refused.returncode == 2
    assert "exists" in refused.stderr


def test_a_broken_format_of_a_package_is_named_and_stops_nobody(plugin, recorded, tmp_path):
    (plugin / "counting.py").rename(plugin / "aside.py")
    try:
        done = sam2(plugin, "export", recorded, "-o", tmp_path / "cells.csv")
    finally:
        (plugin / "aside.py").rename(plugin / "counting.py")
    assert done.returncode == 0
    assert "'counts' of counting cannot be used: No module named 'counting'" in done.stderr
