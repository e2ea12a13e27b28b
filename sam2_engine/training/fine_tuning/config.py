"""Settings of a fine-tuning run, by default the paper's (section D.2)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, TypeVar

from sam2_engine.errors import InputError
from sam2_engine.training.fine_tuning.augmentation import AugmentationConfig
from sam2_engine.training.fine_tuning.interactive_training import PromptConfig
from sam2_engine.training.fine_tuning.low_rank import changes_trunk
from sam2_engine.training.losses import LossWeights
from sam2_engine.wording import did_you_mean

__all__ = ["TrainingConfig", "usual_steps", "with_current_names"]

T = TypeVar("T")

# Names of settings in files that were written by earlier versions.
_EARLIER_NAMES = {
    "everything": "train_image_encoder",
    "picture_objects": "image_objects",
    "picture_every": "image_every",
    "on_truth": "on_object",
}
_PASSES, _FEWEST_STEPS, _MOST_STEPS = 20, 100, 1000
_HIGHEST_STEPS = 1_000_000_000
_HIGHEST_SEED = 2**32 - 1
_EXAMPLES = {"steps": 500, "image_size": 512, "layer_decay": 0.8}
"""Values of settings that are None by default."""
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is fine-tuned.

    Attributes
    ----------
    model
        Where to start: a variant's name or a path.
    train_image_encoder
        Train the image encoder too. By default it is frozen, with its two projections for the mask decoder,
        and every frame is encoded once.
    lora, lora_blocks
        Rank of low-rank adapters, which alone are trained, beside frozen weights; 0: none. The blocks that
        get them: ``trunk``, ``decoder``, ``memory``, or some of the trunk by number: ``8-11,decoder``.
    steps
        Steps; None: as many as fit the data (``usual_steps``), or as the run has that is continued.
    batch_size
        Samples (an image, or a clip) per step in all processes together.
    learning_rate, encoder_rate
        Peak of the learning rate; the image encoder's as a part of it. Adapters have ten times that rate.
    layer_decay
        Factor from each block of the trunk to the one before; None: the paper's for the model's size.
    warmup, final
        Part of the steps that the rate rises linearly; the last rate as a part of the peak (cosine).
    weight_decay, clip
        Of AdamW, not for biases and norms; largest norm of the gradient.
    clip_length, clip_objects, image_objects
        Frames of a clip; objects prompted in a clip, and in an image.
    clip_share
        Part of the steps that train on clips, where there are videos; the others train on single frames.
    views
        With a frozen encoder: augmented views of each video or image, whose features are cached.
    feature_bytes, features_on_disk
        Cap for features in memory; whether all are also cached in the run's folder.
    image_size, dtype
        As for ``load_model``.
    checkpointing
        Activation checkpointing, which computes activations again: slower, for much less memory.
    save_every, image_every
        Steps between checkpoints, and between figures of predictions.
    seed
        Decides, with the step's number, everything random.
    """

    model: str = "nano"
    train_image_encoder: bool = False
    lora: int = 0
    lora_blocks: str = "trunk,decoder"
    steps: int | None = None
    batch_size: int = 2
    learning_rate: float = 1e-4
    encoder_rate: float = 0.6
    layer_decay: float | None = None
    warmup: float = 0.05
    final: float = 0.1
    weight_decay: float = 0.1
    clip: float = 0.1
    clip_length: int = 8
    clip_objects: int = 2
    image_objects: int = 8
    clip_share: float = 0.5
    views: int = 4
    feature_bytes: int = 2 * 2**30
    features_on_disk: bool = False
    image_size: int | None = None
    dtype: str = "auto"
    checkpointing: bool = True
    save_every: int = 50
    image_every: int = 100
    seed: int = 0
    prompts: PromptConfig = field(default_factory=PromptConfig)
    losses: LossWeights = field(default_factory=LossWeights)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)

    def __post_init__(self) -> None:
        at_least_1 = ("batch_size", "clip_objects", "image_objects", "views", "save_every")
        steps = () if self.steps is None else ("steps",)
        for name in (*steps, *at_least_1, "image_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} = {getattr(self, name)}: it must be 1 or more.")
        if self.steps is not None and self.steps > _HIGHEST_STEPS:
            raise InputError(f"steps = {self.steps}: it must be {_HIGHEST_STEPS:,} or less.")
        if not 0 <= self.seed <= _HIGHEST_SEED:
            raise InputError(f"seed = {self.seed}: it must be from 0 to {_HIGHEST_SEED:,}.")
        if not self.lora and self.lora_blocks != type(self).lora_blocks:
            raise InputError(
                f"lora_blocks = {self.lora_blocks!r} says where adapters go, and there are none: give their "
                "rank, too (lora, --lora)."
            )
        if self.clip_length < 2:
            raise InputError(f"clip_length = {self.clip_length}: a clip has 2 frames or more.")
        if not 0 <= self.clip_share <= 1:
            raise InputError(f"clip_share = {self.clip_share}: it is a part, from 0 to 1.")
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate = {self.learning_rate}: it must be above 0.")
        if self.lora < 0:
            raise InputError(f"lora = {self.lora}: it is a rank, 1 or more, or 0 for no adapters.")
        if self.lora and self.train_image_encoder:
            raise InputError(
                "Either adapters are trained, or the image encoder with everything: leave out lora or "
                "train_image_encoder (--lora or --everything)."
            )

    @property
    def changes_encoder(self) -> bool:
        """Whether what encodes a frame changes from step to step, so that no features can be cached."""
        return self.train_image_encoder or (self.lora > 0 and changes_trunk(self.lora_blocks))

    @property
    def total_steps(self) -> int:
        """Steps of a run, in which it is known how many fit the data."""
        assert self.steps is not None, "the run decides: fine_tune(config, data, ...)"
        return self.steps

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainingConfig":
        """Make settings of plain values; what is not named has its default.

        Raises
        ------
        InputError
            If a name is unknown, or a value of another type than the default.
        """
        return _from_table(cls, with_current_names(values), "")


def usual_steps(frames: int, batch_size: int = 2) -> int:
    """Return how many steps fit some data: each training frame about twenty times, from 100 to 1,000 steps.

    Examples
    --------
    >>> [usual_steps(frames) for frames in (3, 35, 400)]
    [100, 350, 1000]
    """
    return min(max(-(-_PASSES * frames // batch_size), _FEWEST_STEPS), _MOST_STEPS)


def with_current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that may have been written by an earlier version, by their current names."""
    return {
        _EARLIER_NAMES.get(name, name): with_current_names(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
    }


def _from_table(kind: type[T], table: Mapping[str, Any], where: str) -> T:
    default = kind()
    known = {one.name for one in fields(default)}  # type: ignore[arg-type]
    values = {}
    for name, value in table.items():
        if name not in known:
            raise InputError(
                f"There is no setting {where}{name}{did_you_mean(name, known)}; the known ones are "
                f"{', '.join(sorted(known))}."
            )
        usual = getattr(default, name)
        if is_dataclass(usual) and not isinstance(usual, type):
            if not isinstance(value, Mapping):
                raise InputError(f"{where}{name} is a table of settings, not {value!r}.")
            values[name] = _from_table(type(usual), value, f"{name}.")
        else:
            values[name] = _of_type(usual, value, f"{where}{name}")
    return kind(**values)


def _of_type(usual: Any, value: Any, name: str) -> Any:
    usual = _EXAMPLES.get(name) if usual is None else usual
    if usual is None or value is None:
        return value
    if isinstance(usual, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(usual):
        raise InputError(f"{name} = {value!r}: it should be {_KINDS[type(usual)]}, like {usual!r}.")
    return value
