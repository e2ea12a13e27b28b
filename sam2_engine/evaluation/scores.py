"""Scores of masks, and their means: over frames, then objects (as DAVIS 2017 averages)."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sam2_engine.evaluation.labeled_sequence import LabeledSequence, MasksByObject, unpacked
from sam2_engine.evaluation.metrics import boundary_f, mask_iou

__all__ = ["MaskScore", "MethodResult", "mean_over_objects", "object_scores", "score_masks"]


@dataclass(frozen=True)
class MaskScore:
    """Score of one mask.

    Attributes
    ----------
    sequence, object_id, frame
        Which mask; ``sequence`` counts from 0.
    j, f
        Region IoU and boundary F, 0..1.
    """

    sequence: int
    object_id: int
    frame: int
    j: float
    f: float

    @property
    def j_and_f(self) -> float:
        """Mean of J and F."""
        return (self.j + self.f) / 2


@dataclass(frozen=True)
class MethodResult:
    """Scores of one method.

    Attributes
    ----------
    method
        Its name in the table.
    rounds
        Scores after 1, 2, ... prompted frames in interactive protocols; otherwise there is one round.
    masks
        The masks of the last round, one mapping per sequence.
    per_object
        Whether frames are averaged per object first; not so where ids do not persist (single images).
    seconds
        Modeled time of the annotator per round and object, in interactive protocols.
    cell_tracking
        SEG, DET and TRA, if computed.
    """

    method: str
    rounds: tuple[tuple[MaskScore, ...], ...]
    masks: tuple[MasksByObject, ...]
    per_object: bool = True
    seconds: tuple[float, ...] = ()
    cell_tracking: Mapping[str, float] = field(default_factory=dict)

    def mean(self, value: Callable[[MaskScore], float]) -> float:
        """Return the mean over rounds of the mean over objects (or masks) of a score."""
        return float(np.mean([self._mean_of(scores, value) for scores in self.rounds]))

    def _mean_of(self, scores: Sequence[MaskScore], value: Callable[[MaskScore], float]) -> float:
        if self.per_object:
            return mean_over_objects(scores, value)
        return float(np.mean([value(score) for score in scores]))

    @property
    def j(self) -> float:
        """Mean J; for single images, the mean IoU."""
        return self.mean(lambda score: score.j)

    @property
    def f(self) -> float:
        """Mean F."""
        return self.mean(lambda score: score.f)

    @property
    def j_and_f(self) -> float:
        """Mean of J and F."""
        return (self.j + self.f) / 2

    def as_json(self, sequences: Sequence[LabeledSequence]) -> dict[str, Any]:
        """Return everything but the masks, of plain types."""
        last = self.rounds[-1]
        return {
            "method": self.method,
            "J": self.j,
            "F": self.f,
            "J&F": self.j_and_f,
            **self.cell_tracking,
            "rounds": [self._mean_of(scores, lambda score: score.j_and_f) for scores in self.rounds],
            "annotation_seconds_per_object": list(self.seconds),
            "masks": [
                {
                    "sequence": sequences[score.sequence].name,
                    "object_id": score.object_id,
                    "frame": score.frame,
                    "J": score.j,
                    "F": score.f,
                }
                for score in last
            ],
        }


def object_scores(
    scores: Iterable[MaskScore], value: Callable[[MaskScore], float]
) -> dict[tuple[int, int], float]:
    """Return the mean over frames of each object, by sequence and object id."""
    values_of: dict[tuple[int, int], list[float]] = defaultdict(list)
    for score in scores:
        values_of[score.sequence, score.object_id].append(value(score))
    return {key: float(np.mean(values)) for key, values in values_of.items()}


def mean_over_objects(scores: Iterable[MaskScore], value: Callable[[MaskScore], float]) -> float:
    """Return the mean over objects of their means over frames."""
    return float(np.mean(list(object_scores(scores, value).values())))


def score_masks(
    sequence: LabeledSequence,
    masks: MasksByObject,
    frames: Mapping[int, Iterable[int]],
    number: int = 0,
) -> tuple[MaskScore, ...]:
    """Compare masks with the ground truth.

    Parameters
    ----------
    sequence
        The ground truth.
    masks
        Predicted masks; a missing mask is empty.
    frames
        The frames to score, by object id.
    number
        The sequence's number in the scores.
    """
    scores = []
    for object_id, chosen in frames.items():
        for frame in chosen:
            whole = unpacked(masks, object_id, frame, sequence.frames.shape)
            predicted = sequence.without_void(whole, frame)
            ground_truth = sequence.mask(object_id, frame)
            scores.append(
                MaskScore(
                    number,
                    object_id,
                    frame,
                    mask_iou(predicted, ground_truth),
                    boundary_f(predicted, ground_truth),
                )
            )
    return tuple(scores)
