"""Cues that say what is unusual about a mask, and the review item that their weighted sum makes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from sam2_engine.wording import counted
from sam2_plugins.review.mask_features import MaskFeatures, Overlap

__all__ = [
    "BIAS",
    "CUES",
    "PROMPTED_FACTOR",
    "Cue",
    "CueInputs",
    "CueValue",
    "Neighbor",
    "ReviewItem",
    "cue_values",
    "review_mask",
]

BIAS = -5.70
"""Weighted sum of a mask whose cues are all 0."""
PROMPTED_FACTOR = 0.2
"""Factor of a mask's score where a person clicked on this very frame."""
MAX_ODDS = 10_000.0
"""Odds for or against an object's presence that count as certain."""
MAX_AREA_CHANGE = 1.0
"""Doublings of area, or halvings, for which the cue is 1."""
MAX_SHIFT = 1.0
"""Diameters between two centers, per frame, for which the cue is 1."""
MAX_DISTANCE = 31
"""Frames from the nearest reviewed one for which the cue is 1."""


class Cue(NamedTuple):
    """Weight of one cue.

    Attributes
    ----------
    weight
        What the sum gains where the cue is 1.
    usual
        Mean of the cue over right masks; a larger value is unusual.
    """

    weight: float
    usual: float


CUES: dict[str, Cue] = {
    "presence": Cue(1.00, 0.26),
    "predicted IoU": Cue(6.04, 0.12),
    "stability": Cue(7.18, 0.11),
    "jump": Cue(1.77, 0.31),
    "overlap": Cue(1.00, 0.02),
    "pieces": Cue(6.73, 0.00),
    "border": Cue(1.00, 0.07),
    "distance": Cue(1.64, 0.55),
}
"""The cues of :func:`cue_values`; found by ``benchmarks/review_weights.py`` on synthetic scenes."""


@dataclass(frozen=True)
class ReviewItem:
    """How doubtful one mask is.

    Attributes
    ----------
    object_id, frame
        Which mask.
    score
        From 0, no doubt, to 1.
    reason
        The main reason, in words.
    """

    object_id: int
    frame: int
    score: float
    reason: str


@dataclass(frozen=True)
class Neighbor:
    """A mask of the same object on another frame, that many frames away."""

    frame: int
    distance: int
    features: MaskFeatures


class CueInputs(NamedTuple):
    """All that the score of one mask depends on.

    Attributes
    ----------
    frame, features, overlap
        Of the mask.
    factor
        Of the score: 0 where a person confirmed the mask, ``PROMPTED_FACTOR`` where one prompted it, else 1.
    neighbors
        The object's masks before and after.
    reviewed
        Its nearest mask on another frame that a person confirmed or prompted.
    """

    frame: int
    features: MaskFeatures
    factor: float
    neighbors: tuple[Neighbor, ...]
    reviewed: Neighbor | None
    overlap: Overlap


class CueValue(NamedTuple):
    """A cue's value, 0..1, and the reason for it in words."""

    value: float
    reason: str


def cue_values(inputs: CueInputs) -> dict[str, CueValue]:
    """Return the value of every cue of ``CUES`` for a mask."""
    features, scores = inputs.features, inputs.features.scores
    visible = features.area > 0
    overlap = f"overlaps object {inputs.overlap.other_id} by {inputs.overlap.fraction:.0%}".replace("%", " %")
    return {
        # The model's odds for what the mask shows, on a logarithmic scale: it is nearly always certain.
        "presence": CueValue(
            _uncertainty(scores.presence if visible else 1 - scores.presence),
            f"presence {scores.presence:.2f}",
        ),
        "predicted IoU": CueValue(
            1 - scores.predicted_iou if visible else 0.0, f"predicted IoU {scores.predicted_iou:.2f}"
        ),
        "stability": CueValue(1 - scores.stability if visible else 0.0, f"stability {scores.stability:.2f}"),
        "jump": max(
            _against_neighbors(_area_change, inputs),
            _against_reviewed(_area_change, inputs),
            _against_neighbors(_shift, inputs),
        ),
        "overlap": CueValue(inputs.overlap.fraction, overlap),
        "pieces": CueValue(features.outside_largest, f"in {features.pieces} pieces"),
        "border": max(
            _against_neighbors(_newly_at_border, inputs), _against_reviewed(_newly_at_border, inputs)
        ),
        "distance": _distance_to_reviewed(inputs.reviewed),
    }


