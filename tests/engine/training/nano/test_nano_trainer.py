"""Training on tiny scenes: every loss reaches its weights, and an interrupted run repeats itself exactly."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.io import imsave
from torch import nn

from sam2_engine.errors import InputError
from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.synthetic.compositor import Clip
from sam2_engine.synthetic.scenes import random_scene
from sam2_engine.training.losses import LossWeights
from sam2_engine.training.nano import step_losses as step_losses
from sam2_engine.training.nano.curriculum import BatchConfig, Curriculum
from sam2_engine.training.nano.dense_head import DenseHead
from sam2_engine.training.nano.labeled_images import LabeledImage, random_view, read_folder
from sam2_engine.training.nano.muon import Muon, orthogonalize
from sam2_engine.training.nano.scene_drawing import resize_clip
from sam2_engine.training.nano.trainer import Schedule, Trainer
from sam2_engine.training.nano.validation import one_click_iou
from sam2_engine.video.memory_bank import MemoryInput, MemoryReading, assemble

TINY = ModelConfig(
    name="tiny-test",
    embed_dim=16,
    num_heads=1,
    stages=(1, 1, 1, 1),
    global_attention_blocks=(2,),
    image_size=64,
    hidden_dim=64,
    memory_attention_layers=1,
    memory_attention_ffn=32,
    drop_path=0.0,
)
SQUARE = np.pad(np.ones((16, 16), np.int32), 8)
BATCH_CONFIGS = (
    BatchConfig(size=64, batch_size=2, max_objects=2, synthetic=1.0),
    BatchConfig(size=64, batch_size=1, num_frames=3, max_objects=2, synthetic=1.0),
)


def _trainer(folder: Path, steps: int = 4) -> Trainer:
    torch.manual_seed(0)
    return Trainer(Sam2(TINY), Curriculum([], BATCH_CONFIGS, seed=1), Schedule(steps, warmup=1), folder)


def test_a_clip_trains_memory_and_pointers() -> None:
    torch.manual_seed(0)
    model, head = Sam2(TINY).train(), DenseHead(TINY.hidden_dim)
    # An object that is taken to be absent leaves no pointer of its own.
    torch.nn.init.constant_(model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias, 10.0)
    batch = Curriculum(
        [], (BatchConfig(size=64, batch_size=2, num_frames=3, max_objects=2, synthetic=1.0),), seed=2
    )[0]
    losses = step_losses.clip_losses(
        model, head, batch, BATCH_CONFIGS[1], torch.zeros(2), LossWeights(), torch.Generator().manual_seed(0)
    )
    torch.stack(list(losses.values())).sum().backward()
    for part in (
        "memory_attention.",
        "memory_encoder.",
        "obj_ptr_proj.",
        "maskmem_tpos_enc",
        "obj_ptr_tpos_proj.",
    ):
        grads = [p.grad for name, p in model.named_parameters() if name.startswith(part)]
        assert any(grad is not None and grad.abs().sum() > 0 for grad in grads), part


def test_a_clip_reads_as_many_recent_memories_as_the_model_has(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, head = Sam2(replace(TINY, num_recent_memories=2)), DenseHead(TINY.hidden_dim)
    slots_read: list[list[int]] = []

    def recording(model: Sam2, readings: list[MemoryReading]) -> MemoryInput:
        slots_read.append([memory.slot for memory in readings[0].memories])
        return assemble(model, readings)

    monkeypatch.setattr(step_losses, "assemble", recording)
    config = BatchConfig(size=64, batch_size=1, num_frames=6, max_objects=1, synthetic=1.0)
    batch = Curriculum([], (config,), seed=2)[0]
    step_losses.clip_losses(model, head, batch, config, torch.zeros(2), LossWeights(), torch.Generator())
    assert slots_read == [[0], [0, 1], [0, 1, 2], [0, 1, 2], [0, 1, 2]]


def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = _trainer(tmp_path / "whole")
    whole.run(workers=0)
    torch.manual_seed(0)
    first = Trainer(
        Sam2(TINY), Curriculum([], BATCH_CONFIGS, seed=1), Schedule(4, warmup=1), tmp_path / "halves"
    )
    for _ in range(2):
        first.train_step(first.curriculum[first.step])
        first.step += 1
    first.save()
    second = _trainer(tmp_path / "halves")
    assert second.step == 2
    second.run(workers=0)
    for one, other in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)
    for one, other in zip(whole.averaged.parameters(), second.averaged.parameters(), strict=True):
        assert torch.equal(one, other)


def test_weights_of_another_model_are_named_in_a_sentence(tmp_path: Path) -> None:
    other = Sam2(replace(TINY, num_recent_memories=2)).state_dict()
    with pytest.raises(InputError, match=r"another model than the one in training .*maskmem_tpos_enc"):
        _trainer(tmp_path).start_from(other)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path, steps=40)
    batch = trainer.curriculum[0]
    losses = []
    for trainer.step in range(0, 60, 2):
        losses.append(trainer.train_step(batch)["dense"].item())
    assert np.mean(losses[-3:]) < 0.95 * losses[0]


def _write(folder: Path, name: str, size: tuple[int, int], label_size: tuple[int, int]) -> None:
    for kind, shape in (("images", size), ("labels", label_size)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        plane = np.zeros(shape, np.uint8 if kind == "images" else np.uint16)
        plane[8:24, 8:24] = 1
        imsave(folder / kind / f"{name}.png", plane, check_contrast=False)


def test_folders_are_read_and_a_tenth_is_for_validation(tmp_path: Path) -> None:
    for number in range(12, 15):
        _write(tmp_path, f"{number:03}", (40, 50), (40, 50))
    images = read_folder(tmp_path)
    assert [image.for_validation for image in images] == [False, True, False]
    curriculum = Curriculum(
        [images], (BatchConfig(size=64, batch_size=2, num_frames=2, max_objects=1, synthetic=0.0),), seed=0
    )
    batch = curriculum[0]
    assert batch.frames.shape == (2, 2, 3, 64, 64)
    assert torch.equal(batch.frames, curriculum[0].frames)
    assert 0.0 <= one_click_iou(Sam2(TINY).eval(), images) <= 1.0


def test_rare_appearances_are_drawn_more_often_than_their_number_alone_would_make_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A ninth image in color among eight dark ones: 1 part of 1 + sqrt(8)."""
    dark = [LabeledImage(f"{n}", np.full((32, 32, 1), 20, np.uint8), SQUARE, False) for n in range(8)]
    pink = LabeledImage("pink", np.full((32, 32, 3), (230, 120, 180), np.uint8), SQUARE, False)
    assert (dark[0].appearance, pink.appearance) == ((False, False), (True, True))
    drawn = []

    def view(rng: np.random.Generator, image: LabeledImage, *args: Any) -> Clip:
        drawn.append(image.name)
        return random_view(rng, image, *args)

    monkeypatch.setattr("sam2_engine.training.nano.curriculum.random_view", view)
    Curriculum(
        [[*dark, pink]], (BatchConfig(size=32, batch_size=400, max_objects=1, synthetic=0.0),), seed=0
    )[0]
    assert len(drawn) == 400
    assert drawn.count("pink") / 400 == pytest.approx(1 / (1 + 8**0.5), abs=0.06)


