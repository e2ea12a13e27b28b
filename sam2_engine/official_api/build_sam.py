"""Models by the names of their official configuration files."""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.modeling.config import VARIANTS
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.weights.loading import load_model

__all__ = ["build_sam2", "build_sam2_hf", "config_of", "load_official", "read_overrides"]

_SHORT_SIZES = {"t": "tiny", "s": "small", "b+": "base_plus", "l": "large"}
_OVERRIDE = r"\+*model\.(image_size|max_cond_frames_in_attn)=(-?\d+)"


def build_sam2(
    config_file: str,
    ckpt_path: str | Path | None = None,
    device: str | torch.device = "auto",
    mode: str = "eval",
    hydra_overrides_extra: Sequence[str] = (),
    apply_postprocessing: bool = True,
    **kwargs: object,
) -> Sam2:
    """Load a model by the name of its official configuration file.

    Parameters
    ----------
    config_file
        For example ``configs/sam2.1/sam2.1_hiera_t.yaml``; only its name is read. A variant's name
        (``nano``) is accepted as well.
    ckpt_path
        Checkpoint; None takes the variant's weights, if they are on this machine.
    device
        ``auto`` takes an accelerator if there is one.
    mode
        ``"eval"`` or ``"train"``.
    hydra_overrides_extra
        ``++model.image_size=N`` is understood; others have no effect here and give a warning.
    apply_postprocessing, **kwargs
        Taken for compatibility; the engine always chooses a stable mask, as the official default does.

    Raises
    ------
    InputError
        If the configuration is not known, or the checkpoint unusable or of another model.
    """
    return load_official(config_file, ckpt_path, device, mode, read_overrides(hydra_overrides_extra))


def build_sam2_hf(model_id: str, **kwargs: Any) -> Sam2:
    """Load a model by its name at Hugging Face, for example ``facebook/sam2.1-hiera-tiny``."""
    return build_sam2(config_of(model_id), **kwargs)


def config_of(model_id: str) -> str:
    """Return the variant that a name at Hugging Face means."""
    return model_id.rpartition("/")[2].replace("-", "_")


def load_official(
    config_file: str,
    ckpt_path: str | Path | None,
    device: str | torch.device,
    mode: str,
    overrides: Mapping[str, int],
) -> Sam2:
    """Load a model with overrides from ``read_overrides``."""
    name = _variant(config_file)
    model = load_model(
        name if ckpt_path is None else ckpt_path, device, image_size=overrides.get("image_size")
    )
    if model.config.name != name:
        raise InputError(f"{ckpt_path} holds {model.config.name}, but {config_file} describes {name}.")
    return model.train(mode == "train")


def _variant(config_file: str) -> str:
    stem = Path(config_file).name.removesuffix(".yaml")
    family, _, size = stem.rpartition("_")
    name = f"{family}_{_SHORT_SIZES.get(size, size)}" if family else stem
    name = stem if stem in VARIANTS else name
    if name not in VARIANTS:
        raise InputError(f"{config_file} is none of the known configurations: {', '.join(VARIANTS)}.")
    return name


def read_overrides(entries: Sequence[str]) -> dict[str, int]:
    """Return the overrides that the engine supports; warn of the others."""
    overrides = {}
    for entry in entries:
        match = re.fullmatch(_OVERRIDE, entry)
        if match:
            overrides[match[1]] = int(match[2])
        else:
            warnings.warn(f"The override {entry!r} has no effect here.", InputWarning, stacklevel=3)
    return overrides
