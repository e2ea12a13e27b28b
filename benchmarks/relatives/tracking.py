"""Seconds of a tracked frame with each relative of SAM 2 beside ``sam2.1_hiera_tiny``, in turns.

    python benchmarks/relatives/tracking.py [--threads 2] [--frames 4] [--write]

All have random weights, which cost as much as trained ones, and their own input size; one object is tracked,
with the memory of eight frames, in the type that this machine chooses. ``--write`` writes
``benchmarks/results/relatives.md``.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import scenes

from sam2_engine import VideoSession
from sam2_engine.modeling.config import VARIANTS
from sam2_engine.modeling.devices import find_device
from sam2_engine.modeling.precision import choose_dtype
from sam2_engine.modeling.sam2 import Sam2

RESULTS = Path(__file__).parents[1] / "results" / "relatives.md"
BASE = "sam2.1_hiera_tiny"
MODELS = (
    BASE,
    "efficienttam_ti",
    "efficienttam_ti_1",
    "efficienttam_ti_512x512",
    "efficienttam_s",
    "edgetam",
)
STEADY = 8


def tracked_frames(name: str, length: int) -> Iterator[float]:
    """Track one object, and yield the seconds of each frame once the memory is full."""
    torch.manual_seed(0)
    model = Sam2(VARIANTS[name]).eval().requires_grad_(False)
    model.compute_dtype = choose_dtype("auto", find_device("cpu"))
    frames = np.stack([scenes.draw(number) for number in range(STEADY + length + 1)])
    session = VideoSession(model, frames)
    session.add_points(0, 1, [scenes.center(0, 0)])
    results = session.propagate()
    for _ in range(STEADY + 1):
        next(results)
    yield 0.0  # ready
    for _ in range(length):
        begun = time.perf_counter()
        next(results)
        yield time.perf_counter() - begun


def main() -> None:
    """Print the table, and write it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    runs = {name: tracked_frames(name, arguments.frames) for name in MODELS}
    for run in runs.values():
        next(run)
    seconds: dict[str, list[float]] = {name: [] for name in MODELS}
    for _ in range(arguments.frames):
        for name, run in runs.items():
            seconds[name].append(next(run))
    base = median(seconds[BASE])
    rows = [
        f"| {name} | {VARIANTS[name].image_size} | {1000 * median(times):.0f} | {base / median(times):.1f} |"
        for name, times in seconds.items()
    ]
    dtype = str(choose_dtype("auto", find_device("cpu"))).removeprefix("torch.")
    lines = [
        "# Relatives of SAM 2",
        "",
        f"{scenes.provenance()}; {arguments.threads} threads, {dtype}.",
        f"One object, memory full, medians of {arguments.frames} frames in turns; random weights.",
        "",
        "| model | input | a tracked frame, ms | times as fast as tiny |",
        "|---|---|---|---|",
        *rows,
        "",
    ]
    print("\n".join(lines))
    if arguments.write:
        RESULTS.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
