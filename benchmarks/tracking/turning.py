"""Two that meet and turn back: how often their courses say wrongly that they were exchanged.

    python benchmarks/tracking/turning.py [--seeds N]

Courses are those of the true masks, so that nothing but the rule is measured; beside them, the pairs of the
scenes "crossing", which pass each other.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import scenarios

from sam2_engine.evaluation import LabeledSequence
from sam2_engine.video.crossings import Sighting
from sam2_engine.video.identities import watch
from sam2_engine.video.memory_policies.policy import FrameNote
from sam2_engine.video.settlement import Overlapping

NEAREST = (0.9, 0.6, 0.3, 0.2, 0.1, 0.0)
"""How near they come before they turn back: half the distance of their centers, in their half sides."""


def exchanges(sequence: LabeledSequence) -> int:
    """Return how many pairs the rule would exchange, of objects that are tracked without a fault."""
    before: dict[int, FrameNote | None] = dict.fromkeys(sequence.ground_truth)
    plain, count = FrameNote(1.0, 10.0, 1, (0.0, 0.0, 1.0, 1.0)), 0
    for frame in range(len(sequence.frames)):
        seen: dict[int, Sighting | None] = {}
        for object_id in sequence.ground_truth:
            rows, columns = np.nonzero(sequence.mask(object_id, frame))
            there = (
                Sighting(frame, float(columns.mean()), float(rows.mean()), float(len(rows)))
                if len(rows)
                else None
            )
            seen[object_id] = there
        notes = watch(dict.fromkeys(sequence.ground_truth, plain), before, seen, frame, 1, Overlapping(False))
        count += sum(note.exchanged is not None for note in notes.values()) // 2
        before = {**notes}
    return count


def main() -> None:
    """Print how many of the pairs are exchanged."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=12)
    seeds = range(parser.parse_args().seeds)
    for nearest in NEAREST:
        count = sum(exchanges(scenarios.turning(seed, nearest)) for seed in seeds)
        print(f"turn back at {nearest}: {count} of {2 * len(seeds)} exchanged", flush=True)
    print(
        f"pass each other: {sum(exchanges(scenarios.crossing(seed)) for seed in seeds)} of {2 * len(seeds)}"
    )


if __name__ == "__main__":
    main()
