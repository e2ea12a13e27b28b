"""Configurations of all models, one row each (paper section 4, appendix D; Hiera, Ryali et al. 2023).

Beside SAM 2 and nano there are relatives, each with a trunk or a memory of its own: EfficientTAM (Xiong et
al. 2024) and EdgeTAM (Zhou et al. 2025). What a further one needs is in CONTRIBUTING.md.
"""

from dataclasses import asdict, dataclass, replace
from math import isqrt
from typing import Any

from sam2_engine.errors import InputError

__all__ = ["VARIANTS", "ModelConfig", "config_from_dict", "config_to_dict"]


@dataclass(frozen=True)
class ModelConfig:
    """Shape and behavior of one model.

    Attributes
    ----------
    name
        Name of the variant, the official checkpoint's file stem.
    trunk
        Kind of the trunk, a name of ``image_encoder.TRUNKS``: ``hiera``, ``vit`` or ``repvit``.
    image_size
        Side of the square model input in pixels; a multiple of ``size_step``.
    embed_dim, num_heads, stages
        Trunk: channels and attention heads of the first stage (both double from stage to stage) and the
        number of blocks per stage. A trunk of one stage has the stride 16, and there are no finer features.
    global_attention_blocks
        Indices of the blocks that attend to the whole plane instead of to windows.
    window_sizes
        Window side per stage, in tokens.
    pos_embed_size
        Side of the background position embedding, in cells.
    hidden_dim, memory_dim
        Channels of the image embedding (256 in all official models) and of a memory (64).
    memory_attention_layers, memory_attention_ffn
        Depth and feed-forward width of memory attention.
    memory_pooling
        How memories are pooled 2 x 2 where a frame attends to several: ``none``, or a rule of
        ``relatives.pooled_attention``.
    memory_latents
        To how many latents of the whole frame, and as many of its windows, a memory is squeezed; a square
        number, or 0: every cell is kept.
    num_recent_memories
        Recent frames in the memory bank beside the conditioning frames (the paper's N = 6).
    signed_pointer_time
        SAM 2.1: object pointers carry a projected, signed time difference.
    absent_memory_embedding
        SAM 2.1: memories of an absent object carry an embedding of their own.
    multimask_output_in_sam
        For one click, and on a propagated frame, the best of three masks is predicted; else the single mask,
        as for every other prompt.
    dynamic_multimask_via_stability
        Where the single mask is unstable, the best of the three replaces it.
    removes_small_components
        What clicks or a box give is without components far smaller than what was clicked, also in a
        session that is not told to remove them; the official models show all.
    wide_view
        How many times as wide and as high as the image the view is in which large objects are predicted too;
        1: they are not, as in the official models; ``model.config = replace(model.config, wide_view=3.0)``
        switches it on.
    large_object
        Part of the image, 0..1: a box or a mask that covers more is large.
    doubtful_iou
        Clicks that give a predicted IoU below this are predicted in the wider view too.
    max_aspect_ratio
        Images that are longer than so many times their width are worked on in tiles; None: however long they
        are, as the official models do.
    pred_iou_thresh, stability_score_thresh
        Of ``AutomaticMaskGenerator``, where it is given none; the official values are beyond what nano gives.
    confidence
        Least predicted IoU times stability of an object that is found without a prompt, where hosts are
        given none; by default the product of the official thresholds.
    intensities
        Which gray levels it was taught as black and white: a rule of ``weights.pixel_rules``, or a
        window.
    keeps_aspect_ratio
        Whether a plane that is not square is padded with black to a square, on its right or below, and not
        squashed into one.
    """

    name: str
    embed_dim: int
    num_heads: int
    stages: tuple[int, ...]
    global_attention_blocks: tuple[int, ...]
    window_sizes: tuple[int, ...] = (8, 4, 14, 7)
    pos_embed_size: tuple[int, int] = (7, 7)
    image_size: int = 1024
    hidden_dim: int = 256
    memory_dim: int = 64
    memory_attention_layers: int = 4
    memory_attention_ffn: int = 2048
    num_recent_memories: int = 6
    signed_pointer_time: bool = True
    absent_memory_embedding: bool = True
    multimask_output_in_sam: bool = True
    dynamic_multimask_via_stability: bool = True
    drop_path: float = 0.1
    removes_small_components: bool = False
    wide_view: float = 1.0
    large_object: float = 0.12
    doubtful_iou: float = 0.5
    max_aspect_ratio: float | None = None
    pred_iou_thresh: float = 0.8
    stability_score_thresh: float = 0.95
    confidence: float = 0.76
    trunk: str = "hiera"
    memory_pooling: str = "none"
    memory_latents: int = 0
    intensities: str = "usual"
    keeps_aspect_ratio: bool = False

    @property
    def stage_dims(self) -> tuple[int, ...]:
        """Channels of the trunk's stages, finest first."""
        return tuple(self.embed_dim * 2**i for i in range(len(self.stages)))

    @property
    def high_res_features(self) -> bool:
        """Whether the mask decoder is given features of the strides 4 and 8, which only a pyramid has."""
        return len(self.stages) > 1

    @property
    def remembers_windows(self) -> bool:
        """Whether a memory may show a part of the grid; what is pooled or squeezed has to be whole."""
        return self.memory_pooling == "none" and not self.memory_latents

    @property
    def size_step(self) -> int:
        """What the input's side is a multiple of: the coarsest stride, or windows of one cell."""
        return max(32, 16 * isqrt(self.memory_latents))

    def extent(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return the (H, W) that the square input shows of a plane of a shape, in the plane's pixels.

        Examples
        --------
        >>> usual = VARIANTS["nano"]
        >>> usual.extent((300, 400)), replace(usual, keeps_aspect_ratio=True).extent((300, 400))
        ((300, 400), (400, 400))
        """
        return (max(shape), max(shape)) if self.keeps_aspect_ratio else shape

    def with_image_size(self, image_size: int) -> "ModelConfig":
        """Return this configuration for another input side in pixels.

        Raises
        ------
        InputError
            If ``image_size`` is not a positive multiple of ``size_step``.
        """
        if image_size <= 0 or image_size % self.size_step:
            raise InputError(f"image_size must be a positive multiple of {self.size_step}, not {image_size}.")
        return replace(self, image_size=image_size)


_SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"embed_dim": 96, "num_heads": 1, "stages": (1, 2, 7, 2), "global_attention_blocks": (5, 7, 9)},
    "small": {
        "embed_dim": 96,
        "num_heads": 1,
        "stages": (1, 2, 11, 2),
        "global_attention_blocks": (7, 10, 13),
    },
    "base_plus": {
        "embed_dim": 112,
        "num_heads": 2,
        "stages": (2, 3, 16, 3),
        "global_attention_blocks": (12, 16, 20),
        "pos_embed_size": (14, 14),
        "drop_path": 0.2,
    },
    "large": {
        "embed_dim": 144,
        "num_heads": 2,
        "stages": (2, 6, 36, 4),
        "global_attention_blocks": (23, 33, 43),
        "window_sizes": (8, 4, 16, 8),
        "drop_path": 0.3,
    },
}
_LARGEST = 1 << 16
"""Beyond all counts, widths and sides of models."""

_SAM_2_0: dict[str, Any] = {"signed_pointer_time": False, "absent_memory_embedding": False}

_EFFICIENT_SIZES: dict[str, dict[str, Any]] = {
    "ti": {"embed_dim": 192, "num_heads": 3},
    "s": {"embed_dim": 384, "num_heads": 6},
}
_EFFICIENT: dict[str, Any] = {
    "trunk": "vit",
    "stages": (12,),
    "global_attention_blocks": (2, 5, 8, 11),
    "window_sizes": (14,),
    "pos_embed_size": (14, 14),
    "drop_path": 0.0,
    **_SAM_2_0,
}
_EFFICIENT_KINDS: dict[str, dict[str, Any]] = {
    "": {},
    "_512x512": {"image_size": 512},
    "_1": {"memory_pooling": "weighted"},
    "_2": {"memory_pooling": "shifted"},
}
"""Of one size all have the same weights by name and shape: the name of the file says which it is."""

VARIANTS: dict[str, ModelConfig] = {
    config.name: config
    for config in (
        *(ModelConfig(name=f"sam2.1_hiera_{size}", **row) for size, row in _SIZES.items()),
        *(ModelConfig(name=f"sam2_hiera_{size}", **row, **_SAM_2_0) for size, row in _SIZES.items()),
        *(
            ModelConfig(name=f"efficienttam_{size}{kind}", **{**_EFFICIENT, **row, **changes})
            for size, row in _EFFICIENT_SIZES.items()
            for kind, changes in _EFFICIENT_KINDS.items()
        ),
        ModelConfig(
            name="edgetam",
            trunk="repvit",
            embed_dim=48,
            num_heads=1,
            stages=(2, 2, 14, 2),
            global_attention_blocks=(),
            drop_path=0.0,
            memory_attention_layers=2,
            memory_latents=256,
            **_SAM_2_0,
        ),
        ModelConfig(
            name="nano",
            embed_dim=48,
            num_heads=1,
            stages=(1, 2, 5, 1),
            global_attention_blocks=(5, 7),
            window_sizes=(8, 4, 12, 8),
            image_size=512,
            hidden_dim=128,
            memory_attention_layers=2,
            memory_attention_ffn=512,
            num_recent_memories=3,
            drop_path=0.0,
            multimask_output_in_sam=False,
            dynamic_multimask_via_stability=False,
            removes_small_components=True,
            wide_view=3.0,
            max_aspect_ratio=2.5,
            pred_iou_thresh=0.8,
            stability_score_thresh=0.7,
            confidence=0.3,  # F1 on nuclei and cells, benchmarks/results/automatic.md
        ),
    )
}


def config_to_dict(config: ModelConfig) -> dict[str, Any]:
    """Return ``config`` as plain JSON values."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}


def config_from_dict(values: dict[str, Any]) -> ModelConfig:
    """Rebuild a configuration from ``config_to_dict``'s output.

    What it does not say, as of a version that did not know it yet, is as in the variant of its name.

    Raises
    ------
    TypeError
        If a key is unknown or a required one is missing.
    ValueError
        If a value is of another type, or beyond any model.
    """
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
    for key, value in fields.items():
        if not any(_is_plausible(value, getattr(usual, key, value)) for usual in VARIANTS.values()):
            raise ValueError(f"{key} cannot be {value!r:.40}")
    known = VARIANTS.get(fields.get("name", ""))
    config = ModelConfig(**fields) if known is None else replace(known, **fields)
    return config.with_image_size(config.image_size)


def _is_plausible(value: Any, usual: Any) -> bool:
    """Whether a value is of the type of a usual one, and of a size that models have."""
    if isinstance(usual, tuple):
        return isinstance(value, tuple) and len(value) <= _LARGEST and all(_is_plausible(n, 0) for n in value)
    if isinstance(usual, float):
        return isinstance(value, int | float) and abs(value) <= _LARGEST
    if type(usual) is int:
        return type(value) is int and 0 <= value <= _LARGEST
    return type(value) is type(usual)
