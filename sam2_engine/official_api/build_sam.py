"""Models by the names of their official configuration files."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from sam2_engine.errors import InputError
from sam2_engine.modeling.config import VARIANTS
from sam2_engine.modeling.devices import find_device
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.official_api.errors import refuse_unknown
from sam2_engine.official_api.modeling.sam2_base import SAM2Base
from sam2_engine.official_api.video_predictor import SAM2VideoPredictor, SAM2VideoPredictorVOS
from sam2_engine.weights.loading import load_model

__all__ = [
    "HF_MODEL_ID_TO_FILENAMES",
    "build_sam2",
    "build_sam2_hf",
    "build_sam2_video_predictor",
    "build_sam2_video_predictor_hf",
    "split_arguments",
]

T = TypeVar("T", bound=SAM2Base)

_LOG = logging.getLogger(__name__)
_SHORT_SIZES = {"t": "tiny", "s": "small", "b+": "base_plus", "l": "large"}
_DECODER = "sam_mask_decoder_extra_args."
_POSTPROCESSING = {
    f"{_DECODER}dynamic_multimask_via_stability": True,
    f"{_DECODER}dynamic_multimask_stability_delta": 0.05,
    f"{_DECODER}dynamic_multimask_stability_thresh": 0.98,
}
_VIDEO_POSTPROCESSING = {"binarize_mask_from_pts_for_mem_enc": True, "fill_hole_area": 8}
_ARGUMENTS = ("config_file", "ckpt_path", "device", "mode", "hydra_overrides_extra", "apply_postprocessing")

HF_MODEL_ID_TO_FILENAMES: dict[str, tuple[str, str]] = {
    f"facebook/{family}-hiera-{size.replace('_', '-')}": (
        f"configs/{family}/{family}_hiera_{short}.yaml",
        f"{family}_hiera_{size}.pt",
    )
    for family in ("sam2", "sam2.1")
    for short, size in _SHORT_SIZES.items()
}
"""Names at Hugging Face, with the configuration and the checkpoint that they mean."""


def build_sam2(
    config_file: str,
    ckpt_path: str | Path | None = None,
    device: str | torch.device = "cuda",
    mode: str = "eval",
    hydra_overrides_extra: Sequence[str] = [],  # as in the official package; it is not changed
    apply_postprocessing: bool = True,
    **kwargs: object,
) -> SAM2Base:
    """Build a model for images by the name of its official configuration file.

    Parameters
    ----------
    config_file
        For example ``configs/sam2.1/sam2.1_hiera_t.yaml``; only its name is read. A variant's name
        (``nano``) is accepted as well.
    ckpt_path
        Checkpoint. None: the weights stay as they are drawn at random, as in the official package; by a
        variant's name, the variant's weights, if they are on this machine.
    device
        ``cuda``, ``cpu``, ``mps``, or ``auto``, which takes an accelerator if there is one.
    mode
        ``"eval"`` or ``"train"``. In both the weights can be trained.
    hydra_overrides_extra
        Settings such as ``++model.image_size=512``; what cannot be heeded is refused.
    apply_postprocessing
        Whether an unstable single mask gives way to the best of three.

    Raises
    ------
    InputError
        If the configuration, a setting or an argument is unknown, or the checkpoint unusable or of another
        model.

    Examples
    --------
    >>> model = build_sam2("nano", device="cpu", hydra_overrides_extra=["++model.image_size=256"])
    >>> model.image_size, model.training
    (256, False)
    """
    refuse_unknown("build_sam2", kwargs, _ARGUMENTS)
    settings = _settings(hydra_overrides_extra, _POSTPROCESSING if apply_postprocessing else {})
    model = _load(config_file, ckpt_path, device, settings)
    return _in_mode(SAM2Base(model, **settings), mode)


def build_sam2_video_predictor(
    config_file: str,
    ckpt_path: str | Path | None = None,
    device: str | torch.device = "cuda",
    mode: str = "eval",
    hydra_overrides_extra: Sequence[str] = [],  # as in the official package; it is not changed
    apply_postprocessing: bool = True,
    vos_optimized: bool = False,
    **kwargs: object,
) -> SAM2VideoPredictor:
    """Build a model for videos, as ``build_sam2`` does for images.

    Parameters
    ----------
    config_file, ckpt_path, device, mode, hydra_overrides_extra
        As for ``build_sam2``; settings of the predictor, such as ``++model.non_overlap_masks=true``, are
        heeded as well.
    apply_postprocessing
        Whether, beside what it does in ``build_sam2``, masks of clicks are remembered as certain, and small
        holes are filled (on CUDA devices only, as in the official package).
    vos_optimized
        Compile the model; it decides over time, not over masks, and nothing is compiled here.

    Raises
    ------
    InputError
        As ``build_sam2``.
    """
    refuse_unknown("build_sam2_video_predictor", kwargs, (*_ARGUMENTS, "vos_optimized"))
    if vos_optimized:
        _LOG.warning("vos_optimized: nothing is compiled here; masks are the same.")
    postprocessing = {**_POSTPROCESSING, **_VIDEO_POSTPROCESSING} if apply_postprocessing else {}
    settings = _settings(hydra_overrides_extra, postprocessing)
    model = _load(config_file, ckpt_path, device, settings)
    predictor = SAM2VideoPredictorVOS if vos_optimized else SAM2VideoPredictor
    return _in_mode(predictor(model, **settings), mode)


def build_sam2_hf(model_id: str, **kwargs: Any) -> SAM2Base:
    """Build a model by its name at Hugging Face, such as ``facebook/sam2.1-hiera-tiny``.

    Raises
    ------
    InputError
        If the name is unknown, or the model not on this machine (``sam2 download`` fetches it).
    """
    return build_sam2(_variant_of(model_id), **kwargs)


def build_sam2_video_predictor_hf(model_id: str, **kwargs: Any) -> SAM2VideoPredictor:
    """Build a model for videos by its name at Hugging Face, as ``build_sam2_hf`` does for images."""
    return build_sam2_video_predictor(_variant_of(model_id), **kwargs)


def split_arguments(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide the arguments of ``from_pretrained`` into those of ``build_sam2`` and all others."""
    building = {name: value for name, value in arguments.items() if name in _ARGUMENTS}
    return building, {name: value for name, value in arguments.items() if name not in _ARGUMENTS}


