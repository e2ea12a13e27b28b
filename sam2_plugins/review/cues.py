"""Cues that say what is unusual about a mask, and the review item that their weighted sum makes."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sam2_engine.wording import plural
from sam2_plugins.review.encounters import Encounter
from sam2_plugins.review.families import DivisionDoubt
from sam2_plugins.review.jumps import Jump, diameter, distance
from sam2_plugins.review.mask_features import MaskFeatures, Overlap
from sam2_plugins.session.masks import MaskRemark

__all__ = [
    "BIAS",
    "CUES",
    "PROMPTED_FACTOR",
    "REMARK",
    "Cue",
    "CueInputs",
    "Neighbor",
    "ReviewItem",
    "against_neighbors",
    "cue_values",
    "review_mask",
]

BIAS = -5.70
"""Weighted sum of a mask whose cues are all 0."""
PROMPTED_FACTOR = 0.2
"""Factor of a mask's score where a person clicked on this very frame."""
REMARK = 3.0
"""What the sum gains where something was noticed while the mask was tracked."""
JUMPED = 0.97
"""Doubt where a track jumps, see :func:`~sam2_plugins.review.jumps.jump_to`: it comes before all that is
measured of a mask alone, as a track that goes on smoothly on another cell shows nothing else."""
MAYBE_ANOTHER = 0.95
"""Doubt where it lies on the same pixels as another object, or goes on as another one went before."""
PERHAPS_BORN = 0.3
"""Doubt where an object may come from a division that is not in the lineage, if that is not more probable."""
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
"""The cues of :func:`cue_values`; found by ``benchmarks/review/weights.py`` on synthetic scenes."""


class Neighbor(NamedTuple):
    """A mask of the same object on another frame, that many frames away."""

    frame: int
    distance: int
    features: MaskFeatures


Words = tuple[str | float, ...]
"""A form, and the numbers in it: put into words when they are read, as few of many thousands ever are."""

Beside = tuple[float, Words, float, Words]
"""Jump and arrival at the border against neighbors, 0..1, each with its words."""


class CueInputs(NamedTuple):
    """All that the score of one mask depends on.

    Attributes
    ----------
    frame, features, overlap
        Of the mask.
    factor
        Of the score: 0 where a person confirmed the mask, ``PROMPTED_FACTOR`` where one prompted it, else 1.
    beside
        How it compares with the object's masks before and after, see :func:`against_neighbors`.
    reviewed
        Its nearest mask on another frame that a person confirmed or prompted.
    division
        The one by which the object begins with this mask, if that is asked here.
    jump
        The one by which the object came to this mask, if it jumped.
    encounter
        That with another object, if it is asked here whether both are what they were.
    """

    frame: int
    features: MaskFeatures
    factor: float
    beside: Beside
    reviewed: Neighbor | None
    overlap: Overlap
    division: DivisionDoubt | None = None
    jump: Jump | None = None
    encounter: Encounter | None = None


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """How doubtful one mask is.

    Attributes
    ----------
    object_id, frame
        Which mask.
    score
        From 0, no doubt, to 1.
    words
        The main reason, see :attr:`reason`.
    """

    object_id: int
    frame: int
    score: float
    words: Words

    @property
    def reason(self) -> str:
        """The main reason, in words."""
        return self.told({})

    def told(self, names: Mapping[int, str]) -> str:
        """Return the main reason in words, with other objects under the names that people gave them."""
        form, *given = self.words
        known = [names.get(one, f"object {one}") if isinstance(one, ObjectNumber) else one for one in given]
        return str(form).format(*known)


class ObjectNumber(int):
    """An object in words, which has a name."""


_NOTHING_UNUSUAL: Words = ("nothing is unusual about it",)


def cue_values(inputs: CueInputs) -> dict[str, float]:
    """Return the value of every cue of ``CUES`` for a mask, 0..1."""
    return dict(zip(CUES, _values(inputs), strict=True))


