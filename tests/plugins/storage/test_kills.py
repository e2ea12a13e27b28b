"""Sessions that are killed: the check finds what is lost, and nothing is."""

import subprocess
import sys
from pathlib import Path

import pytest
import session_kills as kills

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks")


def test_what_is_lost_or_left_over_is_found(tmp_path: Path) -> None:
    states, reports = kills.expected_states(0), []
    kills.work(tmp_path, 0, lambda: reports.append(1))
    assert len(reports) == len(states)
    (tmp_path / ".work.sam2-leftover").mkdir()
    assert kills.check(tmp_path, states, len(reports)) == "left over: ['.work.sam2-leftover']"
    (tmp_path / ".work.sam2-leftover").rmdir()
    assert "the state is that of none" in kills.check(tmp_path, states, len(reports))  # work has gone on


@pytest.mark.slow
def test_sessions_survive_being_killed(tmp_path: Path) -> None:
    command = [sys.executable, kills.__file__, "--kills", "12", "--every", "60"]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "kills.md")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "kills.md").read_text().count("**0 lost something**") == 2
