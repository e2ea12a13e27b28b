"""What is unusual about a mask, cue by cue, and the doubt that follows from it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from sam2_engine.wording import counted
from sam2_plugins.review.mask_features import MaskFeatures, Overlap

__all__ = [
    "BIAS",
    "CUES",
    "PROMPTED_SHARE",
    "Cue",
    "CueInputs",
    "CueValue",
    "Neighbor",
    "ReviewItem",
    "cue_values",
    "judge",
]

BIAS = -5.70
"""Sum of a mask without any cue."""
PROMPTED_SHARE = 0.2
"""What a mask keeps of its doubt where a person clicked on this very frame."""
SUREST = 10_000.0
"""Odds for or against an object's presence that leave no doubt."""
LARGEST_CHANGE = 1.0
"""Doublings of area, or halvings, that count as the largest change."""
LONGEST_SHIFT = 1.0
"""Diameters between two centers, per frame, that count as the longest shift."""
LONGEST_DISTANCE = 31
"""Frames from the last checked one that count as the longest way."""


class Cue(NamedTuple):
    """How much one cue counts.

    Attributes
    ----------
    weight
        What the sum gains where the cue is 1.
    usual
        Mean of the cue over right masks; what exceeds it is unusual.
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
    "way": Cue(1.64, 0.55),
}
"""The cues of :func:`cue_values`; found by ``benchmarks/review_weights.py`` on synthetic scenes."""


@dataclass(frozen=True)
class ReviewItem:
    """How doubtful one mask is.

    Attributes
    ----------
    object_id, frame
        Whose mask, and where.
    score
        0, no doubt, to 1.
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
    """All that decides about one mask; ``share`` is how much of its doubt counts."""

    frame: int
    features: MaskFeatures
    share: float
    neighbors: tuple[Neighbor, ...]
    checked: Neighbor | None
    overlap: Overlap


class CueValue(NamedTuple):
    """A cue's value, 0..1, and what was seen, in words."""

    value: float
    words: str


def cue_values(view: CueInputs) -> dict[str, CueValue]:
    """Look at a mask with every cue of ``CUES``."""
    features, scores = view.features, view.features.scores
    seen = features.area > 0
    overlap = f"overlaps object {view.overlap.rival} by {view.overlap.share:.0%}".replace("%", " %")
    return {
        # The model's odds for what the mask shows, on a scale of tens: it is nearly always sure.
        "presence": CueValue(
            _unsure(scores.presence if seen else 1 - scores.presence), f"presence {scores.presence:.2f}"
        ),
        "predicted IoU": CueValue(
            1 - scores.predicted_iou if seen else 0.0, f"predicted IoU {scores.predicted_iou:.2f}"
        ),
        "stability": CueValue(1 - scores.stability if seen else 0.0, f"stability {scores.stability:.2f}"),
        "jump": max(_beside(_area_change, view), _since_checked(_area_change, view), _beside(_shift, view)),
        "overlap": CueValue(view.overlap.share, overlap),
        "pieces": CueValue(features.scattered, f"in {features.pieces} pieces"),
        "border": max(_beside(_newly_at_border, view), _since_checked(_newly_at_border, view)),
        "way": _distance_to_reviewed(view.checked),
    }


_NOTHING = CueValue(0.0, "nothing unusual")


def _beside(compare: Callable[[MaskFeatures, Neighbor], CueValue], view: CueInputs) -> CueValue:
    """Compare with the frames before and after: the mean, or one bad mask would blame those beside it."""
    found = [compare(view.features, one) for one in view.neighbors]
    if not found:
        return _NOTHING
    return CueValue(sum(each.value for each in found) / len(found), max(found).words)


def _since_checked(compare: Callable[[MaskFeatures, Neighbor], CueValue], view: CueInputs) -> CueValue:
    """Compare with the nearest checked frame."""
    return _NOTHING if view.checked is None else compare(view.features, view.checked)


def _unsure(probability: float) -> float:
    """Return 1 for a probability up to 1/2, 0 for odds of ``SUREST`` and more."""
    odds = probability / max(1 - probability, 1e-12)
    return min(max(1 - math.log(max(odds, 1.0)) / math.log(SUREST), 0.0), 1.0)


def _area_change(features: MaskFeatures, other: Neighbor) -> CueValue:
    if features.area == other.features.area:
        return _NOTHING
    if not features.area:
        return CueValue(1.0, f"absent, unlike on frame {other.frame}")
    if not other.features.area:
        return CueValue(1.0, f"appears, unlike on frame {other.frame}")
    ratio = features.area / other.features.area
    percent = f"{100 * (ratio - 1):+.0f} %".replace("-", "−")
    change = min(abs(math.log2(ratio)) / LARGEST_CHANGE, 1.0)
    return CueValue(change, f"area {percent} against frame {other.frame}")


def _newly_at_border(features: MaskFeatures, other: Neighbor) -> CueValue:
    if not features.at_border or other.features.at_border or not other.features.area:
        return _NOTHING
    return CueValue(1.0, f"touches the border of the image, unlike on frame {other.frame}")


def _distance_to_reviewed(checked: Neighbor | None) -> CueValue:
    if checked is None:
        return CueValue(1.0, "no frame of it was checked")
    way = math.log1p(checked.distance) / math.log1p(LONGEST_DISTANCE)
    return CueValue(
        min(way, 1.0),
        f"{counted(checked.distance, 'frame')} from frame {checked.frame}, the nearest checked one",
    )


def _shift(features: MaskFeatures, other: Neighbor) -> CueValue:
    if not features.area or not other.features.area:
        return _NOTHING
    way = math.hypot(features.x - other.features.x, features.y - other.features.y)
    diameter = 2 * math.sqrt(max(features.area, other.features.area) / math.pi)
    shift = way / diameter / other.distance / LONGEST_SHIFT
    return CueValue(min(shift, 1.0), f"moved by {way:.0f} pixels against frame {other.frame}")


def judge(object_id: int, view: CueInputs) -> ReviewItem:
    """Return the doubt of one mask."""
    if view.share == 0:
        return ReviewItem(object_id, view.frame, 0.0, "confirmed by a person")
    found = cue_values(view)
    total = BIAS + sum(cue.weight * found[name].value for name, cue in CUES.items())
    main = max(CUES, key=lambda name: CUES[name].weight * (found[name].value - CUES[name].usual))
    reason = found[main] if found[main].value > CUES[main].usual else _NOTHING
    return ReviewItem(object_id, view.frame, view.share / (1 + math.exp(-total)), reason.words)
