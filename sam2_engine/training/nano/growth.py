"""Growth of a trained model: more blocks in its trunk, which change nothing until they are trained."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import torch
from torch import nn

from sam2_engine.errors import InputError
from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.sam2 import Sam2

__all__ = ["grow"]

_BLOCKS = "image_encoder.trunk.blocks"
_OUTPUTS = "attn.proj", "mlp.layers.1"
"""What a block adds to its input comes out of these; with zeros in them it adds nothing."""


def grow(model: Sam2, blocks: Sequence[int]) -> Sam2:
    """Return a copy of a model with more blocks at the end of the stages of its Hiera trunk.

    The new blocks attend in the windows of their stage. They begin as the block before them, as far as the
    shapes are the same, but add nothing: the copy computes what the model computes (Chen et al. 2016,
    "Net2Net"), and training goes on from there.

    Parameters
    ----------
    model
        The model; it is not changed.
    blocks
        How many blocks each stage gets, finest first.

    Raises
    ------
    InputError
        If these are not as many numbers as there are stages, or one is negative; or if the trunk is no Hiera.

    Examples
    --------
    >>> from sam2_engine import load_model
    >>> grow(load_model("nano", device="cpu"), (0, 0, 2, 1)).config.stages
    (1, 2, 7, 2)
    """
    config, moved = _grown_config(model.config, blocks)
    grown = Sam2(config).to(model.device)
    grown.compute_dtype, grown.approximations = model.compute_dtype, model.approximations
    weights = {_moved_name(name, moved): value for name, value in model.state_dict().items()}
    grown.load_state_dict(weights, strict=False)
    for index in sorted(set(range(sum(config.stages))) - set(moved)):
        _begin_as(grown.get_submodule(f"{_BLOCKS}.{index - 1}"), grown.get_submodule(f"{_BLOCKS}.{index}"))
    return grown.train(model.training)


def _grown_config(config: ModelConfig, blocks: Sequence[int]) -> tuple[ModelConfig, list[int]]:
    """Return the configuration with these blocks more, and the new index of every old block."""
    if config.trunk != "hiera" or len(blocks) != len(config.stages) or min(blocks) < 0:
        raise InputError(
            f"{config.name} grows by one number of blocks, 0 or more, for each stage of a Hiera trunk, "
            f"not by {' '.join(map(str, blocks))}: give for example 0 0 2 1."
        )
    before = [0, *accumulate(blocks)]
    stage_of_block = [stage for stage, length in enumerate(config.stages) for _ in range(length)]
    moved = [index + before[stage] for index, stage in enumerate(stage_of_block)]
    stages = tuple(old + new for old, new in zip(config.stages, blocks, strict=True))
    attends_globally = tuple(moved[index] for index in config.global_attention_blocks)
    return replace(config, stages=stages, global_attention_blocks=attends_globally), moved


def _moved_name(name: str, moved: list[int]) -> str:
    """Return under which name the grown model has a weight."""
    if not name.startswith(f"{_BLOCKS}."):
        return name
    index, rest = name.removeprefix(f"{_BLOCKS}.").split(".", 1)
    return f"{_BLOCKS}.{moved[int(index)]}.{rest}"


def _begin_as(previous: nn.Module, block: nn.Module) -> None:
    """Copy the block before where shapes are the same, and let this one add nothing."""
    known = previous.state_dict()
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            if name.startswith(_OUTPUTS):
                parameter.zero_()
            elif known[name].shape == parameter.shape:
                parameter.copy_(known[name])
