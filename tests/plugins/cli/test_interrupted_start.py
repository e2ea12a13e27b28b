"""Ctrl-C while the command line loads: it ends, without a traceback."""

import subprocess
import sys

import pytest

SCRIPT = """
import builtins, os, signal, sys
from sam2_plugins.__main__ import main
load = builtins.__import__
def interrupted(name, *arguments, **named):
    if name == {name!r}:
        os.kill(os.getpid(), signal.SIGINT)
    return load(name, *arguments, **named)
builtins.__import__ = interrupted
sys.exit(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
@pytest.mark.parametrize("name", ["typer", "torch"])
def test_ctrl_c_while_libraries_load(name: str) -> None:
    command = [sys.executable, "-c", SCRIPT.format(name=name), "models"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Stopped.\n")
