"""Loading and saving of models: official ``.pt``, Hugging Face safetensors, and our own safetensors.

A model is recognized from the names and shapes of its weights, and loaded strictly: every name and
every shape must match. Files are never trusted to run code.
"""

import json
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sam2_engine.arguments import suggests_arguments
from sam2_engine.disk import replacing
from sam2_engine.errors import InputError, InputWarning
from sam2_engine.modeling.approximations import APPROXIMATIONS, FAST, approximations_of
from sam2_engine.modeling.config import VARIANTS, ModelConfig, config_from_dict, config_to_dict
from sam2_engine.modeling.devices import find_device
from sam2_engine.modeling.precision import choose_dtype
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.weights.adapters import Adapter, is_adapter
from sam2_engine.weights.expected_pixels import expected_pixels
from sam2_engine.weights.hub_names import is_hub_name
from sam2_engine.weights.huggingface import from_huggingface, is_huggingface
from sam2_engine.weights.locations import WEIGHT_SUFFIXES, cache_folder, find
from sam2_engine.weights.model_folder import checked_folder
from sam2_engine.weights.recognition import recognize
from sam2_engine.weights.registry import REGISTRY, registered
from sam2_engine.weights.said_values import bound, check_bound
from sam2_engine.weights.weight_files import read_safetensors, read_torch
from sam2_engine.wording import did_you_mean

__all__ = ["as_model", "holds_adapter", "load_model", "read_weights", "recognize", "save_model"]

_CONFIG_KEY = "sam2_config"


@suggests_arguments
def load_model(
    name_or_path: str | os.PathLike[str] = "nano",
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    image_size: int | None = None,
    compile: bool = False,
    approximations: str | Iterable[str] | None = None,
    trainable: bool | str | Iterable[str] = False,
    variant: str | ModelConfig | None = None,
) -> Sam2:
    """Load a model.

    Parameters
    ----------
    name_or_path
        Name of a registered model (``nano``, ``sam2.1_hiera_tiny``, ...) that is shipped, downloaded, added
        or in the Hugging Face cache; or the path of a ``.pt`` or ``.safetensors`` file, or of a folder that
        ``sam2 train`` wrote. A file that still has the name that the authors of a registered model gave it is
        loaded as that, with the size of its input. An adapter is loaded over its base model.
        ``hf:owner/name`` is a model on the Hugging Face hub, fetched once (``sam2-plugins[hub]``).
    device
        ``auto`` takes CUDA, then Apple's MPS, then the CPU.
    dtype
        Type to compute in; weights stay float32. ``auto`` takes bfloat16 where the device has instructions
        for it, else float32; the environment's ``SAM2_DTYPE`` goes before that.
    image_size
        Side of the square model input in pixels, a multiple of 32; by default the variant's own.
    compile
        Have ``torch.compile`` make programs of the model's parts when they are first used, which takes a
        minute or more and is for long work on a GPU. It needs a C++ compiler.
    approximations
        What sessions with the model may compute roughly, to track faster: ``fast`` for all that there is, or
        names of ``modeling.approximations.APPROXIMATIONS``. By default nothing.
    trainable
        Which weights take gradients: all, or those of some parts of the model, by the beginnings of their
        names in its ``state_dict()``: ``sam_mask_decoder``, ``image_encoder.neck``, ... By default none.
    variant
        Which model it is, for a file of plain weights that does not say so (``torch.save(model.state_dict(),
        ...)`` of nano, or of a configuration of one's own).

    Returns
    -------
    Sam2
        In evaluation mode, also if it is trainable: ``model.train()`` adds dropout and drop path.

    Raises
    ------
    InputError
        If the model is unknown or not on this machine, or its file is damaged, of another model, or
        holds code; if the device or the dtype does not exist here, or no weight has such a name.

    Examples
    --------
    >>> model = load_model("nano", device="cpu", image_size=256)
    >>> model.config.name, model.image_size, model.device.type
    ('nano', 256, 'cpu')
    """
    if not isinstance(name_or_path, str | os.PathLike):
        raise InputError(f"A model is loaded by its name or its file, not by {name_or_path!r}.")
    target = find_device(device)
    precision, rough = choose_dtype(dtype, target), approximations_of(approximations)
    config, weights = _read_named(os.fspath(name_or_path), variant)
    if config.intensities == "usual" and variant is None:  # unless a card beside the weights says another
        config = replace(config, intensities=expected_pixels(os.fspath(name_or_path)))
    if image_size is not None:
        config = config.with_image_size(image_size)
    with torch.device("meta"):
        model = Sam2(config)
    model.load_state_dict(weights, assign=True)
    model.compute_dtype, model.approximations = precision, approximations_of(rough, config)
    model.loaded_as = (os.fspath(name_or_path), image_size) if variant is None else None
    if compile:
        model.compile()
    return _trainable(model.eval(), trainable).to(target)


