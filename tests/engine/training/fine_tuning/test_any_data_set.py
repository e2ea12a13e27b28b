"""Training on any data set: of every reader, length, number of objects, size and mixture of prompts."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
import pytest
import tifffile
import torch
from dataset_folders import compressed, save
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sam2_engine.datasets import find_dataset
from sam2_engine.datasets.tiled_video import split_into_tiles
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.training.fine_tuning.config import TrainingConfig
from sam2_engine.training.fine_tuning.interactive_training import ObjectsOfClip, PromptConfig, draw_plan
from sam2_engine.training.fine_tuning.run import fine_tune
from sam2_engine.training.fine_tuning.run_log import read_losses
from sam2_engine.training.fine_tuning.sampling import ClipSampler, train_validation_split
from sam2_engine.training.fine_tuning.trainer import FineTuner
from sam2_engine.weights.loading import load_model

Labels = NDArray[np.uint16]


def _labels(frames: int, objects: int, shape: tuple[int, int], gaps: bool) -> Labels:
    """Squares side by side that move down a pixel a frame; with ``gaps`` they come and go."""
    height, width = shape
    labels = np.zeros((frames, height, width), np.uint16)
    step = width // objects
    side = min(step - 2, height // 2)
    for t in range(frames):
        for number in range(objects):
            if not gaps or t == 0 or (t + number) % 3:
                labels[t, t + 2 : t + 2 + side, number * step + 1 : number * step + 1 + side] = number + 1
    return labels


def _pixels(labels: Labels) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 40, labels.shape)
    return (noise + 200 * (labels > 0)).astype(np.uint8)


def _stack(root: Path, labels: Labels) -> None:
    tifffile.imwrite(root / "cells.tif", _pixels(labels), photometric="minisblack", metadata={"axes": "TYX"})
    tifffile.imwrite(root / "cells_labels.tif", labels, photometric="minisblack", metadata={"axes": "TYX"})


def _folders(images: str, masks: str, pattern: str = "{:03}.png") -> Callable[[Path, Labels], None]:
    def write(root: Path, labels: Labels) -> None:
        for t, (pixels, one) in enumerate(zip(_pixels(labels), labels, strict=True)):
            save(root / images / pattern.format(t), pixels)
            save(root / masks / pattern.format(t), one.astype(np.uint8))

    return write


def _cell_tracking(root: Path, labels: Labels) -> None:
    """Gold masks of every second frame; on the others every object is unknown."""
    for t, (pixels, one) in enumerate(zip(_pixels(labels), labels, strict=True)):
        save(root / "01" / f"t{t:03}.tif", pixels)
        save(root / "01_GT" / "TRA" / f"man_track{t:03}.tif", one)
        if t % 2 == 0:
            save(root / "01_GT" / "SEG" / f"man_seg{t:03}.tif", one)


def _sa_1b(root: Path, labels: Labels) -> None:
    for t, (pixels, one) in enumerate(zip(_pixels(labels), labels, strict=True)):
        save(root / f"sa_{t}.jpg", pixels)
        masks = [{"id": i, "segmentation": compressed(one == i)} for i in np.unique(one[one > 0]).tolist()]
        (root / f"sa_{t}.json").write_text(json.dumps({"image": {"image_id": t}, "annotations": masks}))


def _sa_v(root: Path, labels: Labels) -> None:
    with av.open(str(root / "sav_000001.mp4"), "w") as output:
        stream = output.add_stream("mpeg4", rate=24)
        stream.height, stream.width = labels.shape[1:]
        stream.pix_fmt = "yuv420p"
        for pixels in np.repeat(_pixels(labels), 4, axis=0):
            rgb = np.repeat(pixels[..., None], 3, axis=-1)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        output.mux(stream.encode())
    masklets = [[compressed(one == i) for i in range(1, int(labels.max()) + 1)] for one in labels]
    content = {"video_id": "sav_000001", "video_frame_count": 4.0 * len(labels), "masklet": masklets}
    (root / "sav_000001_manual.json").write_text(json.dumps(content))


WRITERS: dict[str, Callable[[Path, Labels], None]] = {
    "stack": _stack,
    "images and labels": _folders("images", "labels"),
    "DAVIS": _folders("JPEGImages/480p/cows", "Annotations/480p/cows", "{:05}.png"),
    "Cell Tracking Challenge": _cell_tracking,
    "SA-1B": _sa_1b,
    "SA-V": _sa_v,
}


@st.composite
def _data_sets(draw: st.DrawFn) -> tuple[str, Labels]:
    height, width = draw(st.sampled_from([(64, 64), (48, 96), (96, 96), (160, 300)]))
    frames, objects = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    labels = _labels(frames, objects, (height, width), draw(st.booleans()))
    return draw(st.sampled_from(sorted(WRITERS))), labels


_prompts = st.builds(
    PromptConfig,
    mask=st.sampled_from([0.0, 0.5, 1.0]),
    box=st.sampled_from([0.0, 0.5, 1.0]),
    corrections=st.integers(0, 2),
    prompted_frames=st.integers(1, 3),
    corrected_frames=st.integers(1, 3),
)
_configs = st.builds(
    TrainingConfig,
    steps=st.just(2),
    clip_length=st.integers(2, 4),
    clip_objects=st.integers(1, 5),
    image_objects=st.integers(1, 5),
    clip_share=st.sampled_from([0.5, 1.0]),
    views=st.integers(1, 4),
    train_image_encoder=st.booleans(),
    checkpointing=st.booleans(),
    seed=st.integers(0, 99),
    prompts=_prompts,
)


def _train(model: Sam2, config: TrainingConfig, root: Path) -> list[dict[str, float]]:
    """Train on the tiles of what a folder holds; return the losses of the steps that have samples."""
    with find_dataset(root) as data:
        training, _ = train_validation_split(data.videos)
        tiles = [split_into_tiles(video, model.image_size) for video in data.videos]
        frames = [part for part, split in zip(training, tiles, strict=True) for _ in split]
        tuner = FineTuner(model, ClipSampler(list(chain.from_iterable(tiles)), frames, config), config)
        losses = []
        for step in range(config.steps):
            samples = tuner.loader.load(step)
            step_losses = tuner.train_step(samples)
            losses += [step_losses] if samples else []
        return losses


def _check(checkpoint: Path, source: tuple[str, Labels], config: TrainingConfig) -> None:
    reader, labels = source
    model = load_model(checkpoint, "cpu")
    with TemporaryDirectory() as folder:
        WRITERS[reader](Path(folder), labels)
        for losses in _train(model, config, Path(folder)):
            assert isfinite(losses["loss"])
            assert losses["loss"] > 0


_without_deadline: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": list(HealthCheck),
}


@settings(max_examples=12, **_without_deadline)
@given(source=_data_sets(), config=_configs)
def test_every_step_has_a_loss(
    small_checkpoint: Path, source: tuple[str, Labels], config: TrainingConfig
) -> None:
    _check(small_checkpoint, source, config)


@pytest.mark.slow
@settings(max_examples=100, **_without_deadline)
@given(source=_data_sets(), config=_configs)
def test_every_step_has_a_loss_in_many_more_data_sets(
    small_checkpoint: Path, source: tuple[str, Labels], config: TrainingConfig
) -> None:
    _check(small_checkpoint, source, config)


@settings(max_examples=300, **_without_deadline)
@given(
    known=st.lists(st.lists(st.booleans(), min_size=11, max_size=11), min_size=1, max_size=5),
    frames=st.integers(1, 12),
    prompts=_prompts,
    seed=st.integers(0, 2**32),
)
def test_every_plan_leaves_a_known_mask_to_predict(
    known: list[list[bool]], frames: int, prompts: PromptConfig, seed: int
) -> None:
    is_known = torch.tensor([[True, *row] for row in known])[:, :frames]
    objects = ObjectsOfClip(torch.ones(*is_known.shape, 4, 4, dtype=torch.bool), is_known)
    plan = draw_plan(objects, prompts, torch.Generator().manual_seed(seed))
    given_as_masks = plan.prompted if plan.from_mask else ()
    assert any(is_known[:, t].any() for t in range(frames) if t not in given_as_masks)


@pytest.mark.parametrize("frames", [2, 3])
def test_a_run_on_clips_of_two_frames_that_start_from_masks(
    small_checkpoint: Path, tmp_path: Path, frames: int
) -> None:
    _stack(tmp_path, _labels(frames, 2, (64, 64), gaps=False))
    config = TrainingConfig(
        model=str(small_checkpoint), steps=3, clip_length=2, clip_share=1.0, prompts=PromptConfig(mask=1.0)
    )
    with find_dataset(tmp_path) as data:
        outcome = fine_tune(replace(config, save_every=1), data, tmp_path / "run")
    assert outcome.finished
    assert all(loss > 0 for _, loss in read_losses(tmp_path / "run"))
