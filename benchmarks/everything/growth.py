"""How processor time and memory of everything grow with frames and with objects: two tables.

    OMP_NUM_THREADS=1 python benchmarks/everything/growth.py [--model nano] [--write FILE]

Discs that circle over noise, 256 x 256 pixels, drawn when they are read. Every measurement runs in a
process of its own (Linux). ``--write`` puts the tables into a page of results instead of the earlier ones.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).parents[1]))
import scenes

from sam2_plugins.everything.settings import EverythingSettings

SIDE = 256
LENGTHS, COUNTS = (8, 16, 32, 64), (5, 20, 80)
USUAL_COUNT, FEWER_CLICKS = 20, 12
Row = tuple[int, int, float, float, float]
"""Frames done, objects stored, processor seconds, and MiB now and at most above what the model takes."""


def draw(frame: int, count: int) -> NDArray[np.uint8]:
    """Draw bright discs on a grid, each on a circle of its own; all of one size together cover a tenth."""
    columns = math.ceil(math.sqrt(count))
    cell, radius = SIDE / columns, math.sqrt(0.1 * SIDE**2 / (math.pi * count))
    y, x = np.mgrid[:SIDE, :SIDE]
    picture = np.random.default_rng(frame).normal(50, 6, (SIDE, SIDE))
    for number in range(count):
        row, column = divmod(number, columns)
        phase = frame / 6 + number
        cx = (column + 0.5) * cell + radius / 2 * math.cos(phase)
        cy = (row + 0.5) * cell + radius / 2 * math.sin(phase)
        picture += (130 + 40 * math.sin(number)) / (1 + np.exp(np.hypot(x - cx, y - cy) - radius))
    return picture.clip(0, 255).astype(np.uint8)


def work(model: str, length: int, count: int, clicks: int) -> list[Row]:
    """Find and track everything, and say what it has taken up to some frames, and at the end."""
    import torch

    from sam2_engine import FrameSource
    from sam2_plugins.everything.run import track_everything
    from sam2_plugins.runtime.model_store import ModelStore
    from sam2_plugins.session.annotation_session import AnnotationSession

    class DrawnFrames(FrameSource):
        def _read(self, frame: int) -> NDArray[np.uint8]:
            return draw(frame, count)

    torch.set_num_threads(1)
    store, kind = ModelStore("cpu"), np.dtype(np.uint8)
    frames = DrawnFrames("drawn", shape=(SIDE, SIDE), channels=1, dtype=kind, length=length, axes="TYX")
    session = AnnotationSession(frames, store, model, history=None)
    store.get(model)
    scenes.release_freed()
    base, begin, rows = scenes.resident()[0], time.process_time(), []

    def row(done: int) -> Row:
        now, peak = scenes.resident()
        return done, len(session.objects), time.process_time() - begin, now - base, peak - base

    for done, _ in track_everything.steps(session, EverythingSettings(every=1, points_per_side=clicks)):
        if done in LENGTHS and done > (rows[-1][0] if rows else 0):
            rows.append(row(done))
    return [*rows, row(length)]


def measured(model: str, *run: int) -> list[Row]:
    """Do so in a process of its own."""
    command = [sys.executable, __file__, "--model", model, "--worker", *map(str, run)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    rows: list[Row] = json.loads(answer.splitlines()[-1])
    return rows


def lines_of(model: str) -> Iterator[str]:
    """Measure, and yield the lines of both tables."""
    yield f"{model}, {SIDE} x {SIDE} pixels, one thread. {scenes.provenance()}."
    clicks = f"{FEWER_CLICKS} x {FEWER_CLICKS} clicks"
    yield from (
        "",
        f"| frames done, {USUAL_COUNT} objects, {clicks} | s | MiB | peak MiB |",
        "|---|---|---|---|",
    )
    rows = measured(model, LENGTHS[-1], USUAL_COUNT, FEWER_CLICKS)
    for number, (done, _, seconds, now, peak) in enumerate(rows):
        name = str(done) if number < len(rows) - 1 else "stored"
        yield f"| {name} | {seconds:.0f} | {now:.0f} | {peak:.0f} |"
    yield from (
        "",
        f"| objects, {LENGTHS[0]} frames | found | s a frame | MiB | peak MiB |",
        "|---" * 5 + "|",
    )
    for count in COUNTS:
        *_, (done, found, seconds, now, peak) = measured(
            model, LENGTHS[0], count, EverythingSettings().points_per_side
        )
        yield f"| {count} | {found} | {seconds / done:.1f} | {now:.0f} | {peak:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--worker", nargs=3, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(work(options.model, *options.worker)))
        return
    lines = []
    for line in lines_of(options.model):
        lines.append(line)
        print(line, flush=True)
    if options.write is not None:
        scenes.write_section(options.write, "Everything in a stack", "How it grows", lines)


if __name__ == "__main__":
    main()