def _values(inputs: CueInputs) -> tuple[float, ...]:
    """Return the values of the cues in the order of ``CUES``."""
    features, reviewed = inputs.features, inputs.reviewed
    scores, (jump, _, arrival, _) = features.scores, inputs.beside
    visible = features.area > 0
    return (
        # The model's odds for what the mask shows, on a logarithmic scale: it is nearly always certain.
        _uncertainty(scores.presence if visible else 1 - scores.presence),
        1 - scores.predicted_iou if visible else 0.0,
        1 - scores.stability if visible else 0.0,
        jump if reviewed is None else max(jump, _area_change(features, reviewed)),
        inputs.overlap.fraction,
        features.outside_largest,
        arrival if reviewed is None else max(arrival, _newly_at_border(features, reviewed)),
        _distance_to_reviewed(reviewed),
    )


def review_mask(object_id: int, inputs: CueInputs) -> ReviewItem:
    """Return the review item of one mask."""
    if inputs.factor == 0:
        return ReviewItem(object_id, inputs.frame, 0.0, ("a person has confirmed it",))
    total, most, main = BIAS, 0.0, None
    for value, (name, (weight, usual)) in zip(_values(inputs), CUES.items()):
        total += weight * value
        above = weight * (value - usual)
        if above > most:
            most, main = above, name
    words = _NOTHING_UNUSUAL if main is None else _WORDS[main](inputs)
    if inputs.features.remark in _REMARKS:
        total += REMARK
        words = words if most > REMARK else (_REMARKS[inputs.features.remark],)
    score = 1 / (1 + math.exp(-total))
    for doubt, question in (_lineage_doubt(inputs), _track_doubt(object_id, inputs)):
        if doubt > score:
            score, words = doubt, question
    return ReviewItem(object_id, inputs.frame, inputs.factor * score, words)


def _lineage_doubt(inputs: CueInputs) -> tuple[float, Words]:
    """Return how doubtful it is whom the object came from, if it begins with this mask, and why."""
    division = inputs.division
    if division is not None and division.in_lineage:
        names = ObjectNumber(division.sister), ObjectNumber(division.mother)
        form = "it and {} may not come from {}: that division is {:.0f} % sure"
        return 1 - division.probability, (form, *names, 100 * division.probability)
    if division is not None and division.probability >= PERHAPS_BORN:
        sister = () if division.sister == division.mother else (ObjectNumber(division.sister),)
        form = "it{} may have come from {{}}: that division is {{:.0f}} % sure, and not in the lineage"
        names = *sister, ObjectNumber(division.mother)
        return division.probability, (
            form.format(" and {}" if sister else ""),
            *names,
            100 * division.probability,
        )
    if inputs.features.remark == MaskRemark.PERHAPS_BORN:
        return PERHAPS_BORN, ("it begins beside an object that may have divided",)
    return 0.0, _NOTHING_UNUSUAL


def _track_doubt(object_id: int, inputs: CueInputs) -> tuple[float, Words]:
    """Return how doubtful it is that the mask is of the same object as those before it, and why."""
    jump, encounter = inputs.jump, inputs.encounter
    if jump is not None:
        form, *given = _jumped(*jump)
        if encounter is None or encounter.since is not None:
            return JUMPED, (form, *given)
        return JUMPED, (f"{form}, and lies on the same pixels as {{}}", *given, ObjectNumber(encounter.other))
    if encounter is None:
        return 0.0, _NOTHING_UNUSUAL
    other = ObjectNumber(encounter.other)
    if encounter.since is None:
        form = "{} and {} lie on the same pixels: one of them may have lost its own object"
        return MAYBE_ANOTHER, (form, *sorted((ObjectNumber(object_id), other)))
    form = "it may have been exchanged with {} after frame {}, when they met: each goes on as the other did"
    return MAYBE_ANOTHER, (form, other, encounter.since)


def _jumped(pixels: float, frame: int) -> Words:
    return "it jumps by {:.0f} pixels from where it is on frame {}", pixels, frame


# ---------------------------------------------------------------------- cues


def _uncertainty(probability: float) -> float:
    """Return 1 for a probability up to 1/2, 0 for odds of ``MAX_ODDS`` and more."""
    odds = probability / max(1 - probability, 1e-12)
    if odds >= MAX_ODDS:
        return 0.0
    return 1.0 if odds <= 1 else 1 - math.log(odds) / math.log(MAX_ODDS)


def _distance_to_reviewed(reviewed: Neighbor | None) -> float:
    if reviewed is None or reviewed.distance >= MAX_DISTANCE:
        return 1.0
    return math.log1p(reviewed.distance) / math.log1p(MAX_DISTANCE)


