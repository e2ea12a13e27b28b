"""Time of the same work here, in the official package and in transformers: one table, ``make bench``.

    python benchmarks/side_by_side.py [--peer-python PYTHON] [--threads 2] [--repeats 3] [--only ROWS ...]

All have the same seeded weights, pixels and threads, each in a process of its own, and take turns, so that
whatever else the machine does falls on all. ``--peer-python`` is the interpreter of a virtual environment
that has the official package (``--help`` says how to make one), which runs in float32, its default, and
under autocast in bfloat16, as its notebooks do; ours runs in what ``dtype="auto"`` chooses on this machine,
and transformers in float32. nano is compared with itself at an earlier commit (``--before``), which is
checked out aside. Writes ``benchmarks/results/side_by_side.md``.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

import memory
import scenes
import torch
from packages import BEFORE, BOXES, PACKAGES, Package

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "side_by_side.md"
VARIANT, NANO, NANO_SIZE = "sam2.1_hiera_tiny", "nano", 512
STEADY = 8
"""From this frame on a tracked frame attends to the full number of memories."""
CYCLE = 8
"""Frames of which one is looked at whole where approximations are on: their mean counts."""
PEER = """\
The official package is left out, as there is no environment of it. To make one, here at PEER (1 GB):
    python3 -m venv PEER
    PEER/bin/pip install torch==2.13.0 setuptools wheel numpy pillow tqdm hydra-core iopath
    PEER/bin/pip install --no-deps torchvision==0.28.0
    SAM2_BUILD_CUDA=0 PEER/bin/pip install --no-deps --no-build-isolation sam2==1.1.0
    make bench BENCH_PEER=PEER/bin/python"""
KINDS = {
    "encode": "encode an image",
    "click": "one click, three masks",
    "box": f"{BOXES} boxes in one call",
}
ROWS = ("images", "1 object", "10 objects", "10 objects, fast", "nano", "memory")


class Row(NamedTuple):
    """One line of the table.

    Attributes
    ----------
    work
        What was done.
    cells
        By package.
    wanted
        What the figures should be on this machine.
    apart
        By how much the masks of the others differ in area from ours, at most.
    measured
        How often.
    """

    work: str
    cells: dict[str, str]
    wanted: str
    apart: float | None
    measured: int


def wanted(row: str) -> str:
    """Return how many times as fast as the official package ours should be on this kind of CPU."""
    flags = scenes.cpu_flags()
    kind = 0 if "amx_bf16" in flags else 1 if "avx512_bf16" in flags else 2
    by_kind = {"1 object": (6, 2.7, 1.3), "10 objects": (7, 3.2, 1.4)}
    if row in by_kind:
        bfloat16 = "; 2.8 x its bfloat16" if row == "1 object" and kind < 2 else ""
        return f"{by_kind[row][kind]:g} x official{bfloat16}"
    return {
        "encode": "1.2 x the better of official's",
        "click": "1.5 x official",
        "box": "3 x official",
        "10 objects, fast": "12 x official",
        "nano, 1 object": "2 x before",
        "nano, 20 objects": "4 x before",
        "memory": "at most half of official's",
        "growth": "none",
    }[row]


def serve(package: Package, dtype: torch.dtype) -> None:
    """Serve requests from standard input, line by line; write seconds and mask pixels."""
    precision = torch.autocast("cpu", dtype, enabled=dtype != torch.float32)
    print("ready", flush=True)
    for line in sys.stdin:
        name, *numbers = json.loads(line)
        start = time.perf_counter()
        with torch.inference_mode(), precision:
            pixels = getattr(package, name)(*numbers)
        print(json.dumps([time.perf_counter() - start, pixels]), flush=True)


class Worker:
    """One package in a process of its own."""

    def __init__(
        self, name: str, variant: str, size: int, arguments: argparse.Namespace, tree: Path | None = None
    ) -> None:
        self.name = name
        python = arguments.peer_python if name.startswith("official") else sys.executable
        options = [
            *("--variant", variant, "--image-size", str(size)),
            *("--threads", str(arguments.threads)),
        ]
        self.process = subprocess.Popen(
            [python, __file__, "--worker", name, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"TQDM_DISABLE": "1"} | ({"PYTHONPATH": str(tree)} if tree else {}),
        )
        self._answer()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} could not be run; its own message is above.")
        return line

    def ask(self, name: str, *numbers: int) -> tuple[float, int]:
        assert self.process.stdin is not None
        print(json.dumps([name, *numbers]), file=self.process.stdin, flush=True)
        seconds, pixels = json.loads(self._answer())
        return seconds, pixels

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


Answers = list[tuple[float, int]]


def in_turns(workers: list[Worker], requests: list[tuple[str, int]]) -> list[Answers]:
    """Give every request to every package, one after the other; returns the answers of each."""
    answers: list[Answers] = [[] for _ in workers]
    for number, request in enumerate(requests):
        for index in range(len(workers)):
            turn = (index + number) % len(workers)
            answers[turn].append(workers[turn].ask(*request))
    return answers


def a_cycle(worker: Worker, objects: int) -> Answers:
    """Track objects with approximations on; the mean of a cycle of frames."""
    worker.ask("open", objects, STEADY + CYCLE)
    cycle = [worker.ask("track") for _ in range(STEADY + CYCLE)][STEADY:]
    return [(fmean(seconds for seconds, _ in cycle), cycle[0][1])]


def timed(work: str, names: list[str], answers: list[Answers], goal: str) -> Row:
    """Return medians in ms, what the others take as a multiple of ours, which is the first, and the masks."""
    times = [median(seconds for seconds, _ in one) for one in answers]
    areas = [[pixels for _, pixels in one] for one in answers]
    apart = [
        max(abs(a - b) / max(a, b, 1) for a, b in zip(areas[0], other, strict=True)) for other in areas[1:]
    ]
    cells = [f"{times[0] * 1000:.0f}"]
    cells += [f"{seconds * 1000:.0f} ({seconds / times[0]:.2f})" for seconds in times[1:]]
    cells_by_name = dict(zip(("ours", *names[1:]), cells, strict=True))
    return Row(work, cells_by_name, goal, max(apart, default=None), len(answers[0]))


def images(workers: list[Worker], repeats: int) -> Iterator[Row]:
    """Encode, click and box an image."""
    measured: dict[str, list[Answers]] = {name: [[] for _ in workers] for name in KINDS}
    for frame in range(repeats + 1):
        for name, sides in measured.items():
            for side, answers in zip(sides, in_turns(workers, [(name, frame)]), strict=True):
                side.extend(answers)
    names = [worker.name for worker in workers]
    for name, work in KINDS.items():
        yield timed(work, names, [side[1:] for side in measured[name]], wanted(name))  # the first warms up


def tracked(workers: list[Worker], objects: int, repeats: int) -> list[Answers]:
    """Track objects through frames that attend to the full number of memories."""
    length = STEADY + repeats
    for worker in workers:
        worker.ask("open", objects, length)
    return [side[STEADY:] for side in in_turns(workers, [("track",)] * length)]


def official_rows(names: list[str], arguments: argparse.Namespace) -> Iterator[Row]:
    """Compare with other packages."""
    only, size = arguments.only, arguments.image_size
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(name, arguments.variant, size, arguments)) for name in names]
        if "images" in only and size == 1024:  # the official image predictor knows no other size
            yield from images(workers, arguments.repeats)
        if "1 object" in only:
            answers = tracked(workers, 1, arguments.repeats)
            yield timed("track a frame, 1 object", names, answers, wanted("1 object"))
        if not {"10 objects", "10 objects, fast"} & set(only):
            return
        usual = tracked(workers, 10, arguments.many_repeats)
        if "10 objects" in only:
            yield timed("track a frame, 10 objects", names, usual, wanted("10 objects"))
        if "10 objects, fast" in only:
            with Worker("ours, fast", arguments.variant, size, arguments) as rough:
                answers = [a_cycle(rough, 10), *usual[1:]]
            work = "track a frame, 10 small objects, approximations on"
            row = timed(
                work, names, [answers[0], *(one[:1] for one in answers[1:])], wanted("10 objects, fast")
            )
            yield row._replace(apart=None)


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[Path | None]:
    """Give the files of a commit in a folder aside; None, and why, if there is no such commit."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(HERE), "worktree"]
        made = subprocess.run(
            [*git, "add", "--detach", str(tree), commit], capture_output=True, text=True, check=False
        )
        if made.returncode:
            reason = made.stderr.strip().splitlines()[-1]
            print(
                f"nano is not compared with {commit} ({reason}); fetch it, or give --before.", file=sys.stderr
            )
            yield None
            return
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def nano_rows(arguments: argparse.Namespace) -> Iterator[Row]:
    """Compare nano with itself at an earlier commit."""
    with checked_out(arguments.before) as tree, contextlib.ExitStack() as stack:
        if tree is None:
            return
        workers = [
            stack.enter_context(Worker("ours", NANO, NANO_SIZE, arguments)),
            stack.enter_context(Worker(BEFORE, NANO, NANO_SIZE, arguments, tree)),
            stack.enter_context(Worker("ours, fast", NANO, NANO_SIZE, arguments)),
        ]
        for objects, work in ((1, "nano, 1 object"), (20, "nano, 20 objects")):
            ours, before = tracked(workers[:2], objects, CYCLE)
            mean_before = [(fmean(seconds for seconds, _ in before), 0)]
            fast = a_cycle(workers[2], objects)
            for name, sides in {
                work: [ours, before],
                f"{work}, approximations on": [fast, mean_before],
            }.items():
                row = timed(f"{name}, a frame at 512", ["ours", BEFORE], sides, wanted(work))
                yield row._replace(apart=None)  # its weights were others, too


