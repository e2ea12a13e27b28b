"""Batches as a function of the step, so that a resumed run repeats them exactly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sam2_engine.synthetic.compositor import Clip
from sam2_engine.training.nano.labeled_images import LabeledImage, random_view, read_folder
from sam2_engine.training.nano.scene_drawing import SceneKind, draw_scene
from sam2_engine.training.nano.scene_pool import ScenePool

__all__ = ["Batch", "BatchConfig", "Curriculum", "batches", "folders_of", "read_folders"]


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """What a batch consists of.

    Attributes
    ----------
    size
        Side of the input in pixels.
    batch_size, num_frames
        Samples, and frames per sample; 1 for images.
    max_objects
        Objects per sample.
    synthetic
        Share of synthetic scenes; the rest are views of labeled images, of each folder equally often.
    corrections
        Most correction clicks after a first click or box.
    all_styles
        Draw synthetic scenes of every style, not only of the five that nano was first trained on.
    full_input
        ``size`` is the model's full input, not a crop of it.
    """

    size: int
    batch_size: int
    num_frames: int = 1
    max_objects: int
    synthetic: float
    corrections: int = 2
    all_styles: bool = False
    full_input: bool = False

    @property
    def scene_kind(self) -> SceneKind:
        """What its synthetic scenes are."""
        return SceneKind(self.num_frames, self.size, self.all_styles)


@dataclass(frozen=True)
class Batch:
    """Frames (B, T, 3, S, S) uint8 and labels (B, T, S, S) int32."""

    frames: Tensor
    labels: Tensor


class Curriculum(Dataset[Batch]):
    """Item ``step`` is the batch of that step.

    Parameters
    ----------
    folders
        Labeled images, one sequence per folder; rare appearances (stained tissue among dark nuclei) are
        drawn more often than their number alone would make them, by its square root.
    batch_configs
        Taken in turn.
    seed
        Seed of the run.
    pool
        Scenes rendered before, to be replayed; None: every scene is rendered for the one batch.
    """

    zoom = (0.5, 3.2)

    def __init__(
        self,
        folders: Sequence[Sequence[LabeledImage]],
        batch_configs: Sequence[BatchConfig],
        seed: int,
        pool: ScenePool | None = None,
    ) -> None:
        self.pool = pool
        self.folders = folders
        self._probabilities = [_sampling_probabilities(folder) for folder in folders]
        self.batch_configs = batch_configs
        self.seed = seed

    def batch_config(self, step: int) -> BatchConfig:
        """Return what the batch of a step consists of."""
        return self.batch_configs[step % len(self.batch_configs)]

    def __getitem__(self, step: int) -> Batch:
        """Make the batch of a step."""
        config = self.batch_config(step)
        clips = [self._sample(config, [self.seed, step, i]) for i in range(config.batch_size)]
        frames = np.stack([clip.frames for clip in clips])
        labels = np.stack([clip.labels for clip in clips])
        pixels = torch.from_numpy((np.clip(frames, 0, 1) * 255).astype(np.uint8)).permute(0, 1, 4, 2, 3)
        return Batch(pixels.contiguous(), torch.from_numpy(labels))

    def _sample(self, config: BatchConfig, seed: list[int]) -> Clip:
        rng = np.random.default_rng(seed)
        if not self.folders or rng.random() < config.synthetic:
            if self.pool is not None:
                clip = self.pool.view(rng, config.scene_kind)
            else:
                clip = draw_scene(seed, config.scene_kind, rng)
        else:
            number = int(rng.integers(len(self.folders)))
            folder = self.folders[number]
            image = folder[int(rng.choice(len(folder), p=self._probabilities[number]))]
            clip = random_view(rng, image, config.num_frames, config.size, self.zoom)
        return Clip(_jitter_colors(rng, clip.frames), clip.labels)


def _sampling_probabilities(folder: Sequence[LabeledImage]) -> NDArray[np.float64]:
    """Return the probability to draw each image."""
    appearances = [image.appearance for image in folder]
    weights = np.array([appearances.count(one) for one in appearances], np.float64) ** -0.5
    total: np.float64 = weights.sum()
    return weights / total


def _jitter_colors(rng: np.random.Generator, frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Change brightness, contrast and color, as microscopes and cameras differ; a clip as one."""
    if rng.random() < 0.4:
        frames = np.repeat(frames.mean(-1, keepdims=True), 3, axis=-1)
    if rng.random() < 0.5:
        low, high = np.percentile(frames[0, ::4, ::4], (rng.uniform(0, 2), rng.uniform(98, 100)))
        frames = (frames - low) / max(high - low, 0.02)
    if rng.random() < 0.1:
        frames = 1.0 - frames
    frames = np.clip(frames, 0, 1) ** np.exp(rng.normal(0, 0.25))
    gain, shift = np.exp(rng.normal(0, 0.2)), rng.normal(0, 0.08)
    if rng.random() < 0.4:
        grain = rng.standard_normal((*frames.shape[:3], 1), dtype=np.float32) * abs(rng.normal(0, 0.03))
        frames = frames + grain
    result: NDArray[np.float32] = (frames * gain + shift).astype(np.float32)
    return result


def batches(curriculum: Curriculum, start: int, stop: int, workers: int) -> Iterator[Batch]:
    """Yield the batches of steps ``start`` to ``stop`` (exclusive), prefetched in worker processes."""
    loader = DataLoader(
        curriculum,
        sampler=range(start, stop),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_use_one_thread,
    )
    yield from loader


def _use_one_thread(_: int) -> None:
    torch.set_num_threads(1)


def folders_of(root: Path) -> list[Path]:
    """Return the folders of labeled images under ``root``, in the order of their names."""
    return [folder for folder in sorted(root.iterdir()) if (folder / "images").is_dir()]


def read_folders(root: Path) -> list[list[LabeledImage]]:
    """Read every folder of labeled images under ``root``, in the order of their names."""
    return [read_folder(folder) for folder in folders_of(root)]