def _read_named(name: str, variant: str | ModelConfig | None) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Read the weights of a name or path, a registered model's as what it is registered as."""
    path, known = _locate(name), registered(name)
    taught = known is not None and not known.is_variant and variant is None
    config, weights = read_weights(path, known.config if known is not None and taught else variant)
    if not taught and name in REGISTRY and config.name != name:
        raise InputError(f"{path} holds {config.name}, not {name}: delete it and download again.")
    return config, weights


def _trainable(model: Sam2, parts: bool | str | Iterable[str]) -> Sam2:
    """Let gradients reach the weights of some parts alone, or all, or none."""
    if isinstance(parts, bool):
        return model.requires_grad_(parts)
    chosen = [parts] if isinstance(parts, str) else [*parts]
    names = [name for name, _ in model.named_parameters()]
    known = {".".join(name.split(".")[: depth + 1]) for name in names for depth in range(name.count(".") + 1)}
    for part in chosen:
        if part not in known:
            raise InputError(
                f"No weight of {model.config.name} has a name that begins with {part!r}"
                f"{did_you_mean(part, known)}: give True for all, or some of "
                f"{', '.join(name for name, _ in model.named_children())}, or of their parts."
            )
    beginnings = tuple(f"{part}." for part in chosen)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(f"{name}.".startswith(beginnings))
    return model


def as_model(model: Sam2 | str | os.PathLike[str]) -> Sam2:
    """Return a loaded model, which may be given by its name or path instead.

    Raises
    ------
    InputError
        If it is neither; or as ``load_model``.
    """
    if isinstance(model, Sam2):
        return model
    if isinstance(model, str | os.PathLike):
        return load_model(model)
    raise InputError(
        f"A model is what load_model returns, its name, or its file, not a {type(model).__name__}: give "
        "load_model('nano')."
    )


def save_model(model: Sam2, path: str | os.PathLike[str], dtype: torch.dtype = torch.float32) -> None:
    """Write a model as safetensors with its configuration in the metadata.

    Parameters
    ----------
    model
        The model; it is not changed.
    path
        Target, ``.safetensors``. It is replaced only once the new file is complete.
    dtype
        Type in which the weights are stored. ``load_model`` reads all of them as float32, so
        float16 only halves the file.

    Raises
    ------
    InputError
        If the file cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> nano = load_model("nano", device="cpu")
    >>> with TemporaryDirectory() as folder:
    ...     save_model(nano, f"{folder}/mine.safetensors", dtype=torch.float16)
    ...     again = load_model(f"{folder}/mine.safetensors", device="cpu")
    >>> again.config == nano.config
    True
    """
    target = Path(path)
    weights = {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None).contiguous()
        for name, tensor in model.state_dict().items()
    }
    said = {_CONFIG_KEY: json.dumps(config_to_dict(model.config))}
    metadata = bound(said, {name: tensor.shape for name, tensor in weights.items()})
    try:
        with replacing(target) as aside:
            save_file(weights, aside, metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"The model could not be written to {target} ({error}): check the folder and its free space."
        ) from None


def read_weights(
    path: Path, variant: str | ModelConfig | None = None
) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Read a file of any known layout.

    Parameters
    ----------
    path
        ``.safetensors``, or what ``torch.save`` wrote.
    variant
        Which model it is, if the file does not say so.

    Returns
    -------
    tuple[ModelConfig, dict[str, Tensor]]
        The recognized configuration, and the float32 weights under their official names: exactly those
        of ``Sam2(config)``.

    Raises
    ------
    InputError
        If the file is damaged, of another model, or holds code or values that are no numbers.
    """
    if not path.is_file():
        raise InputError(f"There is no checkpoint {path}: check the path.")
    if path.suffix == ".safetensors":
        weights, metadata = read_safetensors(path)
    else:
        weights, metadata = read_torch(path), {}
    if is_adapter(metadata):
        return _read_adapted(Adapter.read(weights, metadata, path), path)
    if variant is None:
        check_bound(metadata, {name: t.shape for name, t in weights.items()}, path)
    config = _own_config(metadata, path) if variant is None else _variant(variant)
    config = config or recognize({name: t.shape for name, t in weights.items()}, path, _warn)
    expected = _expected(config, len(weights), path)
    if is_huggingface(weights):
        weights = from_huggingface(weights, expected)
    _check_strictly(weights, expected, config, path)
    _check_numbers(weights, path)
    return config, {
        name: tensor.float() if expected[name].is_floating_point() else tensor.long()
        for name, tensor in weights.items()
    }


def holds_adapter(path: Path) -> bool:
    """Whether a file holds an adapter, not a model; its weights are not read."""
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return is_adapter(file.metadata() or {})
    except (SafetensorError, OSError):
        return False  # whoever reads it says why


def _read_adapted(adapter: Adapter, path: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Read the base model of an adapter, and put the adapter into its weights."""
    base = find(adapter.base.name)
    if base is None:
        name, known = adapter.base.name, REGISTRY.get(adapter.base.name)
        fetched = is_hub_name(name) or (known is not None and known.path is not None)
        get = f"sam2 download {name}" if fetched else f"sam2 models add FILE --name {name}"
        raise InputError(
            f"{path} is an adapter for the model {adapter.base.name}, which is not on this machine: get it "
            f"first, with `{get}`."
        )
    if holds_adapter(base):
        raise InputError(
            f"{path} is an adapter for {adapter.base.name}, which is an adapter itself: train it again."
        )
    config, weights = _read_named(adapter.base.name, None)
    weights = adapter.over(weights, path)
    if config.name != adapter.config.name:
        raise InputError(f"{path} says that it changes {adapter.config.name}, and its base is {config.name}.")
    _check_strictly(weights, _expected(adapter.config, len(weights), path), adapter.config, path)
    _check_numbers(weights, path)
    return adapter.config, weights


