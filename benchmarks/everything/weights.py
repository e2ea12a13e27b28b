"""Find the weights by which tracks are selected and divisions judged, on synthetic scenes that no test uses.

    OMP_NUM_THREADS=1 python benchmarks/everything/weights.py [--model nano]

Fits two logistic regressions. Tracks: which of those through what is found on every frame of five scenes are
objects. Divisions: which of their candidates are true, and which of those of the exact masks of eight other
scenes, where half of the mothers go on as a daughter, as tracks do. What is found is linked as if it stood
still between frames, which saves the model's following. Prints what belongs into ``selecting.py`` and
``divisions.py`` of ``sam2_plugins/everything``, and how often divisions of a probability are true.
"""

import argparse
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from stacks import Stack, synthetic

from sam2_engine.frames import open_frames
from sam2_engine.masks import PackedMask
from sam2_plugins.everything import divisions, selecting
from sam2_plugins.everything.finding import find_sightings
from sam2_plugins.everything.linking import Linker, Track
from sam2_plugins.everything.settings import EverythingSettings
from sam2_plugins.everything.sightings import Sighting
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.readable import run_to_end

STYLES = ("dividing_nuclei", "phase_contrast", "bacteria", "membranes")
FOUND = [*((style, 1) for style in STYLES), ("dividing_nuclei", 2)]
EXACT = [(style, seed) for style in STYLES for seed in (3, 4)]
SMALLEST = 20
RIDGE = {"tracks": 0.003, "divisions": 0.001}

Samples = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]
"""Features, what is true, and how much each counts."""


def found_tracks(stack: Stack, store: ModelStore, model: str) -> list[Track]:
    """Link what is found on every frame, down to half of the model's confidence."""
    linker, settings = Linker(), EverythingSettings(points_per_side=16)
    least = store.load(model).confidence / 2
    with open_frames(stack.frames, axes=stack.axes) as frames:
        session = AnnotationSession(frames, store, model, history=None)
        for frame in range(len(frames)):
            before = linker.to_follow(frame - 1)
            still = {frame: [replace(one, found=False) for _, one in before]}
            linker.advance(frame, still, run_to_end(find_sightings(session, frame, settings, least)))
    for track in linker.tracks:  # nothing was followed, so nothing goes on unseen
        last = max(frame for frame, one in track.sightings.items() if one.found)
        track.sightings = {frame: one for frame, one in track.sightings.items() if frame <= last}
    return linker.tracks


def object_under(labels: NDArray[np.integer], one: Sighting) -> int:
    """Return the object that a mask stands for: most of it, or more of both than not; 0 if there is none."""
    shared = np.bincount(labels[one.mask.box][one.mask.crop()], minlength=2)
    label = int(shared[1:].argmax()) + 1
    area = int((labels == label).sum())
    covers = 2 * shared[label] > area or 2 * shared[label] > area + one.area - shared[label]
    return label if shared[label] and covers else 0


def track_samples(stack: Stack, tracks: list[Track]) -> Samples:
    """Return the tracks' features, and which are objects on at least half of their frames."""
    hits = [
        [object_under(stack.truth.labels[frame], one) > 0 for frame, one in track.sightings.items()]
        for track in tracks
    ]
    counts = np.array([float(len(one)) for one in hits])
    features = selecting.track_features(tracks, len(stack.frames))
    return features, np.array([np.mean(one) >= 0.5 for one in hits]), counts / counts.sum()


def division_samples(stack: Stack, tracks: dict[int, divisions.Sightings]) -> Samples:
    """Return the features of all candidates, and which are divisions of the truth."""
    features, right = [], []
    for one in divisions.candidates(tracks, least=0.0):
        before = max(frame for frame in tracks[one.mother] if frame < one.frame)
        mother = tracks[one.mother][before]
        first, second = (tracks[daughter][one.frame] for daughter in one.daughters)
        features.append(divisions.division_features(mother, (first, second)))
        parent = object_under(stack.truth.labels[before], mother)
        born = {object_under(stack.truth.labels[one.frame], each) for each in (first, second)}
        right.append(len(born) == 2 and all(stack.truth.parents.get(each) == parent for each in born))
    counts = np.full(len(right), max(len(right), 1) ** -0.5)
    return np.array(features).reshape(-1, len(divisions.WEIGHTS)), np.array(right, bool), counts


def exact_tracks(stack: Stack, rng: np.random.Generator) -> dict[int, divisions.Sightings]:
    """Return the true masks as tracks; half of the mothers go on as one of their daughters."""
    tracks: dict[int, dict[int, Sighting]] = {}
    for frame, labels in enumerate(stack.truth.labels):
        for label in np.unique(labels[labels > 0]).tolist():
            mask = labels == label
            if mask.sum() >= SMALLEST:
                one = Sighting(PackedMask.from_array(mask), int(mask.sum()), 0.9)
                tracks.setdefault(label, {})[frame] = one
    for child, parent in stack.truth.parents.items():
        ended = child in tracks and parent in tracks and max(tracks[parent]) < min(tracks[child])
        if ended and rng.random() < 0.25:  # she goes on as this one, unless as the other one already
            tracks[parent] |= tracks.pop(child)
    return dict(tracks)


def fit(samples: list[Samples], ridge: float) -> tuple[float, NDArray[np.float64]]:
    """Return bias and weights of a logistic regression."""
    values, right, counts = (np.concatenate(part) for part in zip(*samples))

    def loss(parameters: NDArray[np.float64]) -> float:
        total = values @ parameters[1:] + parameters[0]
        cost = (np.logaddexp(0, total) - right * total) @ counts / counts.sum()
        return float(cost + ridge / 2 * parameters[1:] @ parameters[1:])

    found = minimize(loss, np.zeros(values.shape[1] + 1), method="L-BFGS-B").x
    return float(found[0]), found[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano")
    options = parser.parse_args()
    store, rng = ModelStore("cpu"), np.random.default_rng(0)
    tracks: list[Samples] = []
    candidates: list[Samples] = []
    for stack in (synthetic(*one) for one in FOUND):
        found = found_tracks(stack, store, options.model)
        tracks.append(track_samples(stack, found))
        kept = {
            n: one.sightings for n, one in enumerate(selecting.objects_among(found, len(stack.frames), 0.0))
        }
        candidates.append(division_samples(stack, kept))
    exact = (synthetic(*one) for one in EXACT)
    candidates += [division_samples(stack, exact_tracks(stack, rng)) for stack in exact]
    for name, samples in (("tracks", tracks), ("divisions", candidates)):
        bias, weights = fit(samples, RIDGE[name])
        print(f"{name}: BIAS, WEIGHTS = {bias:.1f}, ({', '.join(f'{one:.1f}' for one in weights)})")
    values, right, _ = (np.concatenate(part) for part in zip(*candidates))
    sure = expit(values @ weights + bias)
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.01)):
        within = (sure >= low) & (sure < high)
        share = f"{right[within].mean():.2f}" if within.any() else "-"
        print(f"divisions of {low} to {min(high, 1)}: {within.sum()}, {share} of them true")


if __name__ == "__main__":
    main()
