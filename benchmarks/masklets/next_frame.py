"""Which frame next: J&F against the number of corrections of simulated annotators.

On real and synthetic videos, one object of each. An annotator clicks on it on its first frame,
tracks, then looks at one frame after the other, corrects it where it must be, and tracks again; only which
frame is next differs. Writes ``benchmarks/results/review/masklets.md``. Runs are saved and read again.
``--fit``: other scenes, and more rules.
"""

import argparse
import json
import sys
import time
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

BENCHMARKS = Path(__file__).parents[1]
sys.path += [str(BENCHMARKS), str(BENCHMARKS / "review")]

from annotator import GOOD, RIGHT, Annotator  # noqa: E402
from next_frame_clips import clips  # noqa: E402
from next_frame_rules import OURS, RULES, TRIED, Rule  # noqa: E402
from scenes import provenance, write_section  # noqa: E402

from sam2_engine.feature_cache import FeatureCache  # noqa: E402
from sam2_engine.wording import counted  # noqa: E402
from sam2_plugins.runtime.model_store import ModelStore  # noqa: E402

CORRECTIONS = 4
MODEL = "nano@320"
PAGE = BENCHMARKS / "results" / "review" / "masklets.md"
HEADING = f"""\
By `benchmarks/masklets/next_frame.py`, {MODEL}. A simulated annotator clicks three times on an
object on its first frame (centers of the error), tracks, and then looks at one frame after the
other, {{how}}; then everything is tracked again. Only which frame is next differs. J&F over all
frames in percent. *Uniform*: the frame farthest from all settled ones. *Lowest confidence*:
presence times predicted IoU. *Most doubtful*: the highest score of the review, the
rule of `sam2_plugins/review/next_frame.py`. One object of each clip; the chair's clips overlap by
half, those of T98G show one cell each, and of each set those that were run are by chance. Differences
are means over all numbers of frames; in brackets, what 90 % of the means of resampled objects lie
within."""
HOW = {
    True: "and clicks three times on it, however good its mask is",
    False: f"confirms a mask with an IoU of {RIGHT}, corrects any other by three clicks, and paints it if "
    f"its IoU stays below {GOOD}",
}
"""What the annotator does, by whether it always clicks."""


# ---------------------------------------------------------------------- the annotators


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
        for name, (clip, make) in filter(None, turn):
            path = folder / f"{clip}.json"
            known = json.loads(path.read_text()) if path.exists() else {}
            missing = [rule for rule in rules if rule not in known]
            if missing and not more:
                continue
            if missing:
                sequence = make()
                for object_id in sequence.ground_truth:
                    person = Annotator(sequence, object_id, store, MODEL, FeatureCache(2 * 2**30))
                    known |= {rule: run(person, rules[rule]) for rule in missing}
                aside = path.with_suffix(".new")
                aside.write_text(json.dumps(known))
                aside.replace(path)
                means = {rule: round(float(np.mean(known[rule][1:])), 3) for rule in known}
                print(clip, means, f"{time.process_time():.0f} s", flush=True)
            for rule in rules if known else ():
                found[name][rule].append(known[rule])
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