def _warn(sentence: str) -> None:
    warnings.warn(sentence, InputWarning, stacklevel=4)


def _variant(variant: str | ModelConfig) -> ModelConfig:
    if isinstance(variant, ModelConfig):
        return variant
    if variant not in VARIANTS:
        raise InputError(
            f"There is no variant {variant!r}{did_you_mean(str(variant), VARIANTS)}: give "
            f"{', '.join(VARIANTS)}, or a ModelConfig."
        )
    return VARIANTS[variant]


def _locate(name_or_path: str | os.PathLike[str]) -> Path:
    name = os.fspath(name_or_path)
    path = find(name)
    if path is not None:
        return path
    if is_hub_name(name):
        from sam2_engine.weights.downloads import download  # which reads what it has fetched

        return download(name)
    known = REGISTRY.get(name)
    if known is not None and known.page is not None:
        fetched = f"`sam2 download {name}` fetches it, or, without a network, "
        raise InputError(
            f"{name} is not on this machine: {fetched if known.path else ''}"
            f"`sam2 models add FILE --name {name}` takes it from a file of {known.page}."
        )
    if known is not None:
        raise InputError(
            f"The weights of {name} are missing from this installation: install sam2-plugins again."
        )
    if Path(name).is_dir():
        return checked_folder(name)
    if Path(name).exists() or Path(name).suffix in WEIGHT_SUFFIXES:
        return Path(name)
    wish = re.fullmatch(rf"(.+?)(@\d+|\+({'|'.join((FAST, *APPROXIMATIONS))}))+", name)
    plain = wish[1] if wish else ""
    if plain in REGISTRY or (plain and find(plain) is not None):
        raise InputError(
            f"{name!r} is a name for commands and sam2_plugins.ModelStore: give load_model {plain!r}, and "
            "image_size= or approximations= beside it."
        )
    raise InputError(
        f"There is no model {name!r}{did_you_mean(name, REGISTRY)}: give a path, the name of a file in "
        f"{cache_folder()}, or one of those that `sam2 models` lists: {', '.join(REGISTRY)}."
    )


def _own_config(metadata: Mapping[str, str], path: Path) -> ModelConfig | None:
    """Return the configuration that ``save_model`` wrote, if it wrote this file."""
    if _CONFIG_KEY not in metadata:
        return None
    try:
        return config_from_dict(json.loads(metadata[_CONFIG_KEY]))
    except (TypeError, ValueError, AttributeError, RecursionError):
        raise _unknown_config(path) from None


def _expected(config: ModelConfig, num_weights: int, path: Path) -> dict[str, Tensor]:
    """Return the weights of a model, without memory for them; every layer has some of those in the file."""
    if sum(config.stages) + config.memory_attention_layers > num_weights:
        raise _unknown_config(path)
    try:
        with torch.device("meta"):
            return Sam2(config).state_dict()
    except Exception as error:  # whatever values that do not go together lead to
        raise _unknown_config(path) from error


def _unknown_config(path: Path) -> InputError:
    return InputError(
        f"The configuration in {path} cannot be read (written by another version of this software, or "
        "damaged): save the model again, or update sam2-plugins."
    )


def _check_strictly(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], config: ModelConfig, path: Path
) -> None:
    missing = [name for name in expected if name not in weights]
    unexpected = [name for name in weights if name not in expected]
    reshaped = [name for name in expected if name in weights and weights[name].shape != expected[name].shape]
    problems = [
        f"{len(names)} {problem} ({names[0]}{', ...' if len(names) > 1 else ''})"
        for problem, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", reshaped),
        )
        if names
    ]
    if problems:
        raise InputError(
            f"{path} looks like {config.name}, but its weights do not match: {', '.join(problems)}; "
            "get it again, or give a checkpoint of an unchanged model."
        )


def _check_numbers(weights: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights with which every mask would be empty: of a training that went wrong, or damaged."""
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InputError(
                f"{path} has weights that are no numbers (NaN or infinite, in {name}): its training went "
                "wrong, or it is damaged; take an earlier one, or get it again."
            )
