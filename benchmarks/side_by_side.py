"""Time of the same work here and in the official package: one table.

    python benchmarks/side_by_side.py --peer-python PYTHON [--image-size 1024] [--threads 2] [--repeats 3]

Both packages have the same seeded weights, pixels and threads, each in a process of its own, and take
turns, so that whatever else the machine does falls on both. ``--peer-python`` is the interpreter of a
virtual environment that has the official package (see ``official_package.py``). Below 1024 only videos
are compared: the official image predictor knows no other size. Writes ``benchmarks/results/side_by_side.md``.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Protocol

import numpy as np
import scenes
import torch

RESULTS = Path(__file__).parent / "results" / "side_by_side.md"
VARIANT = "sam2.1_hiera_tiny"
STEADY = 8
"""From this frame on a tracked frame attends to the full number of memories."""


class Package(Protocol):
    """Work of both packages; each call returns a number of mask pixels."""

    def encode(self, frame: int) -> int: ...
    def click(self, frame: int) -> int: ...
    def open(self, objects: int, length: int) -> int: ...
    def track(self) -> int: ...


class Ours:
    def __init__(self, variant: str, image_size: int) -> None:
        from memory import our_model

        from sam2_engine import ImagePredictor

        self.model = our_model(variant, image_size)
        self.predictor = ImagePredictor(self.model)
        self.results: Iterator = iter(())

    def encode(self, frame: int) -> int:
        self.predictor.set_image(scenes.draw(frame))
        return 0

    def click(self, frame: int) -> int:
        masks, _, _ = self.predictor.predict([scenes.center(frame, 0)], [1])
        return int(masks.sum())

    def open(self, objects: int, length: int) -> int:
        from sam2_engine import VideoSession

        frames = np.stack([scenes.draw(frame) for frame in range(length)])
        # The official package reads as many pointers as there are frames, up to 16.
        session = VideoSession(self.model, frames, max_object_pointers=min(length, 16))
        for number in range(objects):
            session.add_points(0, number + 1, scenes.center(0, number))
        self.results = session.propagate()
        return 0

    def track(self) -> int:
        return int(next(self.results).masks.sum())


class Official:
    def __init__(self, variant: str, image_size: int) -> None:
        import official_package

        self.predictor, self.video = official_package.build(variant, image_size)
        self.results: Iterator = iter(())

    def encode(self, frame: int) -> int:
        self.predictor.set_image(scenes.draw(frame))
        return 0

    def click(self, frame: int) -> int:
        masks, _, _ = self.predictor.predict(np.array([scenes.center(frame, 0)]), np.array([1]))
        return int(masks.sum())

    def open(self, objects: int, length: int) -> int:
        from make_references import start

        state = start(self.video, np.stack([scenes.draw(frame) for frame in range(length)]))
        for number in range(objects):
            click = np.array([scenes.center(0, number)], np.float32)
            self.video.add_new_points_or_box(state, 0, number + 1, points=click, labels=np.array([1]))
        self.results = self.video.propagate_in_video(state)
        return 0

    def track(self) -> int:
        return int((next(self.results)[2] > 0).sum())


def serve(package: Package) -> None:
    """Serve requests from standard input, line by line; write seconds and mask pixels."""
    print("ready", flush=True)
    for line in sys.stdin:
        name, *numbers = json.loads(line)
        start = time.perf_counter()
        with torch.inference_mode():
            pixels = getattr(package, name)(*numbers)
        print(json.dumps([time.perf_counter() - start, pixels]), flush=True)


class Worker:
    """One package in a process of its own."""

    def __init__(self, python: str, name: str, arguments: argparse.Namespace) -> None:
        options = ["--image-size", str(arguments.image_size), "--threads", str(arguments.threads)]
        command = [python, __file__, "--worker", name, "--peer-python", "-", *options]
        quiet = os.environ | {"TQDM_DISABLE": "1"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=quiet
        )
        self._answer()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("A package could not be run; its own message is above.")
        return line

    def ask(self, name: str, *numbers: int) -> tuple[float, int]:
        assert self.process.stdin is not None
        print(json.dumps([name, *numbers]), file=self.process.stdin, flush=True)
        seconds, pixels = json.loads(self._answer())
        return seconds, pixels

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


Pair = tuple[Worker, Worker]


def in_turns(workers: Pair, requests: list[tuple[str, int]]) -> list[list[tuple[float, int]]]:
    """Give every request to both packages, one after the other; returns both lists of answers."""
    answers: list[list[tuple[float, int]]] = [[], []]
    for number, request in enumerate(requests):
        for index in (0, 1) if number % 2 else (1, 0):
            answers[index].append(workers[index].ask(*request))
    return answers


def row(work: str, answers: list[list[tuple[float, int]]]) -> str:
    """One line of the table: medians in ms, their ratio, and whether the masks agree in size."""
    ours, theirs = (median(seconds for seconds, _ in one) * 1000 for one in answers)
    pairs = [(a, b) for (_, a), (_, b) in zip(*answers, strict=True)]
    apart = max(abs(a - b) / max(a, b, 1) for a, b in pairs)
    return f"| {work} | {ours:.0f} | {theirs:.0f} | {theirs / ours:.2f} | {apart:.1e} | {len(pairs)} |"


def compare(workers: Pair, arguments: argparse.Namespace) -> Iterator[str]:
    """Yield the table's rows as they come."""
    from sam2_engine.wording import counted

    repeats = arguments.repeats
    if arguments.image_size == 1024:
        frames = list(range(repeats + 1))
        encoded, clicked = [[], []], [[], []]
        for frame in frames:
            for results, name in ((encoded, "encode"), (clicked, "click")):
                for side, answers in zip(results, in_turns(workers, [(name, frame)]), strict=True):
                    side.extend(answers)
        # The first of each is a warm-up.
        yield row("encode an image", [side[1:] for side in encoded])
        yield row("one click, three masks", [side[1:] for side in clicked])
    for objects in arguments.objects:
        length = STEADY + repeats
        for worker in workers:
            worker.ask("open", objects, length)
        answers = in_turns(workers, [("track",)] * length)
        yield row(f"track a frame, {counted(objects, 'object')}", [side[STEADY:] for side in answers])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True, help="interpreter with the official package")
    parser.add_argument("--variant", default=VARIANT)
    parser.add_argument("--image-size", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--worker", choices=["ours", "official"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.worker:
        package = Ours if arguments.worker == "ours" else Official
        serve(package(arguments.variant, arguments.image_size))
        return
    workers = (
        Worker(sys.executable, "ours", arguments),
        Worker(arguments.peer_python, "official", arguments),
    )
    lines = [
        "# Side by side with the official package",
        "",
        f"{arguments.variant}, input {arguments.image_size}, float32, {arguments.threads} threads.",
        f"{scenes.provenance()}.",
        "",
        "| work | this engine, ms | sam2 1.1.0, ms | times as fast | masks differ in area by | measured |",
        "|---|---|---|---|---|---|",
    ]
    print(*lines, sep="\n")
    for line in compare(workers, arguments):
        lines.append(line)
        print(line, flush=True)
    for worker in workers:
        worker.close()
    lines += [
        "",
        "Medians, in turns. Our tracking reads and resizes each frame; the official loads all before.",
    ]
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
