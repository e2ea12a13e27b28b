"""Parts of fine-tuning: views, prompts, learning rates, and the split into training and validation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_folders import SHAPE, images, plain

from sam2_engine.datasets import find_dataset
from sam2_engine.training.fine_tuning.augmentation import AugmentationConfig, View, draw_view
from sam2_engine.training.fine_tuning.config import TrainingConfig
from sam2_engine.training.fine_tuning.interactive_training import ObjectsOfClip, PromptConfig, draw_plan
from sam2_engine.training.fine_tuning.optimizer import layer_scale, schedule
from sam2_engine.training.fine_tuning.sampling import (
    ClipSampler,
    input_pixels,
    load_objects,
    train_validation_split,
)

STRONG = AugmentationConfig(mirror=1.0, flip=1.0, grayscale=1.0)


def test_pixels_and_masks_are_transformed_alike() -> None:
    mask = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    mask[..., 20:36, 10:30] = True
    view = draw_view(STRONG, np.random.default_rng(3), [[0]], is_clip=True)[0]
    assert view.matrix is not None
    moved = View(view.matrix).pixels(mask.float().expand(-1, 3, -1, -1))[:, :1] > 0.5
    assert (moved & view.masks(mask)).sum() > 0.9 * (moved | view.masks(mask)).sum() > 0
    assert not torch.equal(view.masks(mask), mask)


def test_images_are_only_mirrored_and_exactly() -> None:
    pixels = torch.rand(1, 3, 8, 8)
    (view,) = draw_view(STRONG, np.random.default_rng(0), [[0]], is_clip=False)
    assert torch.equal(view.pixels(pixels), pixels.flip(-1, -2))
    assert torch.equal(View().pixels(pixels), pixels)


def test_frames_of_a_clip_share_a_view_but_not_their_jitter() -> None:
    first, second = draw_view(AugmentationConfig(), np.random.default_rng(0), [[0], [1]], is_clip=True)
    assert np.array_equal(first.matrix, second.matrix)  # type: ignore[arg-type]
    assert first.colors[0] == second.colors[0]
    assert first.colors[1] != second.colors[1]


def test_a_mosaic_shows_a_clip_four_times_and_prompts_the_objects_of_one_tile() -> None:
    """Every tile has the frame at half its size; only the chosen one has the masks, id by id."""
    frame = torch.rand(1, 3, 64, 64)
    masks = torch.zeros(1, 2, 64, 64, dtype=torch.bool)
    masks[0, 0, 8:40, 4:20], masks[0, 1, 44:60, 30:62] = True, True
    halved = frame.unflatten(-1, (32, 2)).unflatten(-3, (32, 2)).mean((-1, -3))
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        view = View(tile=(row, column))
        pixels, warped = view.pixels(frame), view.masks(masks)
        for y in (0, 32):
            for x in (0, 32):
                torch.testing.assert_close(pixels[..., y : y + 32, x : x + 32], halved)
        y, x = 32 * row, 32 * column
        assert torch.equal(warped[..., y : y + 32, x : x + 32], masks[..., ::2, ::2])
        assert warped.sum() == masks.sum() / 4


def test_mosaics_come_as_often_as_the_paper_says_in_every_tile_and_only_in_clips() -> None:
    def tiles(is_clip: bool) -> list[tuple[int, int] | None]:
        views = [
            draw_view(AugmentationConfig(), np.random.default_rng(seed), [[0], [1]], is_clip)
            for seed in range(2000)
        ]
        assert all(first.tile == second.tile for first, second in views)
        return [first.tile for first, _ in views]

    drawn = [tile for tile in tiles(is_clip=True) if tile is not None]
    assert len(drawn) / 2000 == pytest.approx(0.1, abs=0.02)
    assert set(drawn) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert set(tiles(is_clip=False)) == {None}


@pytest.mark.parametrize("train_image_encoder", [False, True])
def test_clips_of_a_mosaic_keep_their_ids_and_depend_on_the_step_alone(
    train_image_encoder: bool, tmp_path: Path
) -> None:
    always = AugmentationConfig(mosaic=1.0, degrees=0.0, shear=0.0, mirror=0.0)
    config = TrainingConfig(
        clip_length=3,
        clip_share=1.0,
        batch_size=12,
        train_image_encoder=train_image_encoder,
        augmentation=always,
    )
    with find_dataset(plain(tmp_path, frames=6)) as data:
        sampler = ClipSampler(data.videos, [[0, 1, 2, 3]], config)
        clips, again = sampler.draw(5), sampler.draw(5)
        assert [[view.tile for view in clip.views] for clip in clips] == [
            [view.tile for view in clip.views] for clip in again
        ]
        clip = next(clip for clip in clips if clip.views[0].tile is not None)
        objects, whole = (
            load_objects(replace(clip, views=views), 128)
            for views in (clip.views, tuple(View() for _ in clip.frames))
        )
        assert objects is not None
        assert whole is not None
        row, column = clip.views[0].tile or (0, 0)
        tile = objects.masks[..., 64 * row : 64 * row + 64, 64 * column : 64 * column + 64]
        smaller = torch.nn.functional.avg_pool2d(whole.masks.float(), 2) > 0.5
        assert torch.equal(tile, smaller)
        assert objects.masks.sum() == tile.sum() > 0
        pixels, plain_pixels = (
            input_pixels(replace(clip, views=(view,) * 3), 0, 128)
            for view in (View(tile=clip.views[0].tile), View())
        )
        corner = pixels[..., 64:, :64]
        torch.testing.assert_close(corner, torch.nn.functional.avg_pool2d(plain_pixels, 2))


def test_settings_of_earlier_versions_are_read_by_their_current_names() -> None:
    config = TrainingConfig.from_dict({"everything": True, "prompts": {"on_truth": 0.2}})
    assert config.train_image_encoder
    assert config.prompts.on_object == 0.2


def test_prompts_come_as_often_as_the_paper_says() -> None:
    objects = ObjectsOfClip(torch.ones(1, 8, 4, 4, dtype=torch.bool), torch.ones(1, 8, dtype=torch.bool))
    generator = torch.Generator().manual_seed(0)
    plans = [draw_plan(objects, PromptConfig(), generator) for _ in range(2000)]
    assert np.mean([plan.from_mask for plan in plans]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([0 in plan.boxes and not plan.from_mask for plan in plans]) == pytest.approx(
        0.25, abs=0.04
    )
    assert np.mean([len(plan.prompted) == 2 for plan in plans]) == pytest.approx(0.5, abs=0.05)
    for plan in plans:
        assert plan.prompted[0] == 0
        assert not plan.corrected if plan.from_mask else plan.corrected >= set(plan.prompted)


def test_frames_with_an_unknown_object_are_not_prompted() -> None:
    known = torch.tensor([[True, False, True, False]])
    objects = ObjectsOfClip(torch.ones(1, 4, 4, 4, dtype=torch.bool), known)
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        plan = draw_plan(objects, PromptConfig(), generator)
        assert {*plan.prompted, *plan.corrected} <= {0, 2}


def test_the_learning_rate_of_the_trunk_falls_with_depth() -> None:
    def scale(name: str) -> float:
        return layer_scale(f"image_encoder.trunk.{name}", 12, 0.5)

    assert scale("blocks.11.attn.qkv.weight") == 0.5
    assert scale("blocks.0.attn.qkv.weight") == 0.5**12
    assert scale("patch_embed.proj.weight") == 0.5**13
    assert scale("pos_embed") == scale("pos_embed_window") == 1.0
    assert layer_scale("memory_attention.layers.0.linear1.weight", 12, 0.5) == 1.0
    in_stages = "image_encoder.trunk.body.stages_1.blocks.0.se.fc1.weight"
    assert layer_scale(in_stages, 20, 0.5, (2, 2, 14, 2)) == 0.5**18


def test_the_learning_rate_rises_and_falls() -> None:
    config = TrainingConfig(steps=200, learning_rate=1.0, warmup=0.1, final=0.1)
    rates = [schedule(config, step) for step in range(200)]
    assert rates[0] < 0.05 < rates[19] < rates[20] == max(rates) == 1.0
    assert rates == sorted(rates[:21]) + sorted(rates[21:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)


def test_which_frames_are_for_validation(tmp_path: Path) -> None:
    plain(tmp_path / "a", frames=6)
    images(tmp_path / "b", 3)
    with find_dataset(tmp_path) as data:
        training, validation = train_validation_split(data.videos)
    assert training == [[0, 1, 2, 3], [0], [], [0]]
    assert validation == [[4, 5], [], [0], []]


def test_a_step_decides_its_clips_and_their_masks_fit_the_input(tmp_path: Path) -> None:
    config = TrainingConfig(clip_length=3, clip_share=1.0, batch_size=20)
    with find_dataset(plain(tmp_path, frames=6)) as data:
        sampler = ClipSampler(data.videos, [[0, 1, 2, 3]], config)
        clips = sampler.draw(5)
        assert [(c.frames, c.keys) for c in clips] == [(c.frames, c.keys) for c in sampler.draw(5)]
        assert {np.sign(c.frames[1] - c.frames[0]) for c in clips} == {1, -1}
        plain_one = next(c for c in clips if c.keys is not None and c.keys[0].endswith("-0"))
        objects = load_objects(plain_one, 128)
        assert objects is not None
        area = (data.videos[0].annotation(plain_one.frames[0]).mask(1)).mean()
        assert objects.masks.shape == (2, len(plain_one.frames), 128, 128)
        assert objects.masks[:, 0].float().mean().item() == pytest.approx(area, rel=0.05)
    assert SHAPE != (128, 128)  # so that masks were resized