def memory_rows(names: list[str], arguments: argparse.Namespace) -> Iterator[Row]:
    """Return the peak of memory, beyond what the loaded model takes, and how much each frame adds."""
    what, length = f"{arguments.variant}@{arguments.image_size}", arguments.memory_frames
    workers = {"ours": (sys.executable, "track"), "official": (arguments.peer_python, "official")}
    runs = {
        name: memory.measure(python, worker, what, length)
        for name, (python, worker) in workers.items()
        if name in names
    }
    peak = {name: run["peak"] - run["base"] for name, run in runs.items()}
    steady = min(STEADY, length - 1)
    slope = {name: memory.growth(run, steady) / max(length - 1 - steady, 1) for name, run in runs.items()}
    cells = {name: f"{mib:.0f} MiB ({mib / peak['ours']:.2f})" for name, mib in peak.items()}
    yield Row(f"peak of {memory.OBJECTS} objects, {length} frames", cells, wanted("memory"), None, 1)
    cells = {name: f"{mib:+.2f} MiB" for name, mib in slope.items()}
    yield Row("each frame more adds", cells, wanted("growth"), None, length - 1 - steady)


def packages(arguments: argparse.Namespace) -> list[str]:
    """Return which packages are compared, and say which are not and why."""
    names = [name for name in arguments.packages if name not in ("ours, fast", BEFORE)]
    if not arguments.peer_python:
        print(PEER, file=sys.stderr)
        names = [name for name in names if "official" not in name]
    if "transformers" in names and importlib.util.find_spec("transformers") is None:
        print("transformers is left out, as it is not installed: pip install transformers.", file=sys.stderr)
        names.remove("transformers")
    return names


