"""Which frame next? Simulated annotators who choose frames to correct by different rules.

    OMP_NUM_THREADS=1 python benchmarks/masklets/next_frame.py --data FOLDER --runs FOLDER [--fit]

The data folder is that of ``nano_evaluation.py``. An annotator clicks on an object on its first frame,
tracks, then looks at one frame after the other, corrects it where it must be, and tracks again; only which
frame is next differs. Writes ``benchmarks/results/review/masklets.md``. Runs are saved and read again.
``--fit``: other scenes, and more rules.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise, zip_longest
from pathlib import Path

import numpy as np
import torch

BENCHMARKS = Path(__file__).parents[1]
sys.path += [str(BENCHMARKS), str(BENCHMARKS / "review")]

from annotator import GOOD, RIGHT, Annotator, State  # noqa: E402
from scenes import provenance, write_section  # noqa: E402
from tracks import (  # noqa: E402
    CELL_STYLES,
    FIT_SEED,
    TEST_SEED,
    THING_STYLES,
    cells,
    chair,
    in_memory,
    lesion,
)

from sam2_engine.evaluation import LabeledSequence  # noqa: E402
from sam2_engine.evaluation.metrics import mask_iou  # noqa: E402
from sam2_engine.feature_cache import FeatureCache  # noqa: E402
from sam2_engine.synthetic.scenes import random_scene  # noqa: E402
from sam2_engine.wording import counted  # noqa: E402
from sam2_plugins.runtime.model_store import ModelStore  # noqa: E402

CORRECTIONS = 4
REACH = 8.0
"""Frames over which what a correction mends falls to a third, for the rule that asks."""
FRAMES, SIZE = 20, 320
OBJECTS = 1
"""Objects of each synthetic scene; twice as many of a part of T98G, eight times of C2C12."""
MODEL = "nano@320"
SMALLEST = 64
PAGE = BENCHMARKS / "results" / "review" / "masklets.md"
OURS = "most doubtful"
HEADING = f"""\
By `benchmarks/masklets/next_frame.py`, {MODEL}. A simulated annotator clicks three times on an
object on its first frame (centers of the error), tracks, and then looks at one frame after the
other, {{how}}; then everything is tracked again. Only which frame is next differs. J&F over all
frames in percent. *Uniform*: the frame farthest from all settled ones. *Lowest confidence*:
presence times predicted IoU. *Most doubtful*: the highest score of the review, the
rule of `sam2_plugins/review/next_frame.py`; others weigh the doubt by what is around it. Differences
are means over all numbers of frames; in brackets, what 90 % of the means of resampled objects lie
within."""
HOW = {
    True: "and clicks three times on it, however good its mask is",
    False: f"confirms a mask with an IoU of {RIGHT}, corrects any other by three clicks, and paints it if "
    f"its IoU stays below {GOOD}",
}
"""What the annotator does, by whether it always clicks."""

Rule = Callable[[State], dict[int, float]]


# ---------------------------------------------------------------------- rules: the largest value is next


def uniform(state: State) -> dict[int, float]:
    return {frame: distance(state, frame) for frame in state.open_frames}


def least_confident(state: State) -> dict[int, float]:
    return {frame: -state.confidences[frame] for frame in state.open_frames}


def most_doubtful(state: State) -> dict[int, float]:
    return {frame: state.doubts[frame] for frame in state.open_frames}


def most_gain(state: State, reach: float = REACH) -> dict[int, float]:
    """Doubt times the doubts around it, which fade, up to the next settled frame."""
    return {
        frame: state.doubts[frame]
        * sum(
            doubt * math.exp(-abs(near - frame) / reach)
            for near, doubt in state.doubts.items()
            if near in gap(state, frame)
        )
        for frame in state.open_frames
    }


def doubt_and_distance(state: State, power: float) -> dict[int, float]:
    return {frame: state.doubts[frame] * distance(state, frame) ** power for frame in state.open_frames}


def doubt_and_gap(state: State, power: float) -> dict[int, float]:
    return {frame: state.doubts[frame] * len(gap(state, frame)) ** power for frame in state.open_frames}


def doubt_onward(state: State, power: float) -> dict[int, float]:
    """By how many frames lie between it and the next settled one, which are tracked from it."""
    return {
        frame: state.doubts[frame] * (gap(state, frame).stop - frame) ** power for frame in state.open_frames
    }


def doubt_around(state: State, share: float = 0.5) -> dict[int, float]:
    """Doubt, and a share of the doubts on both sides: a stretch before a single frame."""
    doubts = state.doubts
    return {
        frame: doubts[frame] + share * (doubts.get(frame - 1, 0) + doubts.get(frame + 1, 0)) / 2
        for frame in state.open_frames
    }


def doubt_and_confidence(state: State) -> dict[int, float]:
    """Mean of the two ranks."""
    ranks = [
        {frame: rank for rank, frame in enumerate(sorted(values, key=lambda one: values[one]))}
        for values in (most_doubtful(state), least_confident(state))
    ]
    return {frame: ranks[0][frame] + ranks[1][frame] for frame in state.open_frames}


def doubt_times_unsure(state: State) -> dict[int, float]:
    return {frame: state.doubts[frame] * (1 - state.confidences[frame]) for frame in state.open_frames}


def worst(state: State) -> dict[int, float]:
    """The frame that is worst in truth, which no rule can know."""
    return {frame: -state.ious[frame] for frame in state.open_frames}


def distance(state: State, frame: int) -> int:
    return min(abs(frame - other) for other in state.settled)


def gap(state: State, frame: int) -> range:
    """Return the frames around one up to the next settled ones."""
    low = max((one for one in state.settled if one < frame), default=-1)
    high = min((one for one in state.settled if one > frame), default=max(state.doubts) + 1)
    return range(low + 1, high)


RULES: dict[str, Rule] = {
    "uniform": uniform,
    "lowest confidence": least_confident,
    "most doubtful": most_doubtful,
    "doubt and its neighbors": doubt_around,
    "doubt times doubts around": most_gain,
}
TRIED: dict[str, Rule] = {
    "distance^0.25": partial(doubt_and_distance, power=0.25),
    "distance^0.5": partial(doubt_and_distance, power=0.5),
    "distance": partial(doubt_and_distance, power=1.0),
    "gap^0.5": partial(doubt_and_gap, power=0.5),
    "onward^0.5": partial(doubt_onward, power=0.5),
    "gain, reach 2": partial(most_gain, reach=2.0),
    "two ranks": doubt_and_confidence,
    "doubt x unsure": doubt_times_unsure,
    "worst in truth": worst,
}


# ---------------------------------------------------------------------- clips


def scene(seed: int, number: int, style: str) -> LabeledSequence:
    clip = random_scene([seed, 100 + number], FRAMES, SIZE, style)
    return in_memory(style, (np.clip(clip.frames, 0, 1) * 255).round().astype(np.uint8), clip.labels)


def part(sequence: LabeledSequence, frames: slice, rows: slice, columns: slice) -> LabeledSequence:
    """Return some frames, rows and columns of a sequence."""
    numbers = range(len(sequence.frames))[frames]
    pixels = np.stack([sequence.frames[f][rows, columns] for f in numbers])
    labels = np.zeros(pixels.shape[:3], np.int32)
    for one in sequence.ground_truth:
        for number, f in enumerate(numbers):
            labels[number][sequence.mask(one, f)[rows, columns]] = one
    return in_memory(sequence.name, pixels, labels)


def linked(data: Path) -> LabeledSequence:
    """Return C2C12 cells, labeled frame by frame, as objects: linked where they overlap most."""
    with np.load(data / "c2c12_laptrack" / "data_small.npz") as stack:
        images, labels = stack["images"], stack["labels"].astype(np.int32)
    objects = np.zeros_like(labels)
    for first in (one for one in np.unique(labels[0]) if one):
        track = [labels[0] == first]
        for image in labels[1:]:
            there = np.bincount(image[track[-1]], minlength=1)
            there[0] = 0
            track.append(image == there.argmax() if there.max() else np.zeros(image.shape, bool))
        overlaps = [mask_iou(one, other) for one, other in pairwise(track)]
        if min(overlaps) > 0.3:  # seen on all frames, and not divided
            objects[np.stack(track)] = first
    return in_memory("c2c12", images, objects)


def clips(data: Path, fit: bool) -> dict[str, list[tuple[str, Callable[[], LabeledSequence], int]]]:
    """Return by set: clips with names, and how many objects of each."""
    seed = FIT_SEED if fit else TEST_SEED
    sets = {
        name: [
            (f"{seed}-{n}-{style}", partial(scene, seed, n, style), OBJECTS)
            for n, style in enumerate(styles, first)
        ]
        for name, styles, first in (
            ("synthetic cells", CELL_STYLES, 0),
            ("synthetic things", THING_STYLES, 6),
        )
    }
    if fit:
        return {
            "c2c12": [("c2c12", partial(linked, data), 8 * OBJECTS)],
            "ct_lesion": [("lesion", lambda: part(lesion(data), slice(5, 12), *[slice(None)] * 2), 1)],
            **sets,
        }
    everything, quarters = slice(None), (slice(0, 400), slice(500, 900))
    return {
        "pumavos_chair": [
            (f"chair-{s}", lambda s=s: part(chair(data), slice(s, s + FRAMES), everything, everything), 1)
            for s in (0, 12, 24, 36)
        ],
        "usiigaci_T98G": [
            (f"cells-{y.start}-{x.start}", lambda y=y, x=x: part(cells(data), everything, y, x), 2 * OBJECTS)
            for y in quarters
            for x in quarters
        ],
        **sets,
    }


def objects_of(sequence: LabeledSequence, most: int) -> list[int]:
    large = [
        i
        for i in sequence.ground_truth
        if sequence.first_frame(i) == 0 and sequence.mask(i, 0).sum() >= SMALLEST
    ]
    return large[:: max(1, -(-len(large) // most))]


def run(annotator: Annotator, rule: Rule) -> list[float]:
    state = annotator.state((annotator.first,))
    scores = [state.j_and_f]
    for _ in range(CORRECTIONS):
        values = rule(state)
        if not values:
            break
        state = annotator.state((*state.settled, max(sorted(values), key=lambda frame: values[frame])))
        scores.append(state.j_and_f)
    return scores + [scores[-1]] * (CORRECTIONS + 1 - len(scores))


def runs(
    data: Path, folder: Path, rules: dict[str, Rule], fit: bool, more: bool = True
) -> dict[str, dict[str, np.ndarray]]:
    """Return by set and rule (objects, corrections + 1) J&F; sets take turns."""
    folder.mkdir(parents=True, exist_ok=True)
    store, sets = ModelStore("cpu"), clips(data, fit)
    found: dict = {name: {rule: [] for rule in rules} for name in sets}
    for turn in zip_longest(*([(name, one) for one in listed] for name, listed in sets.items())):
        for name, (clip, make, most) in filter(None, turn):
            path = folder / f"{clip}.json"
            known = json.loads(path.read_text()) if path.exists() else {}
            if set(known) < set(rules) and not more:
                continue
            if set(known) < set(rules):
                sequence, cache = make(), FeatureCache(2 * 2**30)
                people = [Annotator(sequence, i, store, MODEL, cache) for i in objects_of(sequence, most)]
                for rule in (one for one in rules if one not in known):
                    known[rule] = [run(one, rules[rule]) for one in people]
                    means, seconds = np.mean(known[rule], 0).round(3), time.process_time()
                    print(clip, rule, means, f"{seconds:.0f} s", flush=True)
                path.write_text(json.dumps(known))
            for rule in rules:
                found[name][rule] += known[rule]
    return {name: {rule: np.array(rows) for rule, rows in by.items()} for name, by in found.items()}


# ---------------------------------------------------------------------- the page


def difference(one: np.ndarray, other: np.ndarray) -> str:
    """Mean difference over all corrections, and what 90 % of means of resampled objects lie within."""
    gaps = (one[:, 1:] - other[:, 1:]).mean(1)
    drawn = np.random.default_rng(0).choice(gaps, (4000, len(gaps))).mean(1)
    low, high = np.quantile(drawn, (0.05, 0.95))
    return f"{gaps.mean() * 100:+.2f} ({low * 100:+.2f} to {high * 100:+.2f})"


def table(found: dict[str, dict[str, np.ndarray]]) -> list[str]:
    """Return J&F by set, rule and number of corrections, and the differences to two rules."""
    columns = " | ".join(f"{number} corrections" for number in range(1, CORRECTIONS + 1))
    first = f"| set | next frame | none | {columns} | mean of these |"
    lines = [first.replace("1 corrections", "1 correction"), "|---|---|" + "---|" * (CORRECTIONS + 2)]
    for name, by_rule in found.items():
        count = len(next(iter(by_rule.values())))
        for rule, rows in by_rule.items():
            means = rows.mean(0) * 100
            cells = " | ".join(f"{value:.1f}" for value in means)
            lines.append(
                f"| {name} ({counted(count, 'object')}) | {rule} | {cells} | {means[1:].mean():.2f} |"
            )
    return lines


def comparison(found: dict[str, dict[str, np.ndarray]]) -> list[str]:
    lines = [f"| {OURS}, less ... | {' | '.join(found)} |", "|---|" + "---|" * len(found)]
    for other in (rule for rule in next(iter(found.values())) if rule != OURS):
        gaps = [difference(rows[OURS], rows[other]) for rows in found.values()]
        lines.append(f"| {other} | {' | '.join(gaps)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--always-click", action="store_true", help="never confirm, never paint")
    parser.add_argument("--rules", help="some of the rules, with commas between")
    parser.add_argument("--so-far", action="store_true", help="write what was run already, and run no more")
    options = parser.parse_args()
    torch.set_num_threads(1)
    Annotator.always_clicks = options.always_click
    rules = {**RULES, **TRIED} if options.fit else RULES
    if options.rules:
        rules = {name: rules[name] for name in options.rules.split(",")}
    found = runs(options.data, options.runs, rules, options.fit, more=not options.so_far)
    found = {name: by_rule for name, by_rule in found.items() if len(by_rule[OURS])}
    every = {rule: np.concatenate([rows[rule] for rows in found.values()]) for rule in rules}
    lines = [*table(found), "", *comparison({**found, "all objects": every})]
    if options.fit:
        print("\n".join(lines))
    else:
        heading = HEADING.format(how=HOW[options.always_click])
        name = "Which frame next, always clicked on" if options.always_click else "Which frame next"
        write_section(PAGE, "The data engine", name, [heading, "", *lines, "", f"({provenance()})"])


if __name__ == "__main__":
    main()
