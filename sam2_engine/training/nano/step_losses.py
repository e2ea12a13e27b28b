"""Losses of one training step: images with clicks and corrections, clips with memory (paper D.2.1)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sam2_engine.modeling.sam2 import (
    LOGIT_CLAMP,
    MASK_STRIDE,
    ImageFeatures,
    MaskPrediction,
    Sam2,
    mask_to_logits,
)
from sam2_engine.preprocessing import normalize
from sam2_engine.training.losses import LossWeights, prediction_loss
from sam2_engine.training.nano.curriculum import Batch, BatchConfig
from sam2_engine.training.nano.dense_head import DenseHead, dense_loss
from sam2_engine.training.simulated_prompts import correction_clicks, first_clicks, noisy_boxes
from sam2_engine.video.memory_bank import MemoryReading, ReadMemory, assemble

__all__ = ["StepLosses", "clip_losses", "image_losses"]

_SMALLEST_OBJECT = 20
_BOX_SHARE = 0.35
_CANDIDATES_SHARE = 0.3

StepLosses = dict[str, Tensor]
"""Named losses of one step; the trainer adds them up with its weights."""


@dataclass(frozen=True)
class Objects:
    """N objects of a batch: their samples (N,), masks (N, T, S, S) and coverage (N, T, S / 4, S / 4)."""

    owner: Tensor
    masks: Tensor
    coverage: Tensor


def choose_objects(
    labels: Tensor, max_objects: int, generator: torch.Generator, device: torch.device
) -> Objects | None:
    """Draw up to ``max_objects`` of each sample of (B, T, S, S) labels, visible in the first frame.

    The labels are on the CPU, the objects on ``device``.
    """
    owners, ids = [], []
    for sample, first in enumerate(labels[:, 0]):
        area = torch.bincount(first.flatten().long())
        area[0] = 0
        candidates = torch.nonzero((area >= _SMALLEST_OBJECT) & (area < 0.9 * first.numel()))[:, 0]
        chosen = candidates[torch.randperm(len(candidates), generator=generator)[:max_objects]]
        owners += [sample] * len(chosen)
        ids.append(chosen)
    if not owners:
        return None
    owner = torch.tensor(owners)
    masks = (labels[owner] == torch.cat(ids)[:, None, None, None]).to(device)
    return Objects(owner.to(device), masks, F.avg_pool2d(masks.float(), MASK_STRIDE))


def _select(features: ImageFeatures, index: Tensor) -> ImageFeatures:
    fine, middle = features.high_res
    return ImageFeatures(features.embedding[index], (fine[index], middle[index]))


def _decode_with_corrections(
    model: Sam2,
    embedding: Tensor,
    high_res: tuple[Tensor, ...],
    masks: Tensor,
    coverage: Tensor,
    rounds: int,
    corner: Tensor,
    weights: LossWeights,
    generator: torch.Generator,
) -> tuple[Tensor, MaskPrediction]:
    """Prompt with a click or a box, correct ``rounds`` times; the summed loss and the last prediction."""
    if torch.rand((), dtype=torch.float32, generator=generator) < _BOX_SHARE:
        points = noisy_boxes(masks, generator)
        labels = torch.tensor([[2, 3]], device=masks.device).expand(len(masks), -1)
    else:
        points = first_clicks(coverage, MASK_STRIDE, generator)[:, None]
        labels = torch.ones(len(masks), 1, dtype=torch.long, device=masks.device)
    total = coverage.new_zeros(())
    previous = None
    for round_number in range(rounds + 1):
        decoded = model.decode(
            embedding, high_res, points=points + corner, labels=labels, mask_logits=previous
        )
        total = total + _decoded_loss(decoded, coverage, weights, ambiguous=points.shape[1] == 1)
        prediction = decoded.single()
        if round_number == rounds:
            break
        previous = prediction.low_res_logits.detach().float().clamp(-LOGIT_CLAMP, LOGIT_CLAMP)
        point, label = correction_clicks(previous[:, 0], coverage, MASK_STRIDE, generator)
        points, labels = torch.cat((points, point[:, None]), 1), torch.cat((labels, label[:, None]), 1)
    return total / (rounds + 1), prediction


def _decoded_loss(decoded: MaskPrediction, coverage: Tensor, weights: LossWeights, ambiguous: bool) -> Tensor:
    """Loss of the single mask, the prediction; after one click also that of the three candidates."""
    loss, _ = prediction_loss(decoded.single(), coverage[:, None], weights)
    if not ambiguous:
        return loss
    candidates_loss, _ = prediction_loss(decoded.candidates(), coverage[:, None], weights)
    return (1 - _CANDIDATES_SHARE) * loss + _CANDIDATES_SHARE * candidates_loss


def image_losses(
    model: Sam2,
    head: DenseHead,
    batch: Batch,
    config: BatchConfig,
    corner: Tensor,
    weights: LossWeights,
    generator: torch.Generator,
) -> StepLosses:
    """Losses of a batch of images; without objects to prompt, the dense loss alone."""
    device = model.device
    features = model.encode_image(normalize(batch.frames[:, 0].to(device) / 255))
    losses = {"dense": dense_loss(head(features), batch.labels[:, 0].to(device))}
    objects = None
    if config.max_objects:
        objects = choose_objects(batch.labels, config.max_objects, generator, device)
    if objects is not None:
        selected = _select(features, objects.owner)
        rounds = int(torch.randint(0, config.corrections + 1, (), generator=generator))
        losses["mask"], _ = _decode_with_corrections(
            model,
            model.without_memory(selected.embedding),
            selected.high_res,
            objects.masks[:, 0],
            objects.coverage[:, 0],
            rounds,
            corner,
            weights,
            generator,
        )
    return losses


def clip_losses(
    model: Sam2,
    head: DenseHead,
    batch: Batch,
    config: BatchConfig,
    corner: Tensor,
    weights: LossWeights,
    generator: torch.Generator,
) -> StepLosses:
    """Losses of a batch of clips: prompted on the first frame, propagated through the others."""
    num_frames = batch.frames.shape[1]
    device = model.device
    features = model.encode_image(normalize(batch.frames.flatten(0, 1).to(device) / 255))
    losses = {"dense": dense_loss(head(features), batch.labels.flatten(0, 1).to(device))}
    objects = choose_objects(batch.labels, config.max_objects, generator, device)
    if objects is None:
        return losses
    first = _select(features, objects.owner * num_frames)
    memory, pointer, prompt_loss = _prompt_first_frame(model, first, objects, corner, weights, generator)
    if prompt_loss is not None:
        losses["mask"] = prompt_loss
    memories, pointers = [memory], [pointer]
    total = memory.new_zeros((), dtype=torch.float32)
    for t in range(1, num_frames):
        frame = _select(features, objects.owner * num_frames + t)
        recent = range(t - 1, max(0, t - 1 - model.config.num_recent_memories), -1)
        readings = [_reading(memories, pointers, t, recent, i) for i in range(len(objects.owner))]
        embedding = model.attend_to_memory(frame.embedding, *assemble(model, readings))
        decoded = model.decode(embedding, frame.high_res, pad_empty=True)
        total = total + _decoded_loss(decoded, objects.coverage[:, t], weights, ambiguous=False)
        if t + 1 < num_frames:
            best = decoded.single()
            memories.append(
                model.encode_memory(frame.embedding, best.low_res_logits, best.presence_logit, binarize=False)
            )
            pointers.append(model.object_pointer(best.tokens[:, 0], best.presence_logit))
    losses["track"] = total / (num_frames - 1)
    return losses


def _reading(
    memories: list[Tensor], pointers: list[Tensor], t: int, recent: range, index: int
) -> MemoryReading:
    """Memories that object ``index`` attends to on frame ``t``: frame 0 (conditioning), then recent ones."""
    return MemoryReading(
        [
            ReadMemory(0, memories[0][index]),
            *(ReadMemory(t - frame, memories[frame][index]) for frame in recent),
        ],
        [(t - frame, pointers[frame][index]) for frame in [0, *range(t - 1, 0, -1)]],
    )


def _prompt_first_frame(
    model: Sam2,
    first: ImageFeatures,
    objects: Objects,
    corner: Tensor,
    weights: LossWeights,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Prompt with the mask itself in 6 of 10 clips, else by click or box: memory, pointer, loss."""
    if torch.rand((), dtype=torch.float32, generator=generator) < 0.6:
        mask = objects.masks[:, 0, None].float()
        prediction, pointer = model.mask_as_output(first, mask)
        return (
            model.encode_memory(
                first.embedding, mask_to_logits(mask), prediction.presence_logit, binarize=True
            ),
            pointer,
            None,
        )
    rounds = int(torch.randint(0, 2, (), generator=generator))
    loss, prediction = _decode_with_corrections(
        model,
        model.without_memory(first.embedding),
        first.high_res,
        objects.masks[:, 0],
        objects.coverage[:, 0],
        rounds,
        corner,
        weights,
        generator,
    )
    memory = model.encode_memory(
        first.embedding, prediction.low_res_logits, prediction.presence_logit, binarize=True
    )
    return memory, model.object_pointer(prediction.tokens[:, 0], prediction.presence_logit), loss
