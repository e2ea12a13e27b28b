"""Selection of the tracks that are objects, by how sure, steady and alike they are among all of a stack."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sam2_plugins.everything.linking import Track

__all__ = ["BIAS", "FEATURES", "WEIGHTS", "even_among_sharp", "object_probabilities", "objects_among"]
__all__ += ["still_among_moving", "track_features"]

LIKELY = 0.6
"""From this probability on a track is an object."""
_ENOUGH = 5
"""Frames on which to be found is as good as on more."""
_USUAL = 0.9
"""The quantile of the scores of all sightings that stands for sure ones."""
_SURER_COUNT_MORE = 4
"""Exponent: a sighting twice as sure counts sixteen times as much."""
_NOISE = 1 / 3
"""What has less than this part of the sure ones' score is no object, on however many frames it was found."""

FEATURES = ("score", "beside the sure ones", "smaller than usual", "agreement", "frames")
BIAS, WEIGHTS = -0.7, (1.6, 3.2, -3.3, 0.6, 0.6)
"""Of the logistic regression over :func:`track_features`; found by ``benchmarks/everything/weights.py``."""
STILL = -3.3
"""Weight of what keeps still among others that move: as much as of what has an eighth of the usual size."""
_MOVING = 0.5
"""Stillness of what moves; of what keeps still it is about 0.9."""
_EVEN = 1.1
"""Sharpness up to which nothing is seen at an outline: that of nine in ten shapes laid on an even ground."""
_SHARP = 2.0
"""Usual sharpness of the objects of a stack in which it is seen where something begins."""
_FEW = 5
"""Of fewer tracks it is not known whether most of them move."""


def track_features(tracks: Sequence[Track], num_looked: int) -> NDArray[np.float64]:
    """Return the (N, features) that tell objects from what only looks like one, each about 0..1.

    The mean score; the same against that of the surest of the stack, as styles of images differ; how much
    smaller it is than others (1: an eighth of their area); how well what was followed lay on what was found;
    and on how many frames it was found.
    """
    sure = _sure(tracks)
    areas = [float(np.median([one.area for one in track.sightings.values()])) for track in tracks]
    found = np.array([track.score**_SURER_COUNT_MORE * track.num_found for track in tracks])
    usual = _weighted_quantile(np.array(areas), found, 0.5)
    enough = min(_ENOUGH, num_looked)
    return np.array(
        [
            (
                track.score,
                min(track.score / max(sure, 1e-6), 1.5),
                min(max(math.log2(max(usual, 1.0) / max(area, 1.0)) / 3, 0.0), 1.5),
                float(np.mean(track.agreement)) if track.agreement else 0.0,
                min(track.num_found, enough) / enough,
            )
            for track, area in zip(tracks, areas)
        ]
    ).reshape(-1, len(FEATURES))


def _sure(tracks: Sequence[Track]) -> float:
    """Return the score of the surest sightings of a stack; 0 of none.

    The surer a sighting, the more it counts: two objects are among hundreds of specks of noise.
    """
    found = [one.score for track in tracks for one in track.sightings.values() if one.found]
    scores = np.array(found, np.float64)
    return _weighted_quantile(scores, scores**_SURER_COUNT_MORE, _USUAL) if scores.any() else 0.0


def _weighted_quantile(values: NDArray[np.float64], weights: NDArray[np.float64], part: float) -> float:
    """Return the value below which a part of the weight lies; 1 of none."""
    if not len(values) or not weights.sum():
        return 1.0
    order = np.argsort(values)
    return float(values[order][np.searchsorted(np.cumsum(weights[order]), part * weights.sum())])


def still_among_moving(tracks: Sequence[Track], stillness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much each track keeps still, (N,) 0..1, where most of the others move; else zeros.

    Parameters
    ----------
    tracks
        All of a stack.
    stillness
        Of :func:`sam2_plugins.everything.stillness.stillness`.
    """
    known = np.flatnonzero(np.isfinite(stillness)).tolist()
    weights = np.array([tracks[i].score * tracks[i].num_found for i in known])
    if len(known) < _FEW or _weighted_quantile(stillness[known], weights, 0.5) > _MOVING:
        return np.zeros(len(tracks))
    return np.clip((np.nan_to_num(stillness) - _MOVING) / (0.9 - _MOVING), 0, 1)


def even_among_sharp(tracks: Sequence[Track], sharpness: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which tracks have no outline, (N,), where most of the surer ones have one; else none.

    Parameters
    ----------
    tracks
        All of a stack.
    sharpness
        Of :func:`sam2_plugins.everything.sharpness.sharpness`.
    """
    known = np.flatnonzero(np.isfinite(sharpness)).tolist()
    weights = np.array([tracks[i].score ** _SURER_COUNT_MORE * tracks[i].num_found for i in known])
    if not known or _weighted_quantile(sharpness[known], weights, 0.5) < _SHARP:
        return np.zeros(len(tracks), bool)
    return np.nan_to_num(sharpness, nan=np.inf) <= _EVEN


def object_probabilities(
    tracks: Sequence[Track],
    num_looked: int,
    stillness: NDArray[np.float64] | None = None,
    sharpness: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return how probably each track is an object, (N,).

    Parameters
    ----------
    tracks, num_looked
        All of a stack, and on how many frames was looked.
    stillness
        None where things keep still that are objects, as in videos and volumes.
    sharpness
        None if it is not known.
    """
    features = track_features(tracks, num_looked)
    totals = BIAS + features @ np.array(WEIGHTS)
    if stillness is not None:
        totals += STILL * still_among_moving(tracks, stillness)
    is_noise = features[:, FEATURES.index("beside the sure ones")] < _NOISE
    if sharpness is not None:
        is_noise |= even_among_sharp(tracks, sharpness)
    return np.where(is_noise, 0, 1 / (1 + np.exp(-totals)))


def objects_among(
    tracks: Sequence[Track],
    num_looked: int,
    confidence: float,
    stillness: NDArray[np.float64] | None = None,
    sharpness: NDArray[np.float64] | None = None,
) -> list[Track]:
    """Return the tracks that are objects; none where even the surest ones score below ``confidence``."""
    if _sure(tracks) < confidence:
        return []
    sure = object_probabilities(tracks, num_looked, stillness, sharpness)
    return [track for track, one in zip(tracks, sure) if one >= LIKELY]
