"""Differences of the engine from the official package and from transformers: one table.

Same seeded weights, same pixels, float32, CPU: the cases of ``tests/engine/parity``. Writes
``benchmarks/results/exactness.md``.

    python benchmarks/exactness.py [--full-size]
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "engine" / "parity"))

import test_parity_official as official  # noqa: E402
import test_parity_transformers as transformers  # noqa: E402
from parity_compare import IOU, RELATIVE, Difference  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "exactness.md"
TINY = "sam2.1_hiera_tiny"
HEAD = (
    "| compared with | model | input | case | logits, largest difference | score | mask IoU | same absent |\n"
    "|---|---|---|---|---|---|---|---|"
)

Row = tuple[str, str, int, str, Difference]


def rows(full_size: bool) -> Iterator[Row]:
    """Yield one row per case and propagation."""
    for variant, case in (parameter.values for parameter in official.VIDEOS):
        for name, apart in official.video_differences(variant, case):
            yield "sam2 1.1.0", variant, official.VIDEO_SIZE, f"video: {name}", apart
    for name, apart in official.image_differences(TINY):
        yield "sam2 1.1.0", TINY, 1024, f"image: {name}", apart
    for size in (256, 1024) if full_size else (256,):
        for name, apart in transformers.image_differences(TINY, size).items():
            yield "transformers", TINY, size, f"image: {name}", apart
        for case in transformers.VIDEOS:
            for name, apart in transformers.video_differences(TINY, size, case).items():
                yield "transformers", TINY, size, f"video: {name}", apart


def line(row: Row) -> str:
    """Format one row of the table."""
    peer, variant, size, name, apart = row
    return (
        f"| {peer} | {variant} | {size} | {name} | {apart.relative:.1e} | {apart.score:.1e} "
        f"| {apart.iou:.5f} | {'yes' if apart.same_absent else 'NO'} |"
    )


def main() -> None:
    """Measure, print as it goes, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full-size", action="store_true", help="transformers at an input size of 1024 too")
    full_size = parser.parse_args().full_size
    lines = [HEAD]
    print(HEAD)
    for row in rows(full_size):
        lines.append(line(row))
        print(lines[-1], flush=True)
    note = (
        "# Exactness\n\nDifferences of low-resolution logits are shares of the same mask's largest logit "
        f"(allowed: {RELATIVE:.0e}); IoU is of masks at frame size (allowed: {IOU}); score is the presence "
        "probability in videos, the predicted IoU on images. Each cell is the worst mask of its case.\n\n"
    )
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(note + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