_NOTHING_UNUSUAL = CueValue(0.0, "nothing unusual")


def _against_neighbors(compare: Callable[[MaskFeatures, Neighbor], CueValue], inputs: CueInputs) -> CueValue:
    """Compare with the frames before and after: the mean, lest one bad mask raise its neighbors' score."""
    values = [compare(inputs.features, neighbor) for neighbor in inputs.neighbors]
    if not values:
        return _NOTHING_UNUSUAL
    return CueValue(sum(each.value for each in values) / len(values), max(values).reason)


def _against_reviewed(compare: Callable[[MaskFeatures, Neighbor], CueValue], inputs: CueInputs) -> CueValue:
    """Compare with the nearest reviewed frame."""
    return _NOTHING_UNUSUAL if inputs.reviewed is None else compare(inputs.features, inputs.reviewed)


def _uncertainty(probability: float) -> float:
    """Return 1 for a probability up to 1/2, 0 for odds of ``MAX_ODDS`` and more."""
    odds = probability / max(1 - probability, 1e-12)
    return min(max(1 - math.log(max(odds, 1.0)) / math.log(MAX_ODDS), 0.0), 1.0)


def _area_change(features: MaskFeatures, other: Neighbor) -> CueValue:
    if features.area == other.features.area:
        return _NOTHING_UNUSUAL
    if not features.area:
        return CueValue(1.0, f"absent, unlike on frame {other.frame}")
    if not other.features.area:
        return CueValue(1.0, f"appears, unlike on frame {other.frame}")
    ratio = features.area / other.features.area
    percent = f"{100 * (ratio - 1):+.0f} %".replace("-", "−")
    change = min(abs(math.log2(ratio)) / MAX_AREA_CHANGE, 1.0)
    return CueValue(change, f"area {percent} against frame {other.frame}")


def _newly_at_border(features: MaskFeatures, other: Neighbor) -> CueValue:
    if not features.at_border or other.features.at_border or not other.features.area:
        return _NOTHING_UNUSUAL
    return CueValue(1.0, f"touches the border of the image, unlike on frame {other.frame}")


def _distance_to_reviewed(reviewed: Neighbor | None) -> CueValue:
    if reviewed is None:
        return CueValue(1.0, "no frame of it was reviewed")
    value = math.log1p(reviewed.distance) / math.log1p(MAX_DISTANCE)
    return CueValue(
        min(value, 1.0),
        f"{counted(reviewed.distance, 'frame')} from frame {reviewed.frame}, the nearest reviewed one",
    )


def _shift(features: MaskFeatures, other: Neighbor) -> CueValue:
    if not features.area or not other.features.area:
        return _NOTHING_UNUSUAL
    distance = math.hypot(features.x - other.features.x, features.y - other.features.y)
    diameter = 2 * math.sqrt(max(features.area, other.features.area) / math.pi)
    shift = distance / diameter / other.distance / MAX_SHIFT
    return CueValue(min(shift, 1.0), f"moved by {distance:.0f} pixels against frame {other.frame}")


def review_mask(object_id: int, inputs: CueInputs) -> ReviewItem:
    """Return the review item of one mask."""
    if inputs.factor == 0:
        return ReviewItem(object_id, inputs.frame, 0.0, "confirmed by a person")
    values = cue_values(inputs)
    total = BIAS + sum(cue.weight * values[name].value for name, cue in CUES.items())
    main = max(CUES, key=lambda name: CUES[name].weight * (values[name].value - CUES[name].usual))
    shown = values[main] if values[main].value > CUES[main].usual else _NOTHING_UNUSUAL
    return ReviewItem(object_id, inputs.frame, inputs.factor / (1 + math.exp(-total)), shown.reason)
