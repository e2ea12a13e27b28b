"""Adapter files: low-rank changes of a base model's weights, loaded over it.

A safetensors file with two small matrices per changed layer, ``LAYER.lora_A.weight`` (rank, inputs) and
``LAYER.lora_B.weight`` (outputs, rank), and in its metadata the base model's name and its weights' digest,
bound to the matrices by a checksum.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from sam2_engine.disk import replacing
from sam2_engine.errors import InputError
from sam2_engine.modeling.config import ModelConfig, config_from_dict, config_to_dict
from sam2_engine.weights.said_values import bound, check_bound

__all__ = ["Adapter", "AdapterBase", "is_adapter", "merged", "weights_digest"]

_KEY = "sam2_adapter"
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """Return a checksum of weights by their official names, whatever file they come from.

    Examples
    --------
    >>> import torch
    >>> weights_digest({"a": torch.zeros(2)}) == weights_digest({"a": torch.zeros(2, dtype=torch.float64)})
    True
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def merged(weight: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    """Return a layer's weight (outputs, inputs) with its low-rank change, as in training so when loaded."""
    return weight + scale * (up @ down)


def is_adapter(metadata: Mapping[str, str]) -> bool:
    """Whether a safetensors file with this metadata holds an adapter."""
    return _KEY in metadata


@dataclass(frozen=True)
class AdapterBase:
    """The model that an adapter changes.

    Attributes
    ----------
    name
        As ``load_model`` takes it.
    digest
        Of its weights: :func:`weights_digest`.
    """

    name: str
    digest: str


@dataclass(frozen=True)
class Adapter:
    """Low-rank changes of some layers of a base model.

    Attributes
    ----------
    base
        What they change.
    config
        Configuration of the changed model.
    scale
        What the products are multiplied with.
    layers
        By the layer's name its two matrices, (rank, inputs) and (outputs, rank).
    """

    base: AdapterBase
    config: ModelConfig
    scale: float
    layers: Mapping[str, tuple[Tensor, Tensor]]

    def save(self, path: Path) -> None:
        """Write it as safetensors, replaced only once it is complete.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        weights = {}
        for name, (down, up) in self.layers.items():
            weights[f"{name}{_DOWN}"] = down.detach().cpu().contiguous()
            weights[f"{name}{_UP}"] = up.detach().cpu().contiguous()
        described = {**asdict(self.base), "scale": self.scale, "config": config_to_dict(self.config)}
        described["changes"] = weights_digest(weights)
        metadata = bound({_KEY: json.dumps(described)}, {name: t.shape for name, t in weights.items()})
        try:
            with replacing(path) as aside:
                save_file(weights, aside, metadata=metadata)
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"The adapter could not be written to {path} ({error}): check the folder and its free space."
            ) from None

    @classmethod
    def read(cls, weights: Mapping[str, Tensor], metadata: Mapping[str, str], path: Path) -> "Adapter":
        """Return what :meth:`save` wrote.

        Raises
        ------
        InputError
            If the file is damaged, of another version of this software, or says what it did not say when it
            was written: another rank, strength or base.
        """
        check_bound(metadata, {name: tensor.shape for name, tensor in weights.items()}, path)
        try:
            described: dict[str, Any] = json.loads(metadata[_KEY])
            base = AdapterBase(str(described["name"]), str(described["digest"]))
            config, scale = config_from_dict(described["config"]), float(described["scale"])
            names = [name.removesuffix(_DOWN) for name in weights if name.endswith(_DOWN)]
            layers = {name: (weights[f"{name}{_DOWN}"], weights[f"{name}{_UP}"]) for name in names}
            whole = 2 * len(layers) == len(weights) > 0 and isfinite(scale)
            whole = whole and described.get("changes") in (None, weights_digest(weights))
        except (TypeError, ValueError, KeyError, AttributeError, RecursionError):
            whole = False
        if not whole:
            raise InputError(
                f"The adapter {path} cannot be read (it is damaged, or of another version of this software): "
                "get it again, or update sam2-plugins."
            )
        return cls(base, config, scale, layers)

    def over(self, base: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
        """Return the base model's weights with the changes in them: a model like any other, as fast.

        Raises
        ------
        InputError
            If these are other weights than those that it was trained on.
        """
        if weights_digest(base) != self.base.digest:
            raise InputError(
                f"{path} is an adapter for another {self.base.name} than the one on this machine (the "
                "checksum of its weights differs): get that version of it, or train the adapter again."
            )
        weights = dict(base)
        for name, (down, up) in self.layers.items():
            weight = weights.get(f"{name}.weight")
            fits = weight is not None and down.ndim == up.ndim == 2 and down.shape[0] == up.shape[1]
            if weight is None or not fits or weight.shape != (up.shape[0], down.shape[1]):
                raise InputError(f"{path} changes a layer that {self.base.name} does not have: {name}.")
            weights[f"{name}.weight"] = merged(weight, down.float(), up.float(), self.scale)
        return weights
