"""Training loop: exact resume, atomic checkpoints, averaged weights, a CSV log."""

import copy
import csv
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sam2_engine.disk import replacing
from sam2_engine.errors import InputError
from sam2_engine.modeling.attention import RotaryAttention
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.training.losses import LossWeights
from sam2_engine.training.nano.curriculum import Batch, Curriculum, batches
from sam2_engine.training.nano.dense_head import DenseHead
from sam2_engine.training.nano.muon import Muon
from sam2_engine.training.nano.precision import training_autocast, training_dtype
from sam2_engine.training.nano.random_crop import random_input_crop
from sam2_engine.training.nano.step_losses import StepLosses, clip_losses, image_losses

__all__ = ["Schedule", "Trainer", "load_weights"]

_UNLIMITED = 10**9
"""Steps of a run that ends by time."""


@dataclass(frozen=True)
class Schedule:
    """Number of steps, learning rate and weights of the losses.

    Attributes
    ----------
    steps
        Number of steps.
    learning_rate
        Peak, after ``warmup`` steps; then a cosine down to ``final`` of it.
    warmup, final
        Steps of linear warm-up; the last rate as a part of the peak.
    clip
        Largest gradient norm.
    average
        Decay of the averaged weights per step.
    dense_weight
        Weight of the dense auxiliary loss.
    weights
        Of the prompted losses.
    """

    steps: int
    learning_rate: float = 1e-3
    warmup: int = 100
    final: float = 0.05
    clip: float = 1.0
    average: float = 0.998
    dense_weight: float = 1.0
    weights: LossWeights = field(default_factory=lambda: LossWeights(focal_alpha=0.5))

    def rate(self, step: int, done: float | None = None) -> float:
        """Return the learning rate of a step; ``done`` is the part of the run before it, if time ends it."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        if done is None:
            done = (step - self.warmup) / max(self.steps - self.warmup, 1)
        return self.learning_rate * (self.final + (1 - self.final) * 0.5 * (1 + float(np.cos(np.pi * done))))


def load_weights(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Copy weights by name into ``module``, as float32."""
    try:
        module.load_state_dict({key: value.float() for key, value in state.items()})
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(
            f"The weights are of another model than the one in training ({reason}): give weights of this "
            "version's nano, or start the run in another folder."
        ) from None