def compare(names: list[str], arguments: argparse.Namespace) -> Iterator[Row]:
    """Yield the table's rows as they come."""
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "nano": lambda: nano_rows(arguments),
        "memory": lambda: memory_rows(names, arguments),
    }
    if set(arguments.only) - {*parts}:
        yield from official_rows(names, arguments)
    for name, rows in parts.items():
        if name in arguments.only:
            yield from rows()


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=PEER, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", help="interpreter with the official package (see below)")
    parser.add_argument("--packages", nargs="+", choices=PACKAGES, default=list(PACKAGES))
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), help="rows to measure")
    parser.add_argument("--variant", default=VARIANT)
    parser.add_argument("--image-size", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--many-repeats", type=int, default=1, help="frames of ten objects that count")
    parser.add_argument("--memory-frames", type=int, default=20)
    parser.add_argument("--before", default="2268ca4", help="commit that nano is compared with")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--worker", choices=PACKAGES, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, print and write."""
    arguments = parsed()
    torch.set_num_threads(arguments.threads)
    if arguments.worker:
        dtype = torch.bfloat16 if "bfloat16" in arguments.worker else torch.float32
        serve(PACKAGES[arguments.worker](arguments.variant, arguments.image_size), dtype)
        return
    from sam2_engine.modeling.precision import choose_dtype

    names = packages(arguments)
    columns = ["ours"] if arguments.only == ["nano"] else names
    columns = [*columns, *([BEFORE] if "nano" in arguments.only else [])]
    dtype = str(choose_dtype("auto", torch.device("cpu"))).removeprefix("torch.")
    lines = [
        "# Side by side with the official package and with transformers",
        "",
        f"{arguments.variant}, input {arguments.image_size}, seeded weights, {arguments.threads} threads; "
        f"ours in {dtype}.",
        f"{scenes.provenance()}.",
        "",
        f"| work | {', ms | '.join(columns)}, ms | wanted here | masks differ in area by up to | measured |",
        "|---|" + "---|" * (len(columns) + 3),
    ]
    legend = (
        "Medians, in turns; in brackets, how many times as much as ours. Official is sam2 1.1.0; before is "
        f"this engine at {arguments.before}. Our tracking reads and resizes each frame; the others have all "
        "loaded before. Memory is beyond what the loaded model takes."
    )
    print(*lines, sep="\n")
    arguments.output.parent.mkdir(exist_ok=True)
    for row in compare(names, arguments):
        apart = "" if row.apart is None else f"{row.apart:.1e}"
        cells = [
            row.work,
            *(row.cells.get(name, "") for name in columns),
            row.wanted,
            apart,
            str(row.measured),
        ]
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], flush=True)
        arguments.output.write_text("\n".join([*lines, "", legend, ""]))  # what comes may take long


if __name__ == "__main__":
    main()
