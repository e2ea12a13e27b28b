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
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

BENCHMARKS = Path(__file__).parents[1]
sys.path += [str(BENCHMARKS), str(BENCHMARKS / "review")]

from scenes import provenance, write_section  # noqa: E402
from tracks import CELL_STYLES, FIT_SEED, TEST_SEED, THING_STYLES, cells, chair, in_memory  # noqa: E402

from sam2_engine.evaluation import LabeledSequence  # noqa: E402
from sam2_engine.evaluation.metrics import boundary_f, mask_iou  # noqa: E402
from sam2_engine.evaluation.simulated_user import error_click  # noqa: E402
from sam2_engine.feature_cache import FeatureCache  # noqa: E402
from sam2_engine.prompts import Prompt  # noqa: E402
from sam2_engine.synthetic.scenes import random_scene  # noqa: E402
from sam2_engine.wording import counted  # noqa: E402
from sam2_plugins.review import Review  # noqa: E402
from sam2_plugins.review.next_frame import expected_gains  # noqa: E402
from sam2_plugins.runtime.model_store import ModelStore  # noqa: E402
from sam2_plugins.session.annotation_session import AnnotationSession  # noqa: E402

CORRECTIONS, CLICKS = 4, 3
RIGHT, GOOD = 0.9, 0.75
"""IoU from which a mask needs no correction, and from which clicks have corrected it."""
FRAMES, SIZE = 20, 320
OBJECTS = 1
"""Objects of each synthetic scene; twice as many of a part of T98G."""
MODEL = "nano@320"
SMALLEST = 64
PAGE = BENCHMARKS / "results" / "review" / "masklets.md"
OURS = "expected gain"
HEADING = f"""\
By `benchmarks/masklets/next_frame.py`, {MODEL}. A simulated annotator clicks three times on an
object on its first frame (centers of the error), tracks, and then looks at one frame after the
other, {{how}}; then everything is tracked again. Only which frame is next differs. J&F over all
frames in percent. *Uniform*: the frame farthest from all settled ones. *Lowest confidence*:
presence times predicted IoU. *Most doubtful*: the highest score of the review. *Expected gain*:
`sam2_plugins/review/next_frame.py`; its form and its reach of 8 frames were settled before anything
was measured on these sets. Differences are means over all numbers of frames; in brackets, what 90 %
of the means of resampled objects lie within."""
HOW = {
    True: "and clicks three times on it, however good its mask is",
    False: f"confirms a mask with an IoU of {RIGHT}, corrects any other by three clicks, and paints it if "
    f"its IoU stays below {GOOD}",
}
"""What the annotator does, by whether it always clicks."""

Rule = Callable[["Annotator"], dict[int, float]]


class Annotator:
    """One object of a clip, corrected frame by frame."""

    always_clicks = False

    def __init__(
        self, sequence: LabeledSequence, object_id: int, store: ModelStore, cache: FeatureCache
    ) -> None:
        self.sequence, self.object_id = sequence, object_id
        self.first = sequence.first_frame(object_id)
        self.session = AnnotationSession(sequence.frames, store, MODEL, cache=cache)
        self.id = self.session.add_object()
        self.settled: list[int] = []
        self.correct(self.first)

    @property
    def frames(self) -> list[int]:
        return [f for f in self.sequence.known_frames(self.object_id) if f >= self.first]

    def correct(self, frame: int) -> None:
        """Confirm a mask that is right; else click, and paint it if clicks do not make it good."""
        truth = self.sequence.mask(self.object_id, frame)
        if self.always_clicks:
            self.click(frame, truth)
        elif frame != self.first and mask_iou(self.mask(frame), truth) >= RIGHT:
            self.session.verify(self.id, [frame])
        else:
            self.click(frame, truth)
            if mask_iou(self.mask(frame), truth) < GOOD:
                self.session.add_prompt(frame, self.id, Prompt.of(truth.shape, mask=truth), replace=True)
        self.settled.append(frame)
        self.session.propagate([self.id], start=self.first)

    def click(self, frame: int, truth: np.ndarray) -> None:
        for _ in range(CLICKS):
            click = error_click(self.mask(frame), truth)
            if click is None:
                break
            self.session.add_points(frame, self.id, [click[0]], [click[1]])

    def j_and_f(self) -> float:
        scores = []
        for frame in self.frames:
            mask = self.mask(frame)
            truth = self.sequence.mask(self.object_id, frame)
            scores.append((mask_iou(mask, truth) + boundary_f(mask, truth)) / 2)
        return float(np.mean(scores))

    def mask(self, frame: int) -> np.ndarray:
        mask = self.session.mask(self.id, frame)
        return np.zeros(self.sequence.frames.shape, bool) if mask is None else mask

    def open_frames(self) -> list[int]:
        return [frame for frame in self.frames if frame not in self.settled]

    def doubts(self) -> dict[int, float]:
        masks = {self.id: self.session.annotations.masks_of(self.id)}
        return {item.frame: item.score for item in Review().review_items(masks)}


