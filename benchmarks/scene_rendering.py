"""Scenes per second, style by style, on one thread: whether rendering keeps up with training.

    OMP_NUM_THREADS=1 python benchmarks/scene_rendering.py

Prints a table and writes it to ``benchmarks/results/scene_rendering.md``. Time is that of the processor, not
of the clock, so that other work on the machine does not count.
"""

import time
from pathlib import Path

import torch
from scenes import provenance

from sam2_engine.synthetic import STYLES, render_scene

SIZES = (256, 512)
LENGTHS = (1, 8)
"""An image, and a clip as it is trained on."""
LEAST_SECONDS = 3.0
MOST_SCENES = 60


def main() -> None:
    torch.set_num_threads(1)
    lines = [*HEADING.splitlines(), "", provenance() + ".", ""]
    columns = [f"{size}, {frames} frame{'s' * (frames > 1)}" for size in SIZES for frames in LENGTHS]
    lines += ["| style | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for style in STYLES:
        figures = [f"{scenes_per_second(style, frames, size):.1f}" for size in SIZES for frames in LENGTHS]
        lines.append(f"| {style} | " + " | ".join(figures) + " |")
        print(lines[-1], flush=True)
    path = Path(__file__).parent / "results" / "scene_rendering.md"
    path.write_text("\n".join(lines) + "\n")
    print(f"Written to {path}.")


HEADING = """# Rendering synthetic scenes

Scenes per second of processor time on one thread, by `benchmarks/scene_rendering.py`: seeds 0, 1, 2, ...
for 3 s or 60 scenes. Columns: side in pixels, and length."""


def scenes_per_second(style: str, num_frames: int, size: int) -> float:
    """Render scene after scene and return the rate."""
    render_scene(style, 1, 64)  # photographs are read once, which is no part of the rate
    start, count = time.process_time(), 0
    while count < MOST_SCENES and (time.process_time() - start < LEAST_SECONDS or count < 3):
        render_scene(style, num_frames, size, seed=count)
        count += 1
    return count / (time.process_time() - start)


if __name__ == "__main__":
    main()
