"""Files of weights as tables of named tensors; no code in them is ever run."""

import pickle
import re
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sam2_engine.errors import InputError

__all__ = ["read_safetensors", "read_torch"]

_TABLES = "model", "state_dict"
"""Where checkpoints keep their weights, if not at the top."""
_WRAPPERS = re.compile(r"((module|_orig_mod)\.)+")
"""What names begin with where DistributedDataParallel or torch.compile had wrapped the model."""


def read_torch(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a ``.pt`` file; only plain data is unpickled, never code.

    Raises
    ------
    InputError
        If it is damaged, holds code, or is no table of tensors.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of torch, about old kinds of pickle
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"{path} is not a plain file of weights (it is damaged, or a pickle with code in it, which is "
            "never run): get it again from its official address."
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the file.") from None
    except Exception:  # whatever the unpickler meets
        raise InputError(f"{path} is damaged or incomplete: get it again.") from None
    tables = [content.get(key) for key in _TABLES] if isinstance(content, dict) else []
    weights = next((table for table in tables if isinstance(table, dict)), content)
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in weights.items()
    ):
        raise InputError(f"{path} does not hold a SAM 2 model: it is not a table of named weights.")
    wrapped = _WRAPPERS.match(next(iter(weights), ""))
    return {name.removeprefix(wrapped[0] if wrapped else ""): tensor for name, tensor in weights.items()}


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors of a ``.safetensors`` file, and its metadata.

    Raises
    ------
    InputError
        If it is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged or incomplete ({error}): get it again.") from None
