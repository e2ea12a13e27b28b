"""How the cost of tracking grows with objects, image size and frames: a table, and two plots as SVG.

    python benchmarks/growth.py [--threads 1] [--frames 12]

Nano, on drawn frames. Counted is processor time, which other work on the machine changes least. Writes
``benchmarks/results/growth.md`` and ``docs/images/growth.svg``.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import scenes
import torch

ROOT = Path(__file__).parent.parent
RESULTS, PICTURE = ROOT / "benchmarks" / "results" / "growth.md", ROOT / "docs" / "images" / "growth.svg"
OBJECTS, SIZES, LENGTHS = (1, 2, 5, 10, 20, 50), (256, 384, 512, 768, 1024), (12, 50, 200)
STEADY = 7
"""From this frame on a frame attends to the full number of memories."""
WIDTH, HEIGHT, MARGIN = 420, 260, 48


def seconds_a_frame(objects: int, size: int, length: int, dtype: str) -> float:
    """Median processor seconds of a frame with full memory, masks at the frames' size included."""
    from sam2_engine import VideoSession, load_model

    most = max(objects, 10)
    frames = np.stack([scenes.draw(frame, most) for frame in range(length)])
    session = VideoSession(load_model("nano", device="cpu", dtype=dtype, image_size=size), frames)
    for number in range(objects):
        session.add_points(0, number + 1, scenes.center(0, number, most))
    seconds, start = [], time.process_time()
    for result in session.propagate():
        assert result.masks.shape[0] == objects
        seconds.append(time.process_time() - start)
        start = time.process_time()
    return median(seconds[STEADY:])


def panel(left: int, title: str, unit: str, lines: dict[str, list[tuple[float, float]]]) -> Iterator[str]:
    """Draw lines over one axis from 0, as parts of an SVG."""
    right = max(x for points in lines.values() for x, _ in points)
    top = max(y for points in lines.values() for _, y in points) * 1.1

    def place(x: float, y: float) -> tuple[float, float]:
        across = left + MARGIN + x / right * (WIDTH - MARGIN - 20)
        return across, HEIGHT - 34 - y / top * (HEIGHT - 70)

    yield f'<text x="{left + MARGIN}" y="18" font-size="13">{title}</text>'
    for tick in np.linspace(0, top, 4):
        x, y = place(0, tick)
        yield f'<line x1="{x:.0f}" x2="{left + WIDTH - 20}" y1="{y:.0f}" y2="{y:.0f}" stroke="#ddd"/>'
        yield f'<text x="{x - 6:.0f}" y="{y + 4:.0f}" font-size="11" text-anchor="end">{tick:.2g}</text>'
    labeled = float("-inf")
    for x in sorted({x for points in lines.values() for x, _ in points}):
        across, y = place(x, 0)
        if across - labeled < 12:
            continue
        labeled = across
        yield f'<text x="{across:.0f}" y="{y + 15:.0f}" font-size="10" text-anchor="middle">{x:g}</text>'
    yield f'<text x="{left + WIDTH - 20}" y="{HEIGHT - 4}" font-size="11" text-anchor="end">{unit}</text>'
    for color, (name, points) in zip(("#4878a8", "#d98032"), lines.items(), strict=False):
        places = [place(*point) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>'
        place_of_name = 'x="{:.0f}" y="{:.0f}" text-anchor="end"'.format(*places[-1])
        yield f'<text {place_of_name} font-size="11" fill="{color}">{name}</text>'


def main() -> None:
    """Measure, print, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=12)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    dtypes = ("float32", "bfloat16")
    lines = [
        "# How the cost of a tracked frame grows",
        "",
        f"nano, processor seconds a frame, {arguments.threads} thread(s), medians. {scenes.provenance()}.",
    ]
    print(*lines, sep="\n")

    def table(heading: str, cases: dict[int, tuple[int, int, int]]) -> dict[str, list[tuple[float, float]]]:
        lines.extend(["", f"| {heading} | {' | '.join(dtypes)} |", "|---|---|---|"])
        curves: dict[str, list[tuple[float, float]]] = {dtype: [] for dtype in dtypes}
        for number, case in cases.items():
            for dtype in dtypes:
                curves[dtype].append((number, seconds_a_frame(*case, dtype)))
            lines.append(f"| {number} | {' | '.join(f'{curves[dtype][-1][1]:.3f}' for dtype in dtypes)} |")
            print(lines[-1], flush=True)
        return curves

    frames = arguments.frames
    by_objects = table("objects, at 512 pixels", {n: (n, 512, frames) for n in OBJECTS})
    by_size = table("side of the input, 5 objects", {side: (5, side, frames) for side in SIZES})
    table("frames, 2 objects at 256 pixels", {length: (2, 256, length) for length in LENGTHS})
    RESULTS.write_text("\n".join(lines) + "\n")
    view = f'viewBox="0 0 {2 * WIDTH} {HEIGHT}" font-family="sans-serif"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {view}>'
    parts = [
        *panel(0, "seconds a frame, by objects (512 pixels)", "objects", by_objects),
        *panel(WIDTH, "seconds a frame, by input side (5 objects)", "pixels", by_size),
    ]
    PICTURE.write_text(
        "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>\n"])
    )


if __name__ == "__main__":
    main()