def _variant_of(model_id: str) -> str:
    name = model_id.removeprefix("facebook/").replace("-", "_")
    if name not in VARIANTS:
        known = ", ".join(HF_MODEL_ID_TO_FILENAMES)
        raise InputError(f"There is no model {model_id!r}; the known ones are: {known}.")
    return name


def _load(
    config_file: str, ckpt_path: str | Path | None, device: str | torch.device, settings: dict[str, Any]
) -> Sam2:
    """Return the model, in float32, with the settings that concern it taken out of ``settings``."""
    name, image_size = _variant(config_file), settings.pop("image_size", None)
    if ckpt_path is None and config_file not in VARIANTS:
        _LOG.warning(
            "%s without a checkpoint: the weights are random, as in the official package; give ckpt_path, or "
            "the variant's name, %s.",
            config_file,
            name,
        )
        model = _untrained(name, image_size, device)
    else:
        model = load_model(name if ckpt_path is None else ckpt_path, device, "float32", image_size)
    if model.config.name != name:
        raise InputError(f"{ckpt_path} holds {model.config.name}, but {config_file} describes {name}.")
    stable = settings.pop(f"{_DECODER}dynamic_multimask_via_stability", False)
    for detail in ("delta", "thresh"):
        key = f"{_DECODER}dynamic_multimask_stability_{detail}"
        if settings.pop(key, _POSTPROCESSING[key]) != _POSTPROCESSING[key]:
            raise InputError(f"{key} is {_POSTPROCESSING[key]} here and cannot be changed.")
    falls_back = model.config.dynamic_multimask_via_stability and stable
    model.config = replace(model.config, dynamic_multimask_via_stability=falls_back)
    return model.requires_grad_()


def _untrained(name: str, image_size: int | None, device: str | torch.device) -> Sam2:
    config = VARIANTS[name]
    if image_size is not None:
        config = config.with_image_size(image_size)
    return Sam2(config).to(find_device(device))


def _in_mode(model: T, mode: str) -> T:
    if mode not in ("eval", "train"):
        raise InputError(f"mode is 'eval' or 'train', not {mode!r}.")
    return model.train(mode == "train")


def _variant(config_file: str) -> str:
    stem = Path(config_file).name.removesuffix(".yaml")
    family, _, size = stem.rpartition("_")
    name = f"{family}_{_SHORT_SIZES.get(size, size)}" if family else stem
    name = stem if stem in VARIANTS else name
    if name not in VARIANTS:
        raise InputError(f"{config_file} is none of the known configurations: {', '.join(VARIANTS)}.")
    return name


def _settings(overrides: Sequence[str], postprocessing: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that Hydra's overrides say; those of the postprocessing come last and win."""
    settings: dict[str, Any] = {}
    for entry in overrides:
        match = re.fullmatch(r"\+*model\.([\w.]+)=(.*)", entry)
        if match is None:
            raise InputError(
                f"The override {entry!r} cannot be heeded here: overrides are ++model.NAME=VALUE, of the "
                "settings that docs/official-api.md lists."
            )
        settings[match[1]] = _value(match[2])
    return {**settings, **postprocessing}


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
