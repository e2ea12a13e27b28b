"""Simulated annotator of one object: corrects a frame, tracks again, and sees what the rules may see."""

from dataclasses import dataclass

import numpy as np

from sam2_engine.evaluation import LabeledSequence
from sam2_engine.evaluation.metrics import boundary_f, mask_iou
from sam2_engine.evaluation.simulated_user import error_click
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.prompts import Prompt
from sam2_plugins.review import Review
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession

CLICKS = 3
RIGHT, GOOD = 0.9, 0.75
"""IoU from which a mask needs no correction, and from which clicks have corrected it."""

Path = tuple[int, ...]
"""Frames in the order in which they were settled."""


@dataclass(frozen=True)
class State:
    """An object after some frames were settled.

    Attributes
    ----------
    settled, open_frames
        Frames that the annotator has seen to, in their order, and all others.
    j_and_f
        Mean over all frames.
    doubts, confidences, ious
        By frame: the review's doubt, presence times predicted IoU, and the truth.
    """

    settled: Path
    open_frames: tuple[int, ...]
    j_and_f: float
    doubts: dict[int, float]
    confidences: dict[int, float]
    ious: dict[int, float]


class Annotator:
    """One object of a clip, corrected frame by frame; what was done once is known when it comes again."""

    always_clicks = False

    def __init__(
        self, sequence: LabeledSequence, object_id: int, store: ModelStore, model: str, cache: FeatureCache
    ) -> None:
        self.sequence, self.object_id = sequence, object_id
        self.first = sequence.first_frame(object_id)
        self.frames = [f for f in sequence.known_frames(object_id) if f >= self.first]
        self._store, self._model, self._cache = store, model, cache
        self._states: dict[Path, State] = {}
        self._live: Path = ()

    def state(self, settled: Path) -> State:
        """Return what is there after these frames were settled, the first one before any other."""
        if settled not in self._states:
            if not self._live or settled[: len(self._live)] != self._live:
                self._session = AnnotationSession(
                    self.sequence.frames, self._store, self._model, cache=self._cache
                )
                self._id, self._live = self._session.add_object(), ()
            for frame in settled[len(self._live) :]:
                self._correct(frame)
                self._live = (*self._live, frame)
            self._states[settled] = self._look(settled)
        return self._states[settled]

    def _correct(self, frame: int) -> None:
        """Confirm a mask that is right; else click, and paint it if clicks do not make it good."""
        truth = self.sequence.mask(self.object_id, frame)
        if self.always_clicks:
            self._click(frame, truth)
        elif frame != self.first and mask_iou(self.mask(frame), truth) >= RIGHT:
            self._session.verify(self._id, [frame])
        else:
            self._click(frame, truth)
            if mask_iou(self.mask(frame), truth) < GOOD:
                self._session.add_prompt(frame, self._id, Prompt.of(truth.shape, mask=truth), replace=True)
        self._session.propagate([self._id], start=self.first)

    def _click(self, frame: int, truth: np.ndarray) -> None:
        for _ in range(CLICKS):
            click = error_click(self.mask(frame), truth)
            if click is None:
                break
            self._session.add_points(frame, self._id, [click[0]], [click[1]])

    def mask(self, frame: int) -> np.ndarray:
        mask = self._session.mask(self._id, frame)
        return np.zeros(self.sequence.frames.shape, bool) if mask is None else mask

    def _look(self, settled: Path) -> State:
        ious, scores = {}, []
        for frame in self.frames:
            mask, truth = self.mask(frame), self.sequence.mask(self.object_id, frame)
            ious[frame] = mask_iou(mask, truth)
            scores.append((ious[frame] + boundary_f(mask, truth)) / 2)
        masks = {self._id: self._session.annotations.masks_of(self._id)}
        items = Review().review_items(masks, {self._id: self._session.verified(self._id)})
        still_open = tuple(frame for frame in self.frames if frame not in settled)
        return State(
            settled,
            still_open,
            float(np.mean(scores)),
            {item.frame: item.score for item in items},
            {frame: self._confidence(frame) for frame in still_open},
            ious,
        )

    def _confidence(self, frame: int) -> float:
        accepted = self._session.accepted(self._id, frame)
        if accepted is None:
            return 0.0
        scores = accepted.scores
        return 1 - scores.presence if accepted.mask.is_empty else scores.presence * scores.predicted_iou
