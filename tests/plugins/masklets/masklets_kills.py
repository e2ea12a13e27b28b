"""Does the search of a video survive being killed at any file operation, and end as if it had not been?

    python tests/plugins/masklets/masklets_kills.py [--kills N] [--seed N]

A process finds the masklets of a video and ends, as if killed, before some file operation in the data set's
folder, of any thread. Then the command is given again: what it finds must be what an undisturbed run finds,
and nothing half-written may lie there. The same for a video that is searched again, with a masklet that a
person verified, which must stay to the pixel. Exits with 1 if anything was lost. Linux.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch

from sam2_plugins.cli.app import main as sam2
from sam2_plugins.masklets.dataset import MaskletDataset
from sam2_plugins.masklets.queue import VerificationQueue
from sam2_plugins.runtime.model_store import ModelStore

OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link")
SMALL = ["--model", "nano@256", "--points-per-side", "4", "--crop-layers", "0", "--key-frames", "2"]
SMALL += ["--min-stability", "0.5"]
AGAIN = [*SMALL, "--confidence", "0.3"]


def write_video(path: Path) -> None:
    """Write two discs that move."""
    y, x = np.ogrid[:60, :80]
    frames = [
        sum((np.hypot(x - cx, y - cy) < r) * 150 for cx, cy, r in ((20 + 4 * t, 25, 8), (60, 40 - 3 * t, 9)))
        for t in range(4)
    ]
    tifffile.imwrite(path, np.uint8(frames), metadata={"axes": "TYX"}, photometric="minisblack")


def in_child(do: Callable[[], object]) -> int:
    """Do something in a process of its own; return its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        do()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def search(folder: Path, *options: str, counted: Path | None = None, until: int | None = None) -> None:
    """Find masklets; end before that file operation, or write how many there were."""
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in OPERATIONS and str(arguments[0]).startswith(f"{folder / 'data'}"):
            count += 1
            if count == until:
                os._exit(99)

    sys.addaudithook(hook)
    if status := sam2(["masklets", str(folder / "discs.tif"), "-o", str(folder / "data"), *options]):
        raise SystemExit(status)
    if counted is not None:
        counted.write_text(str(count))


def verify(folder: Path) -> None:
    """Accept one masklet, and reject another."""
    with VerificationQueue(MaskletDataset.open(folder / "data"), ModelStore("cpu"), "ada") as queue:
        queue.next()
        queue.accept()


def contents(folder: Path) -> dict[str, Any]:
    """Return what is found and verified, but for ids."""
    dataset = MaskletDataset.open(folder / "data")
    found = dataset.found("discs")
    columns = zip(*found["masklet"], strict=True)
    masklets = sorted(
        json.dumps([column, quality]) for column, quality in zip(columns, found["masklet_quality"])
    )
    return {"found": masklets, "verified": dataset.verified("discs")}


def check(folder: Path, wanted: dict[str, Any]) -> str:
    """Return what is wrong in a folder, in words; nothing if all is well."""
    if contents(folder) != wanted:
        return "other masklets are found or verified"
    data = folder / "data"
    lying = {one.name for one in data.iterdir()} - {
        *("masklets.json", "discs.tif", "discs_auto.json", "discs.sam2", "found", ".locks"),
        *("discs_manual.json", "decisions.jsonl", ".decisions.jsonl.lock"),
    }
    lying |= {one.name for one in (data / "found").iterdir()} - {
        "discs.json",
        "discs.summary",
        "discs.settled",
    }
    return f"left over: {sorted(lying)}" if lying else ""


def killed(begin: Path, wanted: dict[str, Any], options: list[str], again: list[str], until: int) -> str:
    """Kill a search, give the command again, and return what is wrong."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "work"
        shutil.copytree(begin, folder, symlinks=True)
        if in_child(lambda: search(folder, *options, until=until)) != 99:
            return f"before operation {until}: it did not end there"
        if in_child(lambda: search(folder, *again)):
            return f"before operation {until}: it does not go on"
        problem = check(folder, wanted)
        return f"before operation {until}: {problem}" if problem else ""


def rounds(count: int, seed: int) -> list[str]:
    """Kill a first search and one that is done again, that often each; return what was wrong."""
    torch.set_num_threads(1)
    chance, problems = random.Random(seed), []
    with tempfile.TemporaryDirectory() as name:
        begin = Path(name) / "begin"
        begin.mkdir()
        write_video(begin / "discs.tif")
        for options, again in ((SMALL, SMALL), ([*AGAIN, "--again"], AGAIN)):
            whole = Path(name) / "whole"
            shutil.copytree(begin, whole)
            if in_child(lambda: search(whole, *options, counted=whole / "count")):  # noqa: B023
                return ["undisturbed it does not work either"]
            wanted, operations = contents(whole), int((whole / "count").read_text())
            last = {operations} if count > 1 else set()
            moments = sorted({*chance.sample(range(1, operations), count), *last})
            problems += [killed(begin, wanted, options, again, until) for until in moments]
            (whole / "count").unlink()
            if in_child(lambda: verify(whole)):  # noqa: B023
                return ["nothing can be verified"]
            shutil.rmtree(begin)
            whole.rename(begin)
    return [one for one in problems if one]


def main() -> int:
    """Kill, report, and return whether anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    problems = rounds(given.kills, given.seed)
    print("\n".join(problems) or f"2 x {given.kills} kills: nothing lost")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