def against_neighbors(features: MaskFeatures, neighbors: Sequence[Neighbor]) -> Beside:
    """Compare with the frames before and after: the mean, lest one bad mask raise its neighbors' score.

    The words are about the frame against which it is the largest.
    """
    if not neighbors:
        return 0.0, _NOTHING_UNUSUAL, 0.0, _NOTHING_UNUSUAL
    area, shift, border = (
        [compare(features, neighbor) for neighbor in neighbors]
        for compare in (_area_change, _shift, _newly_at_border)
    )
    jump, words, values = (
        (sum(area), _area_in_words, area) if sum(area) >= sum(shift) else (sum(shift), _shift_in_words, shift)
    )
    return (
        jump / len(neighbors),
        words(features, neighbors[values.index(max(values))]),
        sum(border) / len(neighbors),
        _border_in_words(features, neighbors[border.index(max(border))]),
    )


def _area_change(features: MaskFeatures, other: Neighbor) -> float:
    area, before = features.area, other.features.area
    if area == before:
        return 0.0
    if not area or not before:
        return 1.0
    return min(abs(math.log2(area / before)) / MAX_AREA_CHANGE, 1.0)


def _newly_at_border(features: MaskFeatures, other: Neighbor) -> float:
    return float(features.at_border and not other.features.at_border and other.features.area > 0)


def _shift(features: MaskFeatures, other: Neighbor) -> float:
    if not features.area or not other.features.area:
        return 0.0
    shift = distance(features, other.features) / diameter(features, other.features)
    return min(shift / other.distance / MAX_SHIFT, 1.0)


# ---------------------------------------------------------------------- in words


def _area_in_words(features: MaskFeatures, other: Neighbor) -> Words:
    if not features.area:
        return "it is not here, but it is on frame {}", other.frame
    if not other.features.area:
        return "it is here, but not on frame {}", other.frame
    more = features.area / other.features.area - 1
    form = "it is {:.0f} % larger than on frame {}" if more > 0 else "it is {:.0f} % smaller than on frame {}"
    return form, 100 * abs(more), other.frame


def _shift_in_words(features: MaskFeatures, other: Neighbor) -> Words:
    return _jumped(distance(features, other.features), other.frame)


def _border_in_words(features: MaskFeatures, other: Neighbor) -> Words:
    return "it touches the border of the image, which it does not on frame {}", other.frame


def _distance_in_words(inputs: CueInputs) -> Words:
    reviewed = inputs.reviewed
    if reviewed is None:
        return ("nobody has looked at any frame of it",)
    form = f"it is {{}} {plural(reviewed.distance, 'frame')} from frame {{}}, the nearest that was looked at"
    return form, reviewed.distance, reviewed.frame


def _jump_in_words(inputs: CueInputs) -> Words:
    reviewed = inputs.reviewed
    if reviewed is None or inputs.beside[0] >= _area_change(inputs.features, reviewed):
        return inputs.beside[1]
    return _area_in_words(inputs.features, reviewed)


def _arrival_in_words(inputs: CueInputs) -> Words:
    reviewed = inputs.reviewed
    if reviewed is None or inputs.beside[2] >= _newly_at_border(inputs.features, reviewed):
        return inputs.beside[3]
    return _border_in_words(inputs.features, reviewed)


_REMARKS = {
    MaskRemark.CUT: "another shot begins with this frame",
    MaskRemark.BLANK: "there is nothing to see on this frame",
    MaskRemark.GAVE_WAY: "another object claimed the same place",
    MaskRemark.EXCHANGED: "it was exchanged back with another object, as it goes on as that one did",
}
_WORDS: dict[str, Callable[[CueInputs], Words]] = {
    "presence": lambda inputs: (
        "the model is not sure whether it is here"
        if inputs.features.area
        else "the model is not sure that it is gone",
    ),
    "predicted IoU": lambda _: ("the model is not sure of the outline",),
    "stability": lambda _: ("the outline is not clear: the model would draw it here or there",),
    "jump": _jump_in_words,
    "overlap": lambda inputs: (
        "it overlaps {} by {:.0f} %",
        ObjectNumber(inputs.overlap.other_id),
        100 * inputs.overlap.fraction,
    ),
    "pieces": lambda inputs: ("it is in {} pieces", inputs.features.pieces),
    "border": _arrival_in_words,
    "distance": _distance_in_words,
}
