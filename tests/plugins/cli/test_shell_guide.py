"""The shell guide's script is run, line by line, with three tiny stacks."""

import csv
import glob
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import tifffile

from sam2_plugins.cli.app import main

PAGE = Path(__file__).parents[3] / "docs/guides/shell.md"


def script() -> list[list[str]]:
    """Return the arguments of every command of the page, with patterns of names as a shell fills them in."""
    (block,) = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for line in block.splitlines() if line and not line.startswith("#")]
    return [shlex.split(line) for line in lines]


@pytest.fixture
def stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_checkpoint: Path) -> None:
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:48, :64]
    for name in ("stacks", "clicks"):
        Path(name).mkdir()
    for day in (1, 2, 3):
        frames = [np.where(np.hypot(x - 20 - 2 * t, y - 20) < 8, 200, 30) for t in range(5)]
        tifffile.imwrite(f"stacks/day{day}.tif", np.uint8(frames), metadata={"axes": "TYX"})
        click = {"frame": 0, "object_id": 1, "points": [[20, 20]]}
        Path(f"clicks/day{day}.json").write_text(json.dumps([click]))


@pytest.mark.usefixtures("stacks")
def test_the_script_does_what_the_page_says(
    small_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for program, command, *arguments in script():
        assert program == "sam2"
        filled = [name for one in arguments for name in (sorted(glob.glob(one)) if "*" in one else [one])]  # noqa: PTH207
        model = ["--model", str(small_checkpoint)] if command == "track" else []
        assert main([command, *filled, *model]) == 0, capsys.readouterr().err
    with Path("all.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["session"] for row in rows] == [f"day{day}" for day in (1, 2, 3) for _ in range(5)]
    assert rows[4]["time (min)"] == "20"
    assert "area (µm²)" in rows[0]
    assert [row["verified"] for row in rows] == ["no"] * 5 + ["yes"] * 5 + ["no"] * 5
    assert {path.name for path in Path("tracks").iterdir()} == {"day1", "day2", "day3"}
    assert json.loads(Path("day2.json").read_text())["annotations"]
    again = "3 of 3 files done, 0 failed."
    track = next(arguments for arguments in script() if arguments[1] == "track")
    capsys.readouterr()
    assert main([track[1], *sorted(glob.glob(track[2])), *track[3:]]) == 0  # noqa: PTH207
    said = capsys.readouterr()
    assert again in said.err
    assert said.out.count("nothing was left to track") == 3
