"""The guide of the data engine, followed word for word."""

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from sam2_plugins.cli.app import main

ROOT = Path(__file__).parents[3]
sys.path.append(str(ROOT / "tests" / "docs"))

from snippets import snippets  # noqa: E402

PAGE = ROOT / "docs/guides/data-engine.md"
QUICKER = {
    "sam2 masklets stacks/": ["--points-per-side", "4", "--crop-layers", "0", "--key-frames", "1"],
    "sam2 train": ["--steps", "2"],
}
"""Options that are added, so that it takes seconds."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_guide_runs_from_the_first_line_to_the_last(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    discs: NDArray[np.uint8],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("stacks").mkdir()
    for name in ("day1", "day2"):
        tifffile.imwrite(f"stacks/{name}.tif", discs, metadata={"axes": "TYX"}, photometric="minisblack")
    for snippet in snippets(PAGE):
        if snippet.is_python:
            exec(compile(snippet.text, f"{PAGE}:{snippet.line}", "exec"), {"__name__": "__main__"})
            continue
        for line in snippet.text.splitlines():
            more = next((options for begin, options in QUICKER.items() if line.startswith(begin)), [])
            assert main([*shlex.split(line)[1:], *more]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "1 verified" in said
    assert "look first at frame" in said
