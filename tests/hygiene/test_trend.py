"""The line that a soak is judged by: it finds what grows, and nothing where nothing does."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from process_usage import Trend

ALLOWED = 20_000


ROUNDS = """
import sys
from pathlib import Path
from process_usage import tidy_usage

leak, folder, kept = int(sys.argv[1]), Path(sys.argv[2]), []
for number in range(64):
    bytearray(b"x") * (1_000_000 + 10_000 * (number % 7))  # freed again
    kept.append(bytearray(b"x") * leak)
    print(tidy_usage(folder).private)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("leak", "verdict"), [(0, "flat"), (100_000, "GROWS")])
def test_a_planted_leak_is_found(tmp_path: Path, leak: int, verdict: str) -> None:
    """In a process of its own: what other tests have left gives memory back when it likes."""
    command = [sys.executable, "-c", ROUNDS, str(leak), str(tmp_path)]
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": tests}, capture_output=True, text=True, check=True
    )
    trend = Trend.of([float(line) for line in done.stdout.split()])
    assert trend.verdict(ALLOWED) == verdict
    assert trend.slope == pytest.approx(leak, abs=10_000)


def test_the_bound_holds_the_slope_also_where_rounds_are_alike() -> None:
    rng, held = np.random.default_rng(0), 0
    for _ in range(200):
        noise = np.zeros(400)
        for number, step in enumerate(rng.normal(0, 300_000, 400)):
            noise[number] = 0.8 * noise[number - 1] + step  # as memory that is given back late
        trend = Trend.of(5e8 + 1000 * np.arange(400) + noise)
        held += abs(trend.slope - 1000) <= trend.bound
    assert held >= 180


def test_too_few_rounds_are_no_verdict() -> None:
    values = [1.0, 2.0, 1.0, 3.0, 1.0, 9.0, 1.0, 4.0]
    assert Trend.of(values).verdict(0.1) == "too few rounds to tell"
