"""Interactive training step on a clip: simulated prompts, corrections, memory, and losses (section D.2.1).

An image is a clip of one frame. The frames that are prompted from the start come first, then the others in
order; every one of them is decoded for all objects at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sam2_engine.modeling.sam2 import (
    LOGIT_CLAMP,
    MASK_STRIDE,
    ImageFeatures,
    MaskPrediction,
    Sam2,
    mask_to_logits,
)
from sam2_engine.training.losses import LossWeights, object_losses
from sam2_engine.training.simulated_prompts import correction_clicks, first_clicks, noisy_boxes
from sam2_engine.video.memory_bank import MemoryReading, ReadMemory, assemble

__all__ = ["InteractiveTrainingStep", "ObjectsOfClip", "PromptConfig", "PromptPlan", "draw_plan"]

P = ParamSpec("P")
R = TypeVar("R")

_MAX_POINTERS = 16


@dataclass(frozen=True)
class PromptConfig:
    """What the simulated annotator does.

    Attributes
    ----------
    mask
        Probability that a clip starts from masks; they are not corrected. Images never do, nor do clips
        that have no other frame with a known mask.
    box
        Probability, else, that a frame starts from a box, not from a click.
    corrections
        Clicks on each corrected frame, after the first prompt.
    on_object
        Probability that such a click lies anywhere on the object, not on an error.
    prompted_frames, corrected_frames
        Most frames that are prompted from the start, drawn from 1 up; and that are corrected, these
        included, drawn from their number up.
    """

    mask: float = 0.5
    box: float = 0.5
    corrections: int = 7
    on_object: float = 0.1
    prompted_frames: int = 2
    corrected_frames: int = 2


@dataclass(frozen=True)
class ObjectsOfClip:
    """N objects through T frames, on the CPU.

    Attributes
    ----------
    masks
        (N, T, S, S) bool, S the side of the model's input.
    known
        (N, T) bool: whether the mask is known; where it is not, no loss counts.
    """

    masks: Tensor
    known: Tensor

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def num_frames(self) -> int:
        """T."""
        return self.masks.shape[1]

    def known_beside(self, frames: Sequence[int]) -> bool:
        """Whether any mask is known on other frames than these."""
        rest = [t for t in range(self.num_frames) if t not in frames]
        return bool(self.known[:, rest].any())

    def coverage(self, frame: int) -> Tensor:
        """Return the part of each cell that the objects cover, (N, S / 4, S / 4) in 0..1."""
        return F.avg_pool2d(self.masks[:, frame].float(), MASK_STRIDE)


@dataclass(frozen=True)
class PromptPlan:
    """Prompts of the frames of a clip.

    Attributes
    ----------
    prompted
        Frames prompted from the start, the first one leading.
    boxes
        Those among them that start from a box.
    from_mask
        Whether they start from masks.
    corrected
        Frames that get correction clicks.
    """

    prompted: tuple[int, ...]
    boxes: frozenset[int]
    from_mask: bool
    corrected: frozenset[int]


def draw_plan(objects: ObjectsOfClip, config: PromptConfig, generator: torch.Generator) -> PromptPlan:
    """Draw a plan under which at least one frame has a loss.

    Frames on which an object is unknown are not prompted, and a clip starts from masks only where a frame
    with a known mask is left to predict.
    """

    def chance() -> float:
        return float(torch.rand((), dtype=torch.float32, generator=generator))

    def between(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator)) if high > low else low

    usable = [t for t in range(1, objects.num_frames) if bool(objects.known[:, t].all())]
    usable = [usable[i] for i in torch.randperm(len(usable), generator=generator).tolist()]
    from_mask = objects.num_frames > 1 and chance() < config.mask
    num_prompted = min(between(1, config.prompted_frames), 1 + len(usable))
    num_corrected = min(between(num_prompted, config.corrected_frames), 1 + len(usable))
    prompted = (0, *usable[: num_prompted - 1])
    if from_mask:
        # A given mask is no prediction: only a frame without one, of which something is known, has a loss.
        while len(prompted) > 1 and not objects.known_beside(prompted):
            prompted = prompted[:-1]
        from_mask = objects.known_beside(prompted)
    corrected = () if from_mask else (0, *usable[: num_corrected - 1])
    boxes = frozenset(t for t in prompted if chance() < config.box)
    return PromptPlan(prompted, boxes, from_mask, frozenset(corrected))


class InteractiveTrainingStep:
    """One forward pass over a clip.

    Parameters
    ----------
    model
        The model in training.
    features
        Returns the encoded frame of an index in the clip, of batch 1.
    objects, plan, config, weights
        Ground truth, prompts, their settings, and the weights of the losses.
    generator
        Source of randomness, on the CPU.
    save_memory
        Activation checkpointing: compute activations again in the backward pass.
    """

    def __init__(
        self,
        model: Sam2,
        features: Callable[[int], ImageFeatures],
        objects: ObjectsOfClip,
        plan: PromptPlan,
        config: PromptConfig,
        weights: LossWeights,
        generator: torch.Generator,
        save_memory: bool = False,
    ) -> None:
        self.model = model
        self.features = features
        self.objects = objects
        self.plan = plan
        self.config = config
        self.weights = weights
        self.generator = generator
        self.save_memory = save_memory
        self.losses: dict[str, Tensor] = {}
        self._memories: dict[int, tuple[Tensor, Tensor]] = {}

    def run(self) -> dict[str, Tensor]:
        """Predict all frames of the clip.

        Returns
        -------
        dict
            ``mask``, ``iou`` and ``presence``, weighted, each summed over objects, frames and predictions.
        """
        rest = [t for t in range(self.objects.num_frames) if t not in self.plan.prompted]
        order = [*self.plan.prompted, *rest]
        for t in order:
            features = self.features(t)
            if t in self.plan.prompted and self.plan.from_mask:
                prediction, pointer = self._prompt_with_mask(t, features)
            else:
                prediction = self._predict_frame(t, features)
                pointer = self.model.object_pointer(prediction.tokens[:, 0], prediction.presence_logit)
            if t != order[-1]:
                memory = self._checkpointed(self._encode_memory, features.embedding, prediction)
                self._memories[t] = memory, pointer
        return self.losses

    def _prompt_with_mask(self, t: int, features: ImageFeatures) -> tuple[MaskPrediction, Tensor]:
        masks = self.objects.masks[:, t, None].to(self.model.device)
        prediction, pointer = self.model.mask_as_output(features, masks)
        certain = MaskPrediction(
            mask_to_logits(masks.float()), prediction.iou, prediction.presence_logit, prediction.tokens
        )
        return certain, pointer

    def _encode_memory(self, embedding: Tensor, prediction: MaskPrediction) -> Tensor:
        return self.model.encode_memory(
            embedding, prediction.low_res_logits, prediction.presence_logit, binarize=False
        )

    def _predict_frame(self, t: int, features: ImageFeatures) -> MaskPrediction:
        """Decode a frame, correct it if that is planned, and add the losses of every prediction."""
        coverage = self.objects.coverage(t)
        points = labels = previous = None
        if t in self.plan.prompted:
            embedding = self.model.without_memory(features.embedding)
            points, labels = self._first_prompt(t, coverage)
        else:
            embedding = self._checkpointed(self._attend, features.embedding, self._memory_readings(t))
        rounds = self.config.corrections if t in self.plan.corrected else 0
        for round_number in range(rounds + 1):
            decoded = self._decode(embedding, features, points, labels, previous)
            prediction = self._choose_mask(decoded, points, coverage, self.objects.known[:, t])
            if round_number < rounds:
                logits = prediction.low_res_logits.detach().float()
                previous = logits.clamp(-LOGIT_CLAMP, LOGIT_CLAMP)
                point, label = self._correction(logits[:, 0].cpu(), coverage)
                points = point if points is None else torch.cat((points, point), 1)
                labels = label if labels is None else torch.cat((labels, label), 1)
        return prediction

    def _decode(
        self,
        embedding: Tensor,
        features: ImageFeatures,
        points: Tensor | None,
        labels: Tensor | None,
        previous: Tensor | None,
    ) -> MaskPrediction:
        device = self.model.device
        return self._checkpointed(
            self.model.decode,
            embedding,
            features.high_res,
            points=None if points is None else points.to(device),
            labels=None if labels is None else labels.to(device),
            mask_logits=previous,
            pad_empty=True,
        )

    def _choose_mask(
        self, decoded: MaskPrediction, points: Tensor | None, coverage: Tensor, known: Tensor
    ) -> MaskPrediction:
        """Add the losses of one decoding, and return the mask that is the prediction."""
        candidates, num_points = decoded.candidates(), 0 if points is None else points.shape[1]
        if num_points <= 1 and self.model.config.multimask_output_in_sam:
            self._add_losses(candidates, coverage, known)
            return candidates.best()
        if num_points == 1:
            # The single mask is the prediction, but callers may ask for all three, so train them as well.
            self._add_losses(candidates, coverage, known)
        self._add_losses(decoded.single(), coverage, known)
        return decoded.single()

    def _first_prompt(self, t: int, coverage: Tensor) -> tuple[Tensor, Tensor]:
        """Return a box or a click on every object; where an object is absent, a negative click."""
        visible = coverage.flatten(1).amax(1) > 0
        if t in self.plan.boxes and bool(visible.all()):
            corners = noisy_boxes(self.objects.masks[:, t], self.generator)
            return corners, torch.tensor([[2, 3]]).expand(len(corners), -1)
        outside, _ = correction_clicks(torch.full_like(coverage, -1.0), coverage, MASK_STRIDE, self.generator)
        inside = first_clicks(coverage, MASK_STRIDE, self.generator)
        points = torch.where(visible[:, None], inside, outside)
        return points[:, None], visible.long()[:, None]

    def _correction(self, logits: Tensor, coverage: Tensor) -> tuple[Tensor, Tensor]:
        if torch.rand((), dtype=torch.float32, generator=self.generator) < self.config.on_object:
            logits = torch.full_like(logits, -1.0)
        point, label = correction_clicks(logits, coverage, MASK_STRIDE, self.generator)
        return point[:, None], label[:, None]

    def _attend(self, embedding: Tensor, readings: Sequence[MemoryReading]) -> Tensor:
        inputs = assemble(self.model, list(readings), _MAX_POINTERS)
        return self.model.attend_to_memory(embedding, *inputs)

    def _memory_readings(self, t: int) -> list[MemoryReading]:
        """Memories of each object: prompted and corrected frames of any time, and the last frames."""
        conditioning = sorted(
            f for f in self._memories if f in self.plan.prompted or f in self.plan.corrected
        )
        recent = {t - f: f for f in self._memories if f < t and f not in conditioning}
        slots = [(0, f) for f in conditioning]
        slots += [(d, recent[d]) for d in sorted(recent) if d <= self.model.config.num_recent_memories]
        times = [(t - f, f) for f in conditioning]
        times += [(d, recent[d]) for d in sorted(recent) if d < _MAX_POINTERS]
        return [
            MemoryReading(
                [ReadMemory(slot, self._memories[f][0][i]) for slot, f in slots],
                [(difference, self._memories[f][1][i]) for difference, f in times],
            )
            for i in range(len(self.objects))
        ]

    def _add_losses(self, prediction: MaskPrediction, coverage: Tensor, known: Tensor) -> None:
        device = prediction.low_res_logits.device
        losses = object_losses(prediction, coverage[:, None].to(device), self.weights)
        counted = known.to(device)
        terms = {
            "mask": losses.mask,
            "iou": self.weights.iou * losses.iou,
            "presence": self.weights.presence * losses.presence,
        }
        for name, values in terms.items():
            self.losses[name] = self.losses.get(name, values.new_zeros(())) + (values * counted).sum()

    def _checkpointed(self, compute: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call ``compute``; with ``save_memory``, the backward pass computes its activations again."""
        if not self.save_memory:
            return compute(*args, **kwargs)
        result: R = checkpoint(partial(compute, *args, **kwargs), use_reentrant=False)
        return result
