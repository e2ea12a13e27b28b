"""Trainer of one model: its steps, its checkpoints, and the samples that a step needs."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sam2_engine.errors import InputError, OptionError
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.modeling.sam2 import ImageFeatures, Sam2
from sam2_engine.training.fine_tuning.config import TrainingConfig
from sam2_engine.training.fine_tuning.distributed import ProcessGroup
from sam2_engine.training.fine_tuning.interactive_training import (
    InteractiveTrainingStep,
    ObjectsOfClip,
    draw_plan,
)
from sam2_engine.training.fine_tuning.low_rank import add_adapters
from sam2_engine.training.fine_tuning.optimizer import (
    choose_trainable_parameters,
    gradients,
    make_optimizer,
    schedule,
)
from sam2_engine.training.fine_tuning.sampling import Clip, ClipSampler, input_pixels, load_objects

__all__ = ["FineTuner", "Sample", "SampleLoader", "prefetch"]

T = TypeVar("T")

_EMPTY_STEPS = 20
_REHEARSED = 20
"""Steps among which one with images and one with clips are looked for."""


@dataclass(frozen=True)
class Sample:
    """A clip that has been read.

    Attributes
    ----------
    number
        Its index in the step's batch, which decides its randomness.
    pixels
        Inputs (1, 3, S, S) by index in the clip, of the frames that are not in the feature cache.
    """

    number: int
    clip: Clip
    objects: ObjectsOfClip
    pixels: dict[int, Tensor]


class SampleLoader:
    """Reads the samples of a step, of this process's share.

    Parameters
    ----------
    sampler, group
        Clips of all processes, and which of them are this process's.
    size
        Side of the model's input.
    cache
        Encoded frames; those in it are not read again.
    """

    def __init__(self, sampler: ClipSampler, group: ProcessGroup, size: int, cache: FeatureCache) -> None:
        self.sampler = sampler
        self.group = group
        self.size = size
        self.cache = cache
        self._lock = threading.Lock()

    def load(self, step: int) -> list[Sample]:
        """Read the samples of a step; clips without a visible object are left out."""
        clips = self.sampler.draw(step)
        samples = []
        for number in self.group.share(len(clips)):
            clip = clips[number]
            with self._lock:
                objects = load_objects(clip, self.size)
                if objects is not None:
                    to_encode = [i for i in range(len(clip.frames)) if not self._is_cached(clip, i)]
                    pixels = {index: input_pixels(clip, index, self.size) for index in to_encode}
                    samples.append(Sample(number, clip, objects, pixels))
        return samples

    def _is_cached(self, clip: Clip, index: int) -> bool:
        return clip.keys is not None and clip.keys[index] in self.cache

    def pixels(self, sample: Sample, index: int) -> Tensor:
        """Return the input of a frame, read now if it was not read before."""
        if index in sample.pixels:
            return sample.pixels[index]
        with self._lock:
            return input_pixels(sample.clip, index, self.size)


def prefetch(make: Callable[[int], T], numbers: Sequence[int]) -> Iterator[T]:
    """Yield ``make(number)`` for each number, the next one made in a thread meanwhile."""
    with ThreadPoolExecutor(1) as thread:
        prefetched = None
        for i, number in enumerate(numbers):
            current = prefetched or thread.submit(make, number)
            result = current.result()
            prefetched = thread.submit(make, numbers[i + 1]) if i + 1 < len(numbers) else None
            yield result


class FineTuner:
    """A model, its optimizer, and the step it is at.

    Parameters
    ----------
    model
        The model to start from, on its device; it is changed.
    sampler
        What to train on.
    config
        Settings.
    group
        Processes that share a step's batch.
    feature_folder
        Where encoded frames are cached on disk, if anywhere.
    """

    def __init__(
        self,
        model: Sam2,
        sampler: ClipSampler,
        config: TrainingConfig,
        group: ProcessGroup | None = None,
        feature_folder: Path | None = None,
    ) -> None:
        self.model = model
        self.config = config
        self.group = group or ProcessGroup()
        clips = sampler.has_clips and config.clip_share > 0
        self.trainable_parameters: dict[str, nn.Parameter] = (
            add_adapters(model, config.lora, config.lora_blocks, config.seed)
            if config.lora
            else choose_trainable_parameters(model, config.train_image_encoder, clips)
        )
        self.optimizer = make_optimizer(model, self.trainable_parameters, config)
        # Gradients of losses that are not scaled up would vanish in float16; elsewhere it does nothing.
        in_float16 = model.compute_dtype == torch.float16
        self.scaler = torch.amp.GradScaler(model.device.type, enabled=in_float16)
        self.cache = FeatureCache(config.feature_bytes, feature_folder)
        self.loader = SampleLoader(sampler, self.group, model.image_size, self.cache)
        self.save_memory = config.checkpointing
        model.memory_attention.save_memory = config.checkpointing
        self.step = 0
        self._empty_steps = 0

    def samples(self) -> Iterator[list[Sample]]:
        """Yield the samples of the remaining steps."""
        return prefetch(self.loader.load, range(self.step, self.config.total_steps))

    def train_step(self, samples: Sequence[Sample]) -> dict[str, float]:
        """Take one step; return its rate and its losses per object, of all processes.

        In float16 a step whose gradient overflows is left out, and losses are scaled up less from then on.

        Raises
        ------
        InputError
            If the gradient is not finite.
        """
        losses = self.accumulate(samples)
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.trainable_parameters.values(), self.config.clip)
        overflows = self.scaler.is_enabled() and self.scaler.get_scale() > 1
        if not (overflows or torch.isfinite(norm)):
            raise InputError(
                f"The gradient of step {self.step + 1} is not finite; give a lower learning_rate, or float32."
            )
        rate = schedule(self.config, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.step += 1
        return {"rate": rate, **losses}

    def rehearse(self) -> float:
        """Return about how many seconds the remaining steps will take; nothing is changed.

        The gradient of one step with images, and of one with clips, is computed twice: at first frames are
        encoded, which most steps find done.
        """
        sampler, config = self.loader.sampler, self.config
        steps = config.total_steps - self.step
        kinds: dict[bool, int] = {}
        for step in range(self.step, self.step + _REHEARSED):
            kinds.setdefault(len(sampler.draw(step)[0].frames) > 1, step)
        all_frames = config.views * sum(map(len, sampler.frames))
        seconds = 0.0
        for as_clips, step in kinds.items():
            samples = self.loader.load(step)
            cold, warm = (self._seconds_of(samples) for _ in range(2))
            share = 1.0 if len(kinds) == 1 else config.clip_share if as_clips else 1 - config.clip_share
            frames = sum(len(clip.frames) for clip in sampler.draw(step))
            encoding = min(share * steps, all_frames / frames)
            seconds += share * steps * warm + encoding * max(cold - warm, 0)
        return seconds

    def _seconds_of(self, samples: Sequence[Sample]) -> float:
        start = time.perf_counter()
        self.accumulate(samples)
        self.optimizer.zero_grad()
        return time.perf_counter() - start

    def accumulate(self, samples: Sequence[Sample]) -> dict[str, float]:
        """Accumulate the gradient of the whole batch, of all processes, in every trainable parameter.

        In float16 it is that of the losses as they are scaled up.

        Losses are summed over frames and predictions, and divided by the objects of the batch, so that
        it does not matter which process has which sample.
        """
        self._set_train_mode()
        device = self.model.device
        count = sum(len(sample.objects) for sample in samples)
        objects = torch.tensor(count, dtype=torch.float32, device=device)
        total = self._checked_count(float(self.group.all_reduce(objects)))
        sums = torch.zeros(3, dtype=torch.float32, device=device)
        for sample in samples:
            with self.model.autocast():
                losses = self._losses(sample)
            terms = torch.stack([losses[name].float() for name in ("mask", "iou", "presence")])
            torch.autograd.backward(self.scaler.scale(terms.sum() / total))
            sums += terms.detach()
        self.group.all_reduce_flat(gradients(self.trainable_parameters.values()))
        mask, iou, presence = (self.group.all_reduce(sums) / total).tolist()
        return {"loss": mask + iou + presence, "mask": mask, "iou": iou, "presence": presence}

    def _checked_count(self, objects: float) -> float:
        """Return what to divide the losses by; many steps without objects are an error."""
        self._empty_steps = 0 if objects else self._empty_steps + 1
        if self._empty_steps == _EMPTY_STEPS:
            raise OptionError(
                f"In {_EMPTY_STEPS} steps no object was large enough to be visible at "
                f"{self.model.image_size} pixels; enlarge the images, or give a larger {{image_size}}.",
                image_size=None,
            )
        return max(objects, 1.0)

    def _set_train_mode(self) -> None:
        self.model.train()
        if not self.config.changes_encoder:
            self.model.image_encoder.eval()

    def _losses(self, sample: Sample) -> dict[str, Tensor]:
        # Everything random depends on the step and the sample's number alone, in whichever process it is.
        seed = (self.config.seed * 1_000_003 + self.step) * 4096 + sample.number
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        plan = draw_plan(sample.objects, self.config.prompts, generator)
        return InteractiveTrainingStep(
            self.model,
            lambda index: self._features(sample, index),
            sample.objects,
            plan,
            self.config.prompts,
            self.config.losses,
            generator,
            self.save_memory,
        ).run()

    def _features(self, sample: Sample, index: int) -> ImageFeatures:
        def encode() -> ImageFeatures:
            pixels = self.loader.pixels(sample, index).to(self.model.device)
            if self.save_memory and self.config.changes_encoder:
                encoded: ImageFeatures = checkpoint(self.model.encode_image, pixels, use_reentrant=False)
                return encoded
            return self.model.encode_image(pixels)

        if sample.clip.keys is None:
            return encode()
        with torch.no_grad():
            return self.cache.get_or_encode(sample.clip.keys[index], self.model, encode)

    def state(self) -> dict[str, Any]:
        """Return the content of a checkpoint: the step, the trainable weights, and the optimizer."""
        return {
            "step": self.step,
            "weights": {name: parameter.detach() for name, parameter in self.trainable_parameters.items()},
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    @property
    def state_bytes(self) -> int:
        """Bytes of a checkpoint: the trainable weights, and two means of the gradient of each."""
        return 3 * sum(parameter.nbytes for parameter in self.trainable_parameters.values())

    @torch.no_grad()
    def resume(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        for name, parameter in self.trainable_parameters.items():
            parameter.copy_(state["weights"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        if state.get("scaler"):  # empty but in float16
            self.scaler.load_state_dict(state["scaler"])
        self.step = state["step"]
