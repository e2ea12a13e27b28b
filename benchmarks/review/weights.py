"""Find the weights of the cues of ``sam2_plugins.review``, on synthetic scenes that no test uses.

    OMP_NUM_THREADS=1 python benchmarks/review/weights.py --tracks FOLDER [--model nano]

Tracks the objects of 12 scenes (saved in FOLDER, and read again from there) and fits a logistic regression of
"IoU with the ground truth below 0.7" on the cues. No weight is below ``MIN_WEIGHT``: each cue can only
add doubt, and squares of the weights are held small. Every scene counts alike. Prints what belongs into
``sam2_plugins/review/cues.py``.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from tracks import CELL_STYLES, FIT_SEED, THING_STYLES, WRONG, Track, scenes, tracks

from sam2_engine import load_model
from sam2_plugins.review.cues import CUES, cue_values
from sam2_plugins.review.queue import Review

MIN_WEIGHT = 1.0
"""No cue counts less, even if these scenes have no use for it: other data or another model may have."""
RIDGE = 0.0003
"""What the square of a weight costs, in units of the mean log loss over scenes."""


def cues_and_wrong(track: Track) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the (N, cues) values and which of the N tracked masks are wrong."""
    by_mask = {(i, inputs.frame): inputs for i, inputs in Review().cue_inputs(track.masks, {})}
    found = [cue_values(by_mask[row]) for row in track.iou]
    values = np.array([[each[name] for name in CUES] for each in found])
    return values, np.array(list(track.iou.values())) < WRONG


def fit(values: NDArray, wrong: NDArray, counts: NDArray) -> tuple[float, NDArray]:
    """Return bias and weights of a logistic regression whose samples count ``counts``."""

    def loss(parameters: NDArray) -> tuple[float, NDArray]:
        bias, weights = parameters[0], parameters[1:]
        total = values @ weights + bias
        error = (expit(total) - wrong) * counts
        cost = (np.logaddexp(0, total) - wrong * total) @ counts + RIDGE / 2 * weights @ weights
        return cost, np.concatenate([[error.sum()], error @ values + RIDGE * weights])

    bounds = [(None, None)] + [(MIN_WEIGHT, None)] * values.shape[1]
    found = minimize(loss, np.zeros(values.shape[1] + 1), jac=True, bounds=bounds, method="L-BFGS-B")
    return float(found.x[0]), found.x[1:]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=Path, required=True)
    parser.add_argument("--model", default="nano")
    options = parser.parse_args()
    plans = scenes(FIT_SEED, CELL_STYLES) + scenes(FIT_SEED, THING_STYLES, first=len(CELL_STYLES))
    model = load_model(options.model, device="cpu")
    samples = [cues_and_wrong(track) for track in tracks(plans, options.tracks, model)]
    values, wrong = (np.concatenate(part) for part in zip(*samples))
    counts = np.concatenate([np.full(len(each), 1 / len(each) / len(samples)) for _, each in samples])
    bias, weights = fit(values, wrong, counts)
    usual = values[~wrong].mean(0)
    print(f"# {len(plans)} scenes, {len(wrong)} masks, {wrong.mean():.0%} of them wrong")
    print(f"BIAS = {bias:.2f}")
    for name, weight, mean in zip(CUES, weights, usual):
        print(f'    "{name}": Cue({weight:.2f}, {mean:.2f}),')


if __name__ == "__main__":
    main()
