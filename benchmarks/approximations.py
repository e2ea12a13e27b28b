"""What approximations cost in J and gain in time, on sets that nano was not trained on.

    python benchmarks/approximations.py --data FOLDER [--model nano] [--threads 2] [--write]

FOLDER is as for ``nano_evaluation.py``. Every object is tracked from its ground truth mask on its first
frame: exactly, and with each approximation. Counted is processor time, which other work on the machine
changes least. ``--write`` writes ``benchmarks/results/approximations.md``.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import nano_evaluation
import numpy as np
import scenes
import torch

from sam2_engine import load_model
from sam2_engine.evaluation import LabeledSequence, read_sequence
from sam2_engine.evaluation.scores import mean_over_objects, score_masks
from sam2_engine.evaluation.video_protocol import first_frames, frames_after, track_objects
from sam2_engine.modeling.approximations import APPROXIMATIONS, FAST, approximations_of
from sam2_engine.modeling.sam2 import Sam2

RESULTS = Path(__file__).parent / "results" / "approximations.md"
SMALL_OBJECTS, CLIP = 10, 24
"""Objects and frames of the drawn scenes of small objects."""


def small_objects(number: int) -> LabeledSequence:
    """Draw textured discs of 20 to 50 pixels that wander over 512 x 512 noisy pixels and meet each other."""
    random = np.random.default_rng([7, number])
    y, x = np.mgrid[:512, :512]
    ground = 90 + 30 * np.sin(x / random.uniform(8, 30)) + 30 * np.cos(y / random.uniform(8, 30))
    radii, levels = random.uniform(10, 25, SMALL_OBJECTS), random.uniform(0, 255, (SMALL_OBJECTS, 3))
    places, steps = random.uniform(40, 472, (SMALL_OBJECTS, 2)), random.normal(0, 5, (SMALL_OBJECTS, 2))
    frames, labels = np.zeros((CLIP, 512, 512, 3), np.uint8), np.zeros((CLIP, 512, 512), np.uint8)
    for t in range(CLIP):
        picture = np.repeat(ground[..., None], 3, 2)
        for i in range(SMALL_OBJECTS):
            inside = np.hypot(x - places[i, 0], y - places[i, 1]) < radii[i]
            picture[inside] = levels[i] + 15 * np.sin(x[inside] / 3 + i)[:, None]
            labels[t][inside] = i + 1
        frames[t] = (picture + random.normal(0, 8, picture.shape)).clip(0, 255)
        steps += random.normal(0, 1, steps.shape)
        steps[(places + steps < 30) | (places + steps > 482)] *= -1
        places += steps
    return nano_evaluation.in_memory(f"small objects {number}", frames, labels)


def sets(data: Path) -> Iterator[tuple[str, list[LabeledSequence]]]:
    """Yield names and sequences."""
    yield (
        "chair, a large object",
        [read_sequence(data / "pumavos_chair" / "JPEGImages", data / "pumavos_chair" / "Annotations")],
    )
    yield "T98G cells", [read_sequence(data / "usiigaci_T98G" / "img", data / "usiigaci_T98G" / "id_masks")]
    yield "drawn scenes", list(nano_evaluation.unseen_scenes())
    yield "small drawn objects", [small_objects(number) for number in range(4)]


def measure(model: Sam2, sequences: list[LabeledSequence], names: str | None) -> tuple[float, float]:
    """Return mean J over objects and processor seconds of a tracked frame."""
    model.approximations = approximations_of(names)
    scores, seconds, frames = [], 0.0, 0
    for number, sequence in enumerate(sequences):
        starts = {i: frame for i, frame in first_frames(sequence).items() if frame == 0}
        begin = time.process_time()
        masks = track_objects(model, sequence, "mask", starts=starts)
        seconds, frames = seconds + time.process_time() - begin, frames + len(sequence.frames)
        scores += score_masks(sequence, masks, frames_after(sequence, starts, skip_last=False), number)
    return mean_over_objects(scores, lambda score: score.j), seconds / frames


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="only sets with this in their names")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = load_model(arguments.model, device="cpu")
    modes = [*APPROXIMATIONS, FAST] if len(APPROXIMATIONS) > 1 else [FAST]
    lines = [
        "# What approximations cost and gain",
        "",
        f"{arguments.model}, {arguments.threads} thread(s), J over objects and processor seconds a frame. "
        f"{scenes.provenance()}.",
        "",
        f"| set | objects | exact: J | s | {' | '.join(f'{name}: J | s | times' for name in modes)} |",
        f"| --- | --- | --- | --- |{' --- | --- | --- |' * len(modes)}",
    ]
    print(*lines, sep="\n")
    for name, sequences in sets(arguments.data):
        if arguments.only not in name:
            continue
        objects = sum(sum(f == 0 for f in first_frames(s).values()) for s in sequences)
        j, seconds = measure(model, sequences, None)
        cells = [f"{j:.3f} | {seconds:.3f}"]
        for mode in modes:
            rough_j, rough_seconds = measure(model, sequences, mode)
            cells.append(f"{rough_j:.3f} | {rough_seconds:.3f} | {seconds / rough_seconds:.1f}")
        lines.append(f"| {name} | {objects} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    if arguments.write:
        RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
