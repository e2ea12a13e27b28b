"""What tells beforehand how much the correction of a frame gains: signals of each, beside what it gained.

An object is corrected on its first frame, every other one also on its most doubtful frame. Then some
frames are corrected in its place, each for itself, and all is tracked again. On development clips only:
forms of rules are chosen by this. Runs are saved and read again.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

BENCHMARKS = Path(__file__).parents[1]
sys.path += [str(BENCHMARKS), str(BENCHMARKS / "review")]

from annotator import Annotator  # noqa: E402
from cycles import agreement  # noqa: E402
from next_frame_clips import clips  # noqa: E402
from scipy.stats import spearmanr  # noqa: E402

from sam2_engine import load_model  # noqa: E402
from sam2_engine.feature_cache import FeatureCache  # noqa: E402
from sam2_plugins.runtime.model_store import ModelStore  # noqa: E402

MODEL = "nano@320"
CANDIDATES = 6
"""Frames of an object, evenly spread, that are corrected, each for itself."""

Values = np.ndarray
Signal = Callable[[dict], Values]


# ---------------------------------------------------------------------- what is measured


def measure(annotator: Annotator, model: object, cache: FeatureCache, more: bool) -> dict:
    """Return signals and gains of some frames, after one correction or (``more``) two."""
    path = (annotator.first,)
    state = annotator.state(path)
    if more:
        path = (*path, max(state.open_frames, key=lambda frame: state.doubts[frame]))
        state = annotator.state(path)
    masks = {frame: annotator.mask(frame) for frame in annotator.frames}
    step = max(1, len(state.open_frames) // CANDIDATES)
    chosen = state.open_frames[(len(path) - 1) % step :: step]
    agrees = agreement(model, annotator.sequence.frames, masks, {*chosen, *path}, cache)
    return {
        "settled": path,
        "frames": chosen,
        "last": annotator.frames[-1],
        "doubt": [state.doubts[frame] for frame in chosen],
        "confidence": [state.confidences[frame] for frame in chosen],
        "iou": [state.ious[frame] for frame in chosen],
        "agreement": [(*pair, value) for pair, value in agrees.items()],
        "gain": [annotator.state((*path, frame)).j_and_f - state.j_and_f for frame in chosen],
    }


def measured(data: Path, folder: Path) -> list[dict]:
    """Measure all development clips, or read what was measured before."""
    folder.mkdir(parents=True, exist_ok=True)
    store, model = ModelStore("cpu"), load_model("nano", image_size=320)
    found = []
    for number, (clip, make) in enumerate(one for listed in clips(data, True).values() for one in listed):
        path = folder / f"{clip}.json"
        if not path.exists():
            sequence, cache = make(), FeatureCache(2 * 2**30)
            for object_id in sequence.ground_truth:
                annotator = Annotator(sequence, object_id, store, MODEL, cache)
                path.write_text(json.dumps(measure(annotator, model, cache, number % 2 == 1)))
        found += [json.loads(path.read_text())] if path.exists() else []
    return found


# ---------------------------------------------------------------------- signals


def cycle(one: dict) -> Values:
    """Return how far the track from a frame alone misses the mask of the nearest settled frame."""
    agrees = {(origin, frame): value for origin, frame, value in one["agreement"]}
    nearest = [min(one["settled"], key=lambda other: abs(other - frame)) for frame in one["frames"]]
    return np.array([1 - agrees.get(pair, 0.0) for pair in zip(one["frames"], nearest)])


def from_settled(one: dict) -> Values:
    """Return how far the tracks from single settled frames miss the mask of a frame."""
    agrees = {(origin, frame): value for origin, frame, value in one["agreement"]}
    settled = one["settled"]
    return np.array([1 - np.mean([agrees.get((s, frame), 0.0) for s in settled]) for frame in one["frames"]])


def onward(one: dict) -> Values:
    """Return the number of frames from one up to the next settled one."""
    ends = [min((s for s in one["settled"] if s > f), default=one["last"] + 1) for f in one["frames"]]
    return np.array(ends) - one["frames"]


def agreeing_onward(one: dict) -> Values:
    """Return how many of those the track from a frame alone agrees with."""
    agrees = {(origin, frame): value for origin, frame, value in one["agreement"]}
    return np.array(
        [
            sum(agrees.get((frame, other), 0.0) for other in range(frame, frame + count))
            for frame, count in zip(one["frames"], onward(one).tolist())
        ]
    )


def doubt(one: dict) -> Values:
    return np.array(one["doubt"])


SIGNALS: dict[str, Signal] = {
    "most doubtful": doubt,
    "lowest confidence": lambda one: 1 - np.array(one["confidence"]),
    "cycle": cycle,
    "cycle + doubt": lambda one: cycle(one) + doubt(one),
    "cycle x doubt": lambda one: cycle(one) * doubt(one),
    "tracks from settled frames": from_settled,
    "doubt x root of frames onward": lambda one: doubt(one) * onward(one) ** 0.5,
    "doubt x root of frames onward that agree": lambda one: doubt(one) * agreeing_onward(one) ** 0.5,
    "cycle x doubt x frames onward that agree": lambda one: cycle(one) * doubt(one) * agreeing_onward(one),
    "worst in truth": lambda one: 1 - np.array(one["iou"]),
    "largest gain in truth": lambda one: np.array(one["gain"]),
}


def table(found: list[dict]) -> list[str]:
    """Return by signal: rank correlation with error and gain, and what its first choice gains."""
    lines = ["| signal | with the error | with the gain | its first choice gains | less doubt |"]
    lines.append("|---|---|---|---|---|")
    first = chosen_gains(found, doubt)
    for name, signal in SIGNALS.items():
        values = [signal(one) for one in found]
        errors = np.nanmean([spearmanr(v, 1 - np.array(one["iou"]))[0] for v, one in zip(values, found)])
        gains = np.nanmean([spearmanr(v, one["gain"])[0] for v, one in zip(values, found)])
        chosen = chosen_gains(found, signal)
        less = chosen - first
        means = np.random.default_rng(0).choice(less, (4000, len(less))).mean(1)
        low, high = np.quantile(means, (0.05, 0.95)) * 100
        lines.append(
            f"| {name} | {errors:.2f} | {gains:.2f} | {chosen.mean() * 100:.2f} "
            f"| {less.mean() * 100:+.2f} ({low:+.2f} to {high:+.2f}) |"
        )
    return lines


def chosen_gains(found: list[dict], signal: Signal) -> Values:
    return np.array([one["gain"][int(np.argmax(signal(one)))] for one in found])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = [one for one in measured(options.data, options.runs) if one["frames"]]
    print(f"{len(found)} states", *table(found), sep="\n")


if __name__ == "__main__":
    main()
