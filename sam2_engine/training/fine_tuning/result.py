"""Result of a run as files: weights or an adapter, and, in a folder, the card that says what they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from torch import Tensor

from sam2_engine.datasets import AnnotatedData, AnnotatedVideo
from sam2_engine.errors import InputError
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.training.fine_tuning.config import TrainingConfig
from sam2_engine.training.fine_tuning.low_rank import LowRank
from sam2_engine.training.fine_tuning.validation import Score, improvement
from sam2_engine.weights.adapters import Adapter, AdapterBase, weights_digest
from sam2_engine.weights.loading import holds_adapter, save_model
from sam2_engine.weights.locations import find
from sam2_engine.weights.model_folder import (
    ADAPTER_FILE,
    CARD_FILE,
    MODEL_FILES,
    WEIGHTS_FILE,
    ModelCard,
    Preprocessing,
    file_sha256,
    write_card,
)
from sam2_engine.weights.pixel_rules import AS_THEY_ARE, rule_of
from sam2_engine.weights.registry import REGISTRY

__all__ = ["RunResult", "make_card"]

_SAM2 = "Ravi et al., SAM 2: Segment Anything in Images and Videos, arXiv:2408.00714"


@dataclass(frozen=True)
class RunResult:
    """Where the result of a run goes, and what it began with.

    Attributes
    ----------
    path
        A ``.safetensors`` file, or a folder, which gets a card as well.
    base
        The model that the run begins with.
    as_adapter
        Whether an adapter is written: where one is trained over a model that has a name. Over a file, which
        others have not, the whole model is written.
    license
        Of the weights, if somebody said.
    """

    path: Path
    base: AdapterBase
    as_adapter: bool
    license: str | None = None

    @classmethod
    def of(cls, path: Path, model: Sam2, config: TrainingConfig, license: str | None = None) -> "RunResult":
        """Return that of a run which begins with this model."""
        found = find(config.model)
        named = found is not None and not holds_adapter(found)
        base = AdapterBase(
            config.model if found else Path(config.model).name, weights_digest(model.state_dict())
        )
        return cls(path, base, bool(config.lora) and named, license)

    @property
    def weights(self) -> Path:
        """The file of the weights."""
        if self.path.suffix == ".safetensors":
            return self.path
        return self.path / (ADAPTER_FILE if self.as_adapter else WEIGHTS_FILE)

    def make_folder(self) -> None:
        """Make the folder of the result, before any work.

        Raises
        ------
        InputError
            If it cannot be made.
        """
        if self.path != self.weights:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"The folder {self.path} cannot be made ({error.strerror}).") from None

    def save(self, model: Sam2, adapters: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Write the weights, or, of a run that trained them over a named model, the adapters alone.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        if self.path != self.weights:  # what was there before is no longer what the folder holds
            # A README beside weights without a card is somebody's own.
            ours = MODEL_FILES if (self.path / CARD_FILE).is_file() else (WEIGHTS_FILE, ADAPTER_FILE)
            for name in ours:
                (self.path / name).unlink(missing_ok=True)
        if self.as_adapter:
            Adapter(self.base, model.config, LowRank.scale, adapters).save(self.weights)
        else:
            save_model(model, self.weights)

    def save_card(self, card: ModelCard) -> None:
        """Write the card, where the result is a folder; a file alone has none."""
        if self.path != self.weights:
            write_card(self.path, card)


def make_card(
    result: RunResult,
    model: Sam2,
    config: TrainingConfig,
    data: AnnotatedData,
    training: Sequence[Sequence[int]],
    scores: tuple[Score, Score],
) -> ModelCard:
    """Return the card of what a run has written.

    Parameters
    ----------
    result, model, config
        The weights, the model that they are of, and how it was trained.
    data, training
        What was used, and the frames of each video that were trained on.
    scores
        Before and after, on what was held out.
    """
    known = REGISTRY.get(result.base.name)
    before, after = scores
    return ModelCard(
        name=result.path.absolute().name,
        architecture=model.config.name,
        sha256=file_sha256(result.weights),
        base=result.base.name,
        base_digest=result.base.digest,
        base_license="not known" if known is None else known.license,
        trained=_trained(config),
        steps=config.total_steps,
        data={**_counts(data.videos, training), "description": data.description},
        before=before.to_dict(),
        after=after.to_dict(),
        gain=improvement(before, after),
        software=f"sam2-plugins {version('sam2-plugins')}",
        citation=_SAM2 if known is None or known.citation == "this software" else known.citation,
        preprocessing=_preprocessing(data.videos[0], training, model),
        license=result.license,
    )


def _trained(config: TrainingConfig) -> str:
    if config.lora:
        return f"low-rank adapters of rank {config.lora} on {config.lora_blocks}"
    return "all of it" if config.train_image_encoder else "all but the image encoder"


def _counts(videos: Sequence[AnnotatedVideo], training: Sequence[Sequence[int]]) -> dict[str, int]:
    """Return how many images, frames of videos, and objects on them were trained on."""
    images = sum(len(frames) for video, frames in zip(videos, training) if len(video.visible) == 1)
    frames = sum(len(frames) for frames in training) - images
    objects = sum(len(ids) for video, chosen in zip(videos, training) for ids in [_ids(video, chosen)])
    counts = {"images": images, "frames": frames, "objects": objects}
    return {name: count for name, count in counts.items() if count}


def _ids(video: AnnotatedVideo, frames: Sequence[int]) -> frozenset[int]:
    return frozenset().union(*(video.visible[frame] for frame in frames))


def _preprocessing(video: AnnotatedVideo, training: Sequence[Sequence[int]], model: Sam2) -> Preprocessing:
    frames = video.frames
    tracked = any(len(chosen) > 1 for chosen in training)
    return Preprocessing(
        channels="RGB" if frames.is_rgb else "gray",
        pixels=str(frames.dtype),
        window=AS_THEY_ARE if video.window is None else rule_of(model.config.intensities).words,
        input_size=model.image_size,
        axes=f"{frames.axis or 'T'}YX" if tracked else "YX",
    )
