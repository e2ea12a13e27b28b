"""An X server for the windows of one process of tests."""

import os
import shutil
import subprocess
import sys
from functools import cache

import pytest


def provide_display() -> None:
    """Set DISPLAY to an X server, or skip what needs one.

    Each of several processes gets a server of its own, because only one window of a server has the focus; a
    single process uses the desktop that is there.
    """
    if sys.platform != "linux" or (os.environ.get("DISPLAY") and "PYTEST_XDIST_WORKER" not in os.environ):
        return
    if shutil.which("Xvfb"):
        os.environ["DISPLAY"], _ = _server()
        os.environ["QT_QPA_PLATFORM"] = "xcb"
    elif not os.environ.get("DISPLAY"):
        pytest.skip("needs an X server; run `make test`, which brings one")


@cache
def _server() -> "tuple[str, subprocess.Popen[bytes]]":
    """Start a server that ends with its last client; return its display and what must live as long."""
    reader, writer = os.pipe()
    screen = ("-screen", "0", "1400x900x24", "-nolisten", "tcp")
    process = subprocess.Popen(
        ["Xvfb", *screen, "-terminate", "-displayfd", str(writer)],
        pass_fds=[writer],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C ends the tests first
    )
    os.close(writer)
    with os.fdopen(reader) as number:
        return f":{number.readline().strip()}", process
