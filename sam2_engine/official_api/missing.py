"""Names of the official package that have no like here, and what to use instead of each."""

from collections.abc import Callable, Mapping
from typing import NoReturn

from sam2_engine.errors import InputError

__all__ = ["MISSING", "MissingNameError", "refusal"]

_PARTS = "use the part of a loaded model, which is a sam2_engine.modeling.{}"
_TRAINING = "sam2 train and sam2_engine.training simulate clicks"
_NEURAL = "use sam2_engine.modeling.{}"

MISSING: Mapping[str, Mapping[str, str]] = {
    "modeling.memory_attention": {
        "MemoryAttention": _PARTS.format("memory_attention.MemoryAttention"),
        "MemoryAttentionLayer": _PARTS.format("memory_attention.MemoryAttentionLayer"),
    },
    "modeling.memory_encoder": {
        "MaskDownSampler": _PARTS.format("memory_encoder.MaskDownsampler"),
        "CXBlock": _PARTS.format("memory_encoder.ConvNeXtBlock"),
        "Fuser": _PARTS.format("memory_encoder.Fuser"),
        "MemoryEncoder": _PARTS.format("memory_encoder.MemoryEncoder"),
    },
    "modeling.position_encoding": {
        "PositionEmbeddingSine": _NEURAL.format("position_encoding.sine_grid"),
        "PositionEmbeddingRandom": _NEURAL.format("position_encoding.RandomFourierEncoding"),
        "init_t_xy": _NEURAL.format("position_encoding.rotation"),
        "compute_axial_cis": _NEURAL.format("position_encoding.rotation"),
        "reshape_for_broadcast": _NEURAL.format("position_encoding.rotation"),
        "apply_rotary_enc": _NEURAL.format("position_encoding.rotation"),
    },
    "modeling.sam2_utils": {
        "select_closest_cond_frames": "use sam2_engine.video.memory_bank.select_conditioning",
        "get_1d_sine_pe": _NEURAL.format("position_encoding.sine_time"),
        "get_activation_fn": "use those of torch.nn.functional",
        "get_clones": "use copy.deepcopy in a torch.nn.ModuleList",
        "DropPath": _NEURAL.format("hiera.DropPath"),
        "MLP": _NEURAL.format("layers.MLP"),
        "LayerNorm2d": _NEURAL.format("layers.LayerNorm2d"),
        "sample_box_points": _TRAINING,
        "sample_random_points_from_errors": _TRAINING,
        "sample_one_point_from_error_center": _TRAINING,
        "get_next_point": _TRAINING,
    },
    "modeling.sam.mask_decoder": {"MaskDecoder": _PARTS.format("mask_decoder.MaskDecoder")},
    "modeling.sam.prompt_encoder": {"PromptEncoder": _PARTS.format("prompt_encoder.PromptEncoder")},
    "modeling.sam.transformer": {
        "TwoWayTransformer": _PARTS.format("mask_decoder.TwoWayTransformer"),
        "TwoWayAttentionBlock": _PARTS.format("mask_decoder.TwoWayLayer"),
        "Attention": _PARTS.format("attention.Attention"),
        "RoPEAttention": _PARTS.format("attention.RotaryAttention"),
    },
    "modeling.backbones.hieradet": {
        "do_pool": _NEURAL.format("hiera.pool"),
        "MultiScaleAttention": _PARTS.format("hiera.MultiScaleAttention"),
        "MultiScaleBlock": _PARTS.format("hiera.MultiScaleBlock"),
        "Hiera": _PARTS.format("hiera.Hiera"),
    },
    "modeling.backbones.image_encoder": {
        "ImageEncoder": _PARTS.format("image_encoder.ImageEncoder"),
        "FpnNeck": _PARTS.format("image_encoder.FeaturePyramid"),
    },
    "modeling.backbones.utils": {
        "window_partition": _NEURAL.format("hiera.partition_windows"),
        "window_unpartition": _NEURAL.format("hiera.merge_windows"),
        "PatchEmbed": _PARTS.format("hiera.PatchEmbed"),
    },
    "utils.misc": {
        "get_sdpa_settings": "PyTorch chooses how attention is computed",
        "get_connected_components": "use skimage.measure.label",
        "AsyncVideoFrameLoader": "use load_video_frames, which reads frames when they are asked for",
        "load_video_frames_from_jpg_images": "use load_video_frames",
        "load_video_frames_from_video_file": "use load_video_frames",
    },
}
"""Their modules and names; models are not made of parts here, and their parts take other arguments."""


class MissingNameError(InputError, ImportError):
    """An official name that is not here; importing the official one would raise an ImportError."""


def refusal(module: str) -> Callable[[str], NoReturn]:
    """Return the ``__getattr__`` of a module, which says what to use instead of an official name."""
    names = MISSING[module.removeprefix("sam2_engine.official_api.")]

    def refuse(name: str) -> NoReturn:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        raise MissingNameError(
            f"{module} has no {name}, which is internal to the official package: {names[name]}."
        )

    return refuse
