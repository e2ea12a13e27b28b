"""Low-rank adapters (LoRA) while they are trained: on the attention's projections of chosen blocks.

Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, arXiv:2106.09685.
"""

import math
import re

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sam2_engine.errors import InputError
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.weights.adapters import merged

__all__ = ["LowRank", "adapted_layers", "add_adapters", "changes_trunk", "check_adapters", "merge_adapters"]

_TRUNK = re.compile(r"image_encoder\.trunk\.(?:.+\.)?blocks\.(\d+)\.attn\.(qkv|proj)")
_PARTS = {"decoder": "sam_mask_decoder.transformer.", "memory": "memory_attention."}
_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")
_BLOCKS = re.compile(r"(\d+)(?:-(\d+))?")
_STRENGTH = 2.0
"""What the change is multiplied with: alpha over rank, as is usual."""


class LowRank(nn.Module):
    """Parametrization of a layer's weight, which is frozen: a product of two small matrices is added to it.

    It begins as the layer was, as the second matrix is zero.

    Parameters
    ----------
    weight
        (outputs, inputs) of the layer.
    rank
        Of the change.
    """

    scale = _STRENGTH

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.lora_A = nn.Parameter(weight.new_empty(rank, inputs))
        self.lora_B = nn.Parameter(weight.new_zeros(outputs, rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight."""
        return merged(weight, self.lora_A, self.lora_B, self.scale)


def changes_trunk(blocks: str) -> bool:
    """Whether adapters on these blocks change the image encoder, so that features cannot be cached.

    Examples
    --------
    >>> changes_trunk("decoder"), changes_trunk("decoder,2-3")
    (False, True)
    """
    return any(part not in _PARTS for part in _words(blocks))


def adapted_layers(model: Sam2, blocks: str) -> dict[str, nn.Linear]:
    """Return the layers of some blocks that get an adapter, by name.

    Parameters
    ----------
    model
        The model.
    blocks
        ``trunk``, ``decoder``, ``memory``, or blocks of the trunk by number (``4``, ``8-11``), with commas.

    Raises
    ------
    InputError
        If one of these is not, or the model has nothing there that an adapter fits.
    """
    layers = {name: one for name, one in model.named_modules() if isinstance(one, nn.Linear)}
    trunk: dict[int, list[str]] = {}
    for name in layers:
        if found := _TRUNK.fullmatch(name):
            trunk.setdefault(int(found[1]), []).append(name)
    chosen: dict[str, nn.Linear] = {}
    for word in _words(blocks):
        if word in _PARTS:
            names = [n for n in layers if n.startswith(_PARTS[word]) and n.endswith(_PROJECTIONS)]
        else:
            names = [name for number in _numbers(word, sorted(trunk), model) for name in trunk[number]]
        chosen |= {name: layers[name] for name in names}
    return chosen


def _words(blocks: str) -> list[str]:
    return [word.strip() for word in blocks.split(",")]


def _numbers(word: str, there: list[int], model: Sam2) -> list[int]:
    found = _BLOCKS.fullmatch(word)
    if word != "trunk" and found is None:
        raise InputError(
            f"Adapters go to trunk, decoder, memory, or to blocks of the trunk by number (8-11), with commas "
            f"between them, not to {word!r}."
        )
    if not there:
        raise InputError(
            f"The trunk of {model.config.name} has no layers that adapters fit: give --lora-blocks decoder."
        )
    if found is None:
        return there
    wanted = range(int(found[1]), int(found[2] or found[1]) + 1)
    if not wanted or wanted[-1] > there[-1]:
        raise InputError(f"The trunk of {model.config.name} has the blocks 0 to {there[-1]}, not {word}.")
    return [number for number in wanted if number in there]


def check_adapters(model: Sam2, rank: int, blocks: str) -> dict[str, nn.Linear]:
    """Return the layers that adapters of a rank would be added to.

    Raises
    ------
    InputError
        As :func:`adapted_layers`; or if the rank is beyond that of the layers.
    """
    layers = adapted_layers(model, blocks)
    highest = max(min(layer.weight.shape) for layer in layers.values())
    if rank > highest:
        raise InputError(
            f"lora = {rank}: the layers of {model.config.name} have a rank of {highest} at most; 4 or 8 is "
            "usual."
        )
    return layers


def add_adapters(model: Sam2, rank: int, blocks: str, seed: int = 0) -> dict[str, nn.Parameter]:
    """Add an adapter to the layers of some blocks; freeze all else, and return what is trained by name.

    Parameters
    ----------
    model
        It computes as before until the adapters are trained; :func:`merge_adapters` makes it plain again.
    rank
        Of each change.
    blocks
        As for :func:`adapted_layers`.
    seed
        Decides what the adapters begin with.

    Raises
    ------
    InputError
        As :func:`check_adapters`.
    """
    layers = check_adapters(model, rank, blocks)
    model.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in layers.values():
            parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def merge_adapters(model: Sam2) -> dict[str, tuple[Tensor, Tensor]]:
    """Put adapters into the weights that they change, for good, and return them by their layers' names."""
    adapters = {}
    for name, layer in [*model.named_modules()]:
        if parametrize.is_parametrized(layer, "weight"):
            change = layer.parametrizations.weight[0]
            adapters[name] = (change.lora_A.detach().clone(), change.lora_B.detach().clone())
            parametrize.remove_parametrizations(layer, "weight")
    return adapters
