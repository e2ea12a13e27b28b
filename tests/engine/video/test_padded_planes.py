"""Models that keep the aspect ratio: planes that are not square are padded, and every prompt lies right."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_model import SMALL, write_small_checkpoint

from sam2_engine import AutomaticMaskGenerator, ImagePredictor, VideoSession, load_model
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.frames import open_frames
from sam2_engine.image.padded_view import PaddedView
from sam2_engine.modeling.sam2 import MaskPrediction, Sam2
from sam2_engine.preprocessing import denormalize, to_model_input
from sam2_engine.video.open_session import open_video_session
from sam2_engine.weights.registry import REGISTRY

SIDE = SMALL.image_size


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sam2, Sam2]:
    """The same weights twice: padding, and squashing."""
    folder = tmp_path_factory.mktemp("models")
    write_small_checkpoint(folder / "pads.safetensors", replace(SMALL, keeps_aspect_ratio=True))
    write_small_checkpoint(folder / "squashes.safetensors")
    pads, squashes = (load_model(folder / f"{name}.safetensors", "cpu") for name in ("pads", "squashes"))
    assert pads.config.keeps_aspect_ratio
    assert not squashes.config.keeps_aspect_ratio
    return pads, squashes


@pytest.fixture(params=[(96, SIDE), (SIDE, 80)], ids=["wide", "high"])
def frames(request: pytest.FixtureRequest) -> NDArray[np.uint8]:
    """Three frames whose longer side is that of the input, so that nothing is resized."""
    height, width = request.param
    stack = np.random.default_rng(1).integers(10, 60, (3, height, width), dtype=np.uint8)
    for t in range(3):
        stack[t, 20:50, 30 + 3 * t : 60 + 3 * t] += 150
    return stack


def square(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = frames.shape[-2:]
    return np.pad(frames, ((0, 0), (0, SIDE - height), (0, SIDE - width)))


def test_the_input_is_resized_to_fit_and_padded_with_black() -> None:
    image = np.random.default_rng(0).integers(0, 255, (70, 100), dtype=np.uint8)
    padded = denormalize(to_model_input(image, None, 128, pads=True))
    alone = denormalize(to_model_input(image, None, (90, 128)))  # 70 x 1.28 = 89.6
    torch.testing.assert_close(padded[..., :90, :], alone)
    assert padded[..., 90:, :].abs().max() < 1e-6
    torch.testing.assert_close(
        to_model_input(image[:, :70], None, 128, pads=True), to_model_input(image[:, :70], None, 128)
    )


def test_images_are_segmented_as_if_they_were_padded_before(
    models: tuple[Sam2, Sam2], frames: NDArray[np.uint8]
) -> None:
    height, width = frames.shape[-2:]
    pads, squashes = map(ImagePredictor, models)
    pads.set_image(frames[0])
    squashes.set_image(square(frames)[0])
    for prompt in (
        {"point_coords": [(45, 30)], "point_labels": [1]},
        {"box": (28, 18, 62, 52)},
        {"point_coords": [(45, 30), (10, 10)], "point_labels": [1, 0], "box": (28, 18, 62, 52)},
    ):
        masks, ious, logits = pads.predict(**prompt)
        expected, expected_ious, expected_logits = squashes.predict(**prompt)
        assert masks.shape[-2:] == (height, width)
        np.testing.assert_array_equal(masks, expected[:, :height, :width])
        np.testing.assert_allclose(ious, expected_ious, rtol=1e-5)
        again = pads.predict(mask_input=logits[:1], **prompt)[0]
        np.testing.assert_array_equal(
            again, squashes.predict(mask_input=expected_logits[:1], **prompt)[0][:, :height, :width]
        )


def test_videos_are_tracked_as_if_they_were_padded_before(
    models: tuple[Sam2, Sam2], frames: NDArray[np.uint8]
) -> None:
    height, width = frames.shape[-2:]
    mask = np.zeros((height, width), bool)
    mask[height - 30 :, 10:30] = True  # down to the edge, beyond which the padding begins
    given = np.zeros((SIDE, SIDE), bool)
    given[:height, :width] = mask
    results = []
    for model, stack, seed in ((models[0], frames, mask), (models[1], square(frames), given)):
        session = VideoSession(model, stack)
        session.add_points(0, 1, (45, 30))
        session.add_box(0, 2, (28, 18, 62, 52))
        session.add_mask(0, 3, seed)
        tracked = list(session.propagate())
        session.add_points(2, 1, [(50, 30), (5, 5)], [1, 0])  # a correction
        results.append([*tracked, *session.propagate(start=1)])
    for padded, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(padded.masks, expected.masks[:, :height, :width])
        np.testing.assert_allclose(padded.low_res_logits, expected.low_res_logits, atol=1e-5)
        assert padded.mask_of(0).to_array().shape == (height, width)


def test_prompts_are_scaled_alike_in_both_directions(models: tuple[Sam2, Sam2]) -> None:
    session = VideoSession(models[0], np.zeros((2, 60, 200), np.uint8))
    scale = SIDE / 200
    np.testing.assert_allclose(session._to_input(np.float32([[100, 30]])), [[100 * scale, 30 * scale]])
    part = VideoSession(models[0], np.zeros((2, 60, 200), np.uint8), region=(100, 10, 140, 60))
    np.testing.assert_allclose(part._to_input(np.float32([[110, 20]])), [[10 * SIDE / 50, 10 * SIDE / 50]])


def test_large_planes_are_padded_tile_by_tile(models: tuple[Sam2, Sam2]) -> None:
    frames = np.random.default_rng(2).integers(0, 255, (2, 70, 600), dtype=np.uint8)
    session = open_video_session(models[0], open_frames(frames, axes="TYX"), cache=FeatureCache())
    result = session.add_box(0, 1, (500, 10, 560, 60))
    assert result.masks.shape == (1, 70, 600)
    assert [one.masks.shape for one in session.propagate()] == [(1, 70, 600)] * 2


def test_what_is_found_by_itself_lies_where_it_is(
    models: tuple[Sam2, Sam2], frames: NDArray[np.uint8]
) -> None:
    height, width = frames.shape[-2:]
    options = {"points_per_side": 4, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    found = AutomaticMaskGenerator(models[0], **options).generate(frames[0])
    assert found
    assert all(one["segmentation"].shape == (height, width) for one in found)
    predictor = ImagePredictor(models[0])
    predictor.set_image(frames[0])
    for one in found[:5]:  # the mask of a click is that of the same click by hand, but for its resampling
        masks, _, _ = predictor.predict(one["point_coords"], [1], multimask_output=True)
        overlaps = [(one["segmentation"] & mask).sum() / (one["segmentation"] | mask).sum() for mask in masks]
        assert max(overlaps) > 0.7


def test_a_view_takes_masks_and_gives_them_back() -> None:
    view = PaddedView.of(replace(SMALL, keeps_aspect_ratio=True), (60, 120))
    assert view is not None
    y, x = np.mgrid[:32, :32]
    blob = torch.from_numpy(np.float32(10 - np.hypot(x - 12, y - 20)))[None, None]
    wide = view.widen(blob)
    assert (wide[..., 17:, :] < -30).all()  # the lower half is padding
    back = view.narrow(MaskPrediction(wide, torch.ones(1, 1), torch.ones(1, 1), torch.ones(1, 1, 1)))
    assert ((back.low_res_logits > 0) == (blob > 0)).float().mean() > 0.97


def test_the_registered_model_that_was_taught_so_says_it(models: tuple[Sam2, Sam2], tmp_path: Path) -> None:
    assert REGISTRY["micro_sam_hvit_t_cells"].config.keeps_aspect_ratio
    assert not REGISTRY["medsam2_latest"].config.keeps_aspect_ratio
