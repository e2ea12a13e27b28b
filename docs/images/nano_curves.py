"""Draw nano's losses over its training as an SVG: ``python docs/images/nano_curves.py``.

Reads ``benchmarks/results/nano/training.csv`` (the logs of the stages one after the other) and writes
``nano_curves.svg`` beside this script: one panel per loss, a color per stage, thick lines the mean of
nine entries.
"""

import csv
from itertools import cycle
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
LOG = HERE.parents[1] / "benchmarks" / "results" / "nano" / "training.csv"
WIDTH, HEIGHT, MARGIN = 900, 170, 46
COLORS = (
    "#4878a8",
    "#d98032",
    "#5c9950",
    "#a8548a",
    "#8a6d3b",
    "#666666",
    "#c04050",
    "#2f8f8f",
    "#b09020",
    "#d070b0",
    "#70a0ff",
)
LOSSES = {"dense": "auxiliary", "mask": "one frame", "track": "tracked"}
SMOOTHED = 9
A_ROW = 7
LINE = 16
"""Names of stages in a row below the panels, and the height of a row."""


def polyline(x: np.ndarray, y: np.ndarray, color: str, width: float, opacity: float) -> str:
    """Return one line of an SVG."""
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    style = f'stroke="{color}" stroke-width="{width}" stroke-opacity="{opacity}"'
    return f'<polyline points="{points}" fill="none" {style}/>'


def panel(rows: list[dict[str, str]], loss: str, top: int) -> list[str]:
    """Draw one loss of all stages over the steps of all stages."""
    chosen = [(int(row["total"]), float(row[loss]), row["stage"]) for row in rows if row[loss]]
    highest = float(np.percentile([value for _, value, _ in chosen], 98))
    last = int(rows[-1]["total"])
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    parts = [f'<text x="{MARGIN}" y="{top + 12}" font-size="13">{LOSSES[loss]} loss</text>']
    for tick in np.linspace(0, highest, 3):
        y = top + HEIGHT - 8 - tick / highest * (HEIGHT - 30)
        parts.append(f'<text x="4" y="{y + 4:.0f}" font-size="11">{tick:.2f}</text>')
        parts.append(f'<line x1="{MARGIN}" x2="{WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
    for stage, color in zip(stages, cycle(COLORS), strict=False):
        steps = np.array([step for step, _, name in chosen if name == stage], float)
        values = np.array([value for _, value, name in chosen if name == stage])
        if not len(steps):
            continue
        x = MARGIN + steps / last * (WIDTH - MARGIN - 8)
        y = top + HEIGHT - 8 - np.minimum(values / highest, 1.05) * (HEIGHT - 30)
        parts.append(polyline(x, y, color, 1, 0.35))
        if len(y) >= SMOOTHED:
            kernel, edge = np.ones(SMOOTHED) / SMOOTHED, SMOOTHED // 2
            parts.append(polyline(x[edge:-edge], np.convolve(y, kernel, "valid"), color, 2.2, 1))
    return parts


def main() -> None:
    """Write the picture."""
    with LOG.open(newline="") as file:
        rows = list(csv.DictReader(file))
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    parts = [part for i, loss in enumerate(LOSSES) for part in panel(rows, loss, i * HEIGHT)]
    bottom = len(LOSSES) * HEIGHT + 18
    for i, (stage, color) in enumerate(zip(stages, cycle(COLORS), strict=False)):
        x, y = MARGIN + (WIDTH - MARGIN) // A_ROW * (i % A_ROW), bottom + LINE * (i // A_ROW)
        parts.append(f'<text x="{x}" y="{y}" font-size="12" fill="{color}">{stage}</text>')
    last = f"step 0 to {rows[-1]['total']}"
    lowest = bottom + LINE * ((len(stages) - 1) // A_ROW)
    parts.append(f'<text x="{WIDTH - 8}" y="{lowest}" font-size="12" text-anchor="end">{last}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {lowest + 12}"'
    style = f'font-family="sans-serif"><rect width="{WIDTH}" height="{lowest + 12}" fill="white"/>'
    (HERE / "nano_curves.svg").write_text("\n".join([f"{head} {style}", *parts, "</svg>\n"]))


if __name__ == "__main__":
    main()