# ---------------------------------------------------------------------- rules: the largest value is next


def uniform(one: Annotator) -> dict[int, float]:
    return {frame: min(abs(frame - other) for other in one.settled) for frame in one.open_frames()}


def least_confident(one: Annotator) -> dict[int, float]:
    values = {}
    for frame in one.open_frames():
        accepted = one.session.accepted(one.id, frame)
        scores = accepted.scores
        values[frame] = -(
            1 - scores.presence if accepted.mask.is_empty else scores.presence * scores.predicted_iou
        )
    return values


def most_doubtful(one: Annotator) -> dict[int, float]:
    doubts = one.doubts()
    return {frame: doubts[frame] for frame in one.open_frames()}


def most_gain(one: Annotator, reach: float | None = None) -> dict[int, float]:
    return expected_gains(one.doubts(), one.settled, **({} if reach is None else {"reach": reach}))


def doubt_sum(one: Annotator, reach: float) -> dict[int, float]:
    doubts, last = one.doubts(), {}
    for frame in one.open_frames():
        low = max((s for s in one.settled if s < frame), default=-1)
        high = min((s for s in one.settled if s > frame), default=math.inf)
        last[frame] = sum(d * math.exp(-abs(f - frame) / reach) for f, d in doubts.items() if low < f < high)
    return last


def forward_gain(one: Annotator, reach: float, product: bool = True) -> dict[int, float]:
    doubts, gains = one.doubts(), {}
    for frame in one.open_frames():
        high = min((s for s in one.settled if s > frame), default=math.inf)
        mass = sum(d * math.exp(-(f - frame) / reach) for f, d in doubts.items() if frame <= f < high)
        gains[frame] = mass * (doubts[frame] if product else 1)
    return gains


RULES: dict[str, Rule] = {
    "uniform": uniform,
    "lowest confidence": least_confident,
    "most doubtful": most_doubtful,
    "doubt in reach": partial(doubt_sum, reach=8),
    "expected gain": most_gain,
}
TRIED: dict[str, Rule] = {
    "forward gain 8": partial(forward_gain, reach=8),
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
        return sets
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


def run(
    sequence: LabeledSequence, object_id: int, rule: Rule, store: ModelStore, cache: FeatureCache
) -> list:
    one = Annotator(sequence, object_id, store, cache)
    scores = [one.j_and_f()]
    for _ in range(CORRECTIONS):
        values = rule(one)
        if not values:
            break
        one.correct(max(sorted(values), key=lambda frame: values[frame]))
        scores.append(one.j_and_f())
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
                for rule in (one for one in rules if one not in known):
                    known[rule] = [
                        run(sequence, i, rules[rule], store, cache) for i in objects_of(sequence, most)
                    ]
                    print(
                        clip,
                        rule,
                        np.mean(known[rule], 0).round(3),
                        f"{time.process_time():.0f} s",
                        flush=True,
                    )
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
