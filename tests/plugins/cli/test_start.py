"""Starts of the command line that go wrong, or almost: they end without a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import builtins, os, runpy, signal, sys
load = builtins.__import__
def interrupted(name, *arguments, **named):
    if name == {name!r}:
        os.kill(os.getpid(), signal.{signal})
    return load(name, *arguments, **named)
builtins.__import__ = interrupted
sys.argv[0] = "sam2"
runpy.run_module("sam2_plugins", run_name="__main__")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("pathlib", ["models"]),
        ("typer", ["models"]),
        ("torch", ["models"]),
        ("waitress", ["serve"]),
    ],
)
def test_ctrl_c_while_libraries_load(name: str, command: list[str]) -> None:
    if name == "waitress":
        pytest.importorskip(name)
    command = [sys.executable, "-c", SCRIPT.format(name=name, signal="SIGINT"), *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Stopped.\n")


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGTERM")
def test_a_scheduler_stops_a_command_that_loads() -> None:
    pytest.importorskip("waitress")
    command = [sys.executable, "-c", SCRIPT.format(name="waitress", signal="SIGTERM"), "serve"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "Stopped.\n")


@pytest.mark.skipif(sys.platform == "win32", reason="deletes the working directory")
def test_a_working_directory_that_was_deleted(tmp_path: Path) -> None:
    script = "import os, sys; from sam2_plugins.__main__ import main; os.rmdir(os.getcwd()); sys.exit(main())"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "sam2: The working directory was deleted; change to one that is there.\n"


def test_without_docstrings() -> None:
    settings = {**os.environ, "PYTHONOPTIMIZE": "2", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "sam2_plugins", "models"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert "nano" in done.stdout