class Trainer:
    """Train a model on a curriculum.

    Parameters
    ----------
    model
        The model; its input size becomes that of each batch, smaller ones being crops of its own input.
    curriculum, schedule
        Batches, and how long and how fast to train.
    folder
        Where checkpoint and log are written; a checkpoint found there is continued from.
    device
        Where to train.
    hours
        How long to train, over all continuations, instead of for the schedule's steps: the learning rate
        falls to its end as this time passes, however many steps the machine takes in it.
    """

    def __init__(
        self,
        model: Sam2,
        curriculum: Curriculum,
        schedule: Schedule,
        folder: Path,
        device: torch.device | str = "cpu",
        hours: float | None = None,
    ) -> None:
        self.full_size = model.image_size
        self.device = torch.device(device)
        self.model = _without_dropout(model).train().to(self.device)
        self.curriculum = curriculum
        self.schedule = schedule
        self.budget = None if hours is None else hours * 3600
        self.spent = 0.0
        self.folder = folder
        self.head = DenseHead(model.config.hidden_dim).to(self.device)
        self.averaged = copy.deepcopy(model).eval().requires_grad_(False)
        self.optimizers = _optimizers(nn.ModuleList([self.model, self.head]), training_dtype(self.device))
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self._resume()

    @property
    def checkpoint(self) -> Path:
        """The file that a run continues from."""
        return self.folder / "checkpoint.pt"

    def start_from(self, weights: dict[str, Tensor], head: dict[str, Tensor] | None = None) -> None:
        """Start from another run's averaged weights, at step 0; without ``head`` the head stays random."""
        for module in (self.model, self.averaged):
            load_weights(module, weights)
        if head is not None:
            load_weights(self.head, head)

    def run(
        self, workers: int = 1, save_every: int = 50, log_every: int = 20, seconds: float = math.inf
    ) -> None:
        """Train from the current step to the schedule's end, or until ``seconds`` have passed."""
        values_by_name: dict[str, list[float]] = {}
        started = before = time.monotonic()
        end = started + seconds
        if self.finished():
            return
        for batch in batches(self.curriculum, self.step, self._last_step, workers):
            losses = self.train_step(batch)
            self.step += 1
            self.spent, before = self.spent + time.monotonic() - before, time.monotonic()
            for name, value in losses.items():
                values_by_name.setdefault(name, []).append(value.item())
            if self.step % log_every == 0 or self.finished():
                self._log(
                    {name: float(np.mean(values)) for name, values in values_by_name.items()},
                    time.monotonic() - started,
                )
                values_by_name, started = {}, time.monotonic()
            if self.step % save_every == 0 or self.finished():
                self.save()
            if self.finished():
                return
            if time.monotonic() > end:
                self.save()
                return

    def finished(self) -> bool:
        """Whether the schedule's steps are taken, or its hours spent."""
        return self.step >= self._last_step or (self.budget is not None and self.spent >= self.budget)

    @property
    def _last_step(self) -> int:
        return self.schedule.steps if self.budget is None else _UNLIMITED

    def _rate(self) -> float:
        done = None if self.budget is None else min(self.spent / self.budget, 1.0)
        return self.schedule.rate(self.step, done)

    def train_step(self, batch: Batch) -> StepLosses:
        """Take one step on a batch and return its losses; the caller counts the step."""
        config = self.curriculum.batch_config(self.step)
        # Everything random depends on the step alone, so a resumed run repeats it.
        generator = torch.Generator().manual_seed(self.curriculum.seed * 1_000_003 + self.step)
        torch.manual_seed(self.curriculum.seed * 1_000_003 + self.step)
        full_size = config.size if config.full_input else self.full_size
        corner = random_input_crop(self.model, config.size, full_size, generator).to(self.device)
        loss_function = image_losses if config.num_frames == 1 else clip_losses
        with training_autocast(self.device):
            losses = loss_function(
                self.model, self.head, batch, config, corner, self.schedule.weights, generator
            )
        dense = losses["dense"] * self.schedule.dense_weight
        total = sum((value for name, value in losses.items() if name != "dense"), dense)
        torch.autograd.backward(torch.as_tensor(total))
        norm = nn.utils.clip_grad_norm_(
            [*self.model.parameters(), *self.head.parameters()], self.schedule.clip
        )
        rate = self._rate()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group["rate"]
            if torch.isfinite(norm):
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self._average()
        return {name: value.detach() for name, value in losses.items()}

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.schedule.average, (self.step + 1) / (self.step + 10))
        current = [p.detach() for p in self.model.parameters()]
        torch._foreach_lerp_(list(self.averaged.parameters()), current, 1 - decay)

    def _log(self, values: dict[str, float], seconds: float) -> None:
        path = self.folder / "log.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(["step", "rate", "seconds", "dense", "mask", "track"])
            row = [f"{values[name]:.4f}" if name in values else "" for name in ("dense", "mask", "track")]
            writer.writerow([self.step, f"{self._rate():.2e}", f"{seconds:.1f}", *row])
        print(self.step, f"{seconds:.1f} s", {k: round(v, 3) for k, v in values.items()}, flush=True)

    def save(self) -> None:
        """Write the checkpoint aside, then rename it: a killed run never loses the last complete one."""
        state = {
            "step": self.step,
            "spent": self.spent,
            "model": self.model.state_dict(),
            "head": self.head.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        with replacing(self.checkpoint) as aside, aside.open("wb") as file:
            torch.save(state, file)

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.step = state["step"]
        self.spent = state.get("spent", 0.0)
        load_weights(self.model, state["model"])
        load_weights(self.head, state["head"])
        load_weights(self.averaged, state["averaged"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


def _without_dropout(model: Sam2) -> Sam2:
    """Switch dropout off: scenes never repeat, and it doubles attention's time on a CPU."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, RotaryAttention):
            module.dropout = 0.0
    return model


def _optimizers(modules: nn.Module, dtype: torch.dtype) -> list[torch.optim.Optimizer]:
    """Muon for the weight matrices, AdamW for the rest (convolutions, embeddings, norms, biases)."""
    matrices, others, plain = [], [], []
    for name, parameter in modules.named_parameters():
        if (
            parameter.ndim == 2
            and min(parameter.shape) > 4
            and "embed" not in name
            and "token.weight" not in name
        ):
            matrices.append(parameter)
        elif parameter.ndim > 2 and "pos_embed" not in name and "embed" not in name:
            others.append(parameter)
        else:
            plain.append(parameter)
    adam = torch.optim.AdamW(
        [
            {"params": others, "weight_decay": 0.05, "rate": 0.6},
            {"params": plain, "weight_decay": 0.0, "rate": 0.6},
        ],
        betas=(0.9, 0.98),
    )
    return [Muon([{"params": matrices, "rate": 1.0}], dtype=dtype), adam]