def test_some_wide_scenes_are_coarse_and_enlarged_with_their_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    sides = []

    def scene(seed: list[int], num_frames: int, size: int, **options: Any) -> Clip:
        sides.append(size)
        return random_scene(seed, num_frames, size, **options)

    monkeypatch.setattr("sam2_engine.training.nano.scene_drawing.random_scene", scene)
    config = BatchConfig(size=96, batch_size=24, max_objects=4, synthetic=1.0, all_styles=True)
    batch = Curriculum([], (config,), seed=4)[0]
    assert 2 < sum(side < 96 for side in sides) < 16
    assert min(sides) >= 96 // 2.6
    assert batch.frames.shape == (24, 1, 3, 96, 96)
    assert batch.labels.shape == (24, 1, 96, 96)
    assert batch.labels.dtype == torch.int32
    clip = Clip(np.zeros((2, 40, 40, 3), np.float32), np.zeros((2, 40, 40), np.int32))
    clip.frames[:, 10:20, 5:15], clip.labels[:, 10:20, 5:15] = 0.8, 7
    larger = resize_clip(clip, 96)
    assert larger.frames.shape == (2, 96, 96, 3)
    assert set(np.unique(larger.labels)) == {0, 7}
    np.testing.assert_array_equal(larger.labels > 0, larger.frames[..., 0] > 0.4)
    assert resize_clip(clip, 40) is clip


def test_bad_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no images"):
        read_folder(tmp_path)
    _write(tmp_path, "000", (40, 50), (40, 51))
    with pytest.raises(InputError, match="same size"):
        read_folder(tmp_path)
    (tmp_path / "labels" / "000.png").unlink()
    with pytest.raises(InputError, match="no labels"):
        read_folder(tmp_path)


def test_a_run_that_is_out_of_time_writes_a_checkpoint(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path, steps=50)
    trainer.run(workers=0, seconds=0.0)
    assert trainer.step == 1
    assert _trainer(tmp_path, steps=50).step == 1


def test_muon_is_that_of_torch_in_a_finer_type() -> None:
    torch.manual_seed(3)
    ours, theirs = ([nn.Parameter(torch.randn(12, 30)), nn.Parameter(torch.randn(30, 12))] for _ in range(2))
    for one, other in zip(ours, theirs, strict=True):
        other.data.copy_(one.data)
    muon = Muon([{"params": ours}], lr=0.02)
    reference = torch.optim.Muon(
        theirs, lr=0.02, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    started = [one.detach().clone() for one in ours]
    for _ in range(5):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        muon.step()
        reference.step()
    for one, other, start in zip(ours, theirs, started, strict=True):
        assert (one - other).norm() < 0.02 * (one - start).norm()  # what bfloat16 leaves out


def test_orthogonalize_brings_singular_values_near_to_one() -> None:
    torch.manual_seed(4)
    for matrix in (torch.randn(40, 9), torch.randn(9, 40)):
        values = torch.linalg.svdvals(orthogonalize(matrix))
        assert values.min() > 0.6
        assert values.max() < 1.3
