"""AdamW with layer decay, and a cosine with warm-up (paper, section D.2)."""

import math
import re
from collections.abc import Iterable

import torch
from torch import nn

from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.training.fine_tuning.config import TrainingConfig

__all__ = ["choose_trainable_parameters", "make_optimizer", "schedule"]

_LAYER_DECAY = {96: 0.8, 112: 0.9, 144: 0.925}
"""By the trunk's width: tiny and small, base plus, large; others as tiny."""

_MEMORY_PARTS = (
    "memory_attention.",
    "memory_encoder.",
    "mask_downsample.",
    "obj_ptr_proj.",
    "obj_ptr_tpos_proj.",
    "maskmem_tpos_enc",
    "no_mem_pos_enc",
    "no_obj_ptr",
    "no_obj_embed_spatial",
)
_ADAPTER = ".parametrizations."
_ADAPTER_SCALE = 10.0
"""Rate of adapters as a multiple of that of weights which were trained before: they begin at zero."""
_ENCODING = ("image_encoder.", "sam_mask_decoder.conv_s0.", "sam_mask_decoder.conv_s1.")


def choose_trainable_parameters(
    model: Sam2, train_image_encoder: bool, with_memory: bool
) -> dict[str, nn.Parameter]:
    """Freeze the parameters that are not to be trained; return the others by name.

    Parameters
    ----------
    model
        The model; ``requires_grad`` of every parameter is set.
    train_image_encoder
        Train the parameters that encode an image.
    with_memory
        Train the parameters that only videos use; without videos, weight decay would shrink them.
    """
    trainable_parameters = {}
    for name, parameter in model.named_parameters():
        is_encoder, is_memory = name.startswith(_ENCODING), name.startswith(_MEMORY_PARTS)
        trainable = (train_image_encoder or not is_encoder) and (with_memory or not is_memory)
        parameter.requires_grad_(trainable)
        if trainable:
            trainable_parameters[name] = parameter
    return trainable_parameters


def layer_scale(name: str, num_blocks: int, decay: float, stages: tuple[int, ...] = ()) -> float:
    """Return the factor of a trunk parameter's learning rate: ``decay`` per block from the last one.

    The position embeddings have the full rate. Of a trunk that counts its blocks anew in every stage,
    ``stages`` are the numbers of blocks.
    """
    if not name.startswith("image_encoder.trunk.") or ".pos_embed" in name:
        return 1.0
    block = re.search(r"\.blocks\.(\d+)\.", name)
    stage = re.search(r"\.stages_(\d+)\.", name)
    before = sum(stages[: int(stage[1])]) if stage else 0
    layer = before + (int(block[1]) + 1 if block else 0)
    return decay ** (num_blocks + 1 - layer)


def make_optimizer(
    model: Sam2, trainable_parameters: dict[str, nn.Parameter], config: TrainingConfig
) -> torch.optim.AdamW:
    """Make AdamW; each group's ``scale`` is its part of the scheduled learning rate.

    Biases, the weights of norms, and adapters do not decay.
    """
    decay = config.layer_decay or _LAYER_DECAY.get(model.config.embed_dim, 0.8)
    blocks = sum(model.config.stages)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in trainable_parameters.items():
        is_adapter = _ADAPTER in name
        scale = _ADAPTER_SCALE if is_adapter else layer_scale(name, blocks, decay, model.config.stages)
        if name.startswith("image_encoder.") and not is_adapter:
            scale *= config.encoder_rate
        no_decay = is_adapter or name.endswith("bias") or parameter.ndim <= 1
        groups.setdefault((scale, 0.0 if no_decay else config.weight_decay), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": part, "scale": s, "weight_decay": d} for (s, d), part in groups.items()],
        lr=config.learning_rate,
        betas=(0.9, 0.999),
    )


def schedule(config: TrainingConfig, step: int) -> float:
    """Return the learning rate of a step: a linear rise, then a cosine."""
    warmup = config.warmup * config.total_steps
    if step < warmup:
        return config.learning_rate * (step + 1) / (warmup + 1)
    done = (step - warmup) / max(config.total_steps - warmup, 1)
    return config.learning_rate * (config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * done)))


def gradients(trainable_parameters: Iterable[nn.Parameter]) -> list[torch.Tensor]:
    """Return every gradient; a parameter that no loss reached gets zeros, whichever process it is in."""
    result = []
    for parameter in trainable_parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        result.append(parameter.grad)
    return result
