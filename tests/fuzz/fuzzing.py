"""Fuzzing of all readers: ``python tests/fuzz/fuzzing.py --seconds 300`` (``make fuzz``).

Every target runs in a process of its own (``fuzz_child.py``), which is
started again when it hangs or dies. What is found is left in ``.fuzz/NAME/findings``: the input, and what
happened.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2])]

from fuzz_targets import TARGETS, Target, seeds_of  # noqa: E402

__all__ = ["ENGINE", "Outcome", "fuzz", "replay"]

ENGINE = "atheris" if find_spec("atheris") else "hypothesis"

_CHILD = Path(__file__).with_name("fuzz_child.py")
_GRACE = 90


@dataclass
class Outcome:
    """What came of fuzzing one target.

    Attributes
    ----------
    executions
        Number of inputs that were tried, including the seeds.
    covered
        Edges of the readers' code that were taken; None without atheris.
    findings
        What happened, by the file that holds the input.
    """

    target: str
    executions: int = 0
    covered: int | None = None
    findings: dict[Path, str] = field(default_factory=dict)


def fuzz(target: Target, seconds: float, folder: Path, engine: str = ENGINE, runs: int = 0) -> Outcome:
    """Fuzz a target for some seconds; its corpus in the folder grows from one time to the next.

    With a number of ``runs`` it ends after these, which are always the same: a test that fails does so again.
    """
    findings = folder / "findings"
    for each in (findings, folder / "corpus"):
        each.mkdir(parents=True, exist_ok=True)
    for name, data in seeds_of(target).items():
        (folder / "corpus" / name).write_bytes(data)
    outcome = Outcome(target.name)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > min(10, seconds / 2):
        given = (engine, target.name, str(max(1, round(left))), str(folder), str(runs))
        said = _run(folder, left + _GRACE, *given)
        counts = re.findall(r"(?:^#|number_of_executed_units: )(\d+)", said, re.MULTILINE)
        outcome.executions += max(map(int, counts), default=0)
        edges = [int(number) for number in re.findall(r"cov: (\d+)", said)]
        outcome.covered = max([*edges, outcome.covered or 0]) or None
        if runs:
            break
    outcome.findings = _findings(folder)
    return outcome


def replay(folder: Path) -> dict[Path, str]:
    """Run every target on its seeds, and return the findings."""
    (folder / "findings").mkdir()
    _run(folder, _GRACE, "replay", str(folder))
    return _findings(folder)


def _findings(folder: Path) -> dict[Path, str]:
    told = sorted((folder / "findings").glob("*.txt"))
    return {path.with_suffix(".zip"): path.read_text(encoding="utf-8", errors="replace") for path in told}


def _run(folder: Path, timeout: float, *arguments: str) -> str:
    """Run a process to its end, add to the findings the input that killed it, and return what it said."""
    log = folder / "log.txt"
    with log.open("wb") as file:
        child = subprocess.Popen(
            [sys.executable, str(_CHILD), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=file,
            env={**os.environ, "MALLOC_ARENA_MAX": "2", "PYTHONHASHSEED": "0"},
        )
        try:
            code = child.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            code = child.wait()
            if _is_young(folder / "current.zip"):
                # A slow machine's time is over, not that input's own.
                (folder / "current.zip").unlink()
                code = 0
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = "\n".join(line for line in lines if not line.startswith("Extension modules"))
    for path in folder.glob("tmp*"):
        shutil.rmtree(path, ignore_errors=True)
    current = folder / "current.zip"
    if code and not current.exists():
        if "INITED" in said:  # between two inputs, of which none is to blame
            return said
        raise RuntimeError(f"Fuzzing did not begin: {said[-4000:]}")
    if code:
        stack = [
            f"{Path(name).stem}-{line}" for name, line in re.findall(r'File "(.*?)", line (\d+)', said)[:2]
        ]
        kind = "-".join(["ended", str(abs(code)), *stack])
        current.rename(folder / "findings" / f"{kind}.zip")
        text = f"{said[-4000:]}\nThe process ended with {code}."
        (folder / "findings" / f"{kind}.txt").write_text(text, encoding="utf-8")
    return said


def _is_young(path: Path) -> bool:
    """Whether an input has run for less than any limit of its own."""
    return path.exists() and time.time() - path.stat().st_mtime < _GRACE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), help="all by default")
    parser.add_argument("--seconds", type=float, default=300, help="for each of them")
    parser.add_argument("--folder", type=Path, default=Path(".fuzz"))
    options = parser.parse_args()
    found = 0
    for name in options.targets:
        outcome = fuzz(TARGETS[name], options.seconds, options.folder / name)
        found += len(outcome.findings)
        print(f"{name}: {outcome.executions} executions, {outcome.covered} edges")
        for path, text in outcome.findings.items():
            print(f"  {path}: {text.strip().splitlines()[-1][:150]}", flush=True)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
