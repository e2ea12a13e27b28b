"""Searches for masklets that are killed: they go on where they were, and end as if they had not been."""

import subprocess
import sys

import masklets_kills
import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks")


@pytest.mark.parametrize("kills", [2, pytest.param(6, marks=pytest.mark.slow)])
def test_a_search_survives_being_killed(kills: int) -> None:
    command = [sys.executable, masklets_kills.__file__, "--kills", str(kills)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
