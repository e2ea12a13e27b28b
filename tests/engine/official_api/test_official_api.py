"""A script written for the official package runs, and gets back what it would have got there."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import official_script
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from sam2_engine.errors import InputError
from sam2_engine.image.predictor import ImagePredictor
from sam2_engine.modeling.config import VARIANTS
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.official_api import (
    SAM2AutomaticMaskGenerator,
    SAM2ImagePredictor,
    SAM2VideoPredictor,
    build_sam2,
    build_sam2_video_predictor,
)
from sam2_engine.official_api.utils import small_regions
from sam2_engine.official_api.utils.video_frames import open_video
from sam2_engine.preprocessing import denormalize, to_model_input
from sam2_engine.video.video_session import VideoSession
from sam2_engine.weights.loading import save_model

REFERENCES = Path(__file__).parent / "references"
OFFICIAL = Path(__file__).with_name("official_outline.json")
"""What ``official_script.py`` prints with the official package 1.1.0."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "drawn.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_model(Sam2(VARIANTS["nano"]), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, moving_discs: NDArray[np.uint8]) -> Path:
    path = tmp_path_factory.mktemp("frames")
    for number, frame in enumerate(moving_discs[:5]):
        Image.fromarray(frame).save(path / f"{number:05d}.jpg")
    return path


def test_an_official_script_gets_the_official_types_and_shapes(
    checkpoint: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    official_script.main("sam2_engine", "nano", str(checkpoint), str(folder), "128")
    assert json.loads(capsys.readouterr().out) == json.loads(OFFICIAL.read_text())


def test_images_get_the_engines_masks(small_model: Sam2, moving_discs: NDArray[np.uint8]) -> None:
    ours, theirs = ImagePredictor(small_model), SAM2ImagePredictor(small_model)
    ours.set_image(moving_discs[0])
    theirs.set_image(moving_discs[0])
    points, box = np.array([[30, 35], [60, 60]]), np.array([15, 20, 45, 50])
    expected = ours.predict(points, [1, 0], box)
    for one, other in zip(theirs.predict(points, [1, 0], box), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    fractions = theirs.predict(
        points / [120, 96], [1, 0], box / [120, 96, 120, 96], normalize_coords=False, return_logits=True
    )
    np.testing.assert_allclose(fractions[2], expected[2], atol=1e-3)
    low, high = (SAM2ImagePredictor(small_model, mask_threshold=threshold) for threshold in (-1.0, 1.0))
    low.set_image(moving_discs[0])
    high.set_image(moving_discs[0])
    assert high.predict(points, [1, 0])[0].sum() < low.predict(points, [1, 0])[0].sum()


def test_videos_get_the_sessions_masks(small_model: Sam2, moving_discs: NDArray[np.uint8]) -> None:
    """On frames of the input's size, because the official loader resizes in another way."""
    state = SAM2VideoPredictor(small_model).init_state(moving_discs)
    frames = (denormalize(state["images"][:]) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    side = small_model.image_size
    assert frames.shape == (len(moving_discs), side, side, 3)
    session, predictor = VideoSession(small_model, frames), SAM2VideoPredictor(small_model)
    predictor.binarize_mask_from_pts_for_mem_enc = True
    state = predictor.init_state(frames)
    scale = np.array([side / 120, side / 96])
    session.add_points(0, 1, [(30, 35)] * scale)
    session.add_points(
        0, 2, [(60, 60), (95, 60)] * scale, [0, 1], box=np.ravel([(80, 45), (110, 75)] * scale)
    )
    predictor.add_new_points_or_box(state, 0, "red", [(30, 35)] * scale, [1])
    predictor.add_new_points_or_box(
        state, 0, "green", [(60, 60), (95, 60)] * scale, [0, 1], box=[(80, 45), (110, 75)] * scale
    )
    for result, (frame, names, logits) in zip(
        session.propagate(), predictor.propagate_in_video(state), strict=True
    ):
        assert frame == result.frame
        assert names == ["red", "green"]
        assert ((logits[:, 0] > 0).numpy() != result.masks).mean() < 1e-3


def test_a_prompt_answers_for_all_objects_of_the_frame(
    small_model: Sam2, moving_discs: NDArray[np.uint8]
) -> None:
    predictor = SAM2VideoPredictor(small_model)
    state = predictor.init_state(moving_discs)
    _, _, alone = predictor.add_new_points_or_box(state, 0, 5, points=[[30, 35]], labels=[1])
    _, names, both = predictor.add_new_points_or_box(state, 0, 8, points=[[95, 60]], labels=[1])
    assert names == [5, 8]
    torch.testing.assert_close(both[:1], alone)
    _, names, elsewhere = predictor.add_new_points_or_box(state, 3, 8, points=[[90, 57]], labels=[1])
    assert names == [5, 8]
    assert (elsewhere[0] < 0).all()


def test_a_refused_prompt_leaves_nothing_behind(small_model: Sam2, moving_discs: NDArray[np.uint8]) -> None:
    predictor = SAM2VideoPredictor(small_model)
    state = predictor.init_state(moving_discs)
    with pytest.raises(InputError):
        predictor.add_new_points_or_box(state, 0, 1, points=[[500, 35]], labels=[1])
    with pytest.raises(InputError):
        predictor.add_new_points_or_box(state, 0, 1)
    with pytest.raises(InputError):
        predictor.add_new_points_or_box(state, 0, 1, points=[[30, 35]])
    with pytest.raises(InputError):
        predictor.add_new_points_or_box(state, 0, 1, box=[1, 1, 9, 9], clear_old_points=False)
    assert state["obj_ids"] == []
    with pytest.raises(InputError):
        list(predictor.propagate_in_video(state))


def test_clearing_and_removing(small_model: Sam2, moving_discs: NDArray[np.uint8]) -> None:
    predictor = SAM2VideoPredictor(small_model)
    state = predictor.init_state(moving_discs)
    for frame in (0, 3):
        predictor.add_new_points_or_box(state, frame, 1, points=[[30, 35]], labels=[1])
    predictor.add_new_points_or_box(state, 3, 2, points=[[90, 57]], labels=[1])
    answer = predictor.clear_all_prompts_in_frame(state, 3, 1)
    assert answer is not None
    assert (answer[2][0] == -1024).all()
    assert predictor.clear_all_prompts_in_frame(state, 3, 1, need_output=False) is None
    remaining, updated = predictor.remove_object(state, 1)
    assert remaining == [2]
    assert [(frame, masks.shape) for frame, masks in updated] == [(0, (1, 1, 96, 120))]
    with pytest.raises(InputError):
        predictor.remove_object(state, 1, strict=True)
    predictor.add_new_points_or_box(state, 0, 1, points=[[30, 35]], labels=[1])
    assert state["obj_ids"] == [2, 1]


def test_configurations_are_known_by_their_official_names(checkpoint: Path) -> None:
    assert build_sam2("nano", checkpoint, device="cpu").config.name == "nano"
    with pytest.raises(InputError, match="holds nano"):
        build_sam2("configs/sam2.1/sam2.1_hiera_b+.yaml", checkpoint, device="cpu")
    with pytest.raises(InputError, match="none of the known"):
        build_sam2("configs/sam3.yaml", checkpoint)


def test_overrides_that_are_not_heeded_are_refused(checkpoint: Path) -> None:
    overrides = ["++model.image_size=256", "++model.max_cond_frames_in_attn=4"]
    predictor = build_sam2_video_predictor("nano", checkpoint, "cpu", hydra_overrides_extra=overrides)
    assert predictor.image_size == 256
    assert predictor.max_cond_frames_in_attn == 4
    with pytest.raises(InputError, match="no setting non_overlap"):
        build_sam2("nano", checkpoint, "cpu", hydra_overrides_extra=["++model.non_overlap_masks=true"])


def test_unknown_arguments_are_refused(small_model: Sam2, checkpoint: Path) -> None:
    for build in (build_sam2, build_sam2_video_predictor):
        with pytest.raises(InputError, match="no argument vos_optimised"):
            build("nano", checkpoint, "cpu", vos_optimised=True)
    with pytest.raises(InputError, match="no argument max_hole_aera"):
        SAM2ImagePredictor(small_model, max_hole_aera=3)
    with pytest.raises(InputError, match="no argument point_per_side"):
        SAM2AutomaticMaskGenerator(small_model, point_per_side=3)
    with pytest.raises(InputError, match="no argument tracks"):
        SAM2VideoPredictor(small_model, tracks=3)
    with pytest.raises(InputError, match="fails in the official package"):
        SAM2VideoPredictor(small_model, 0, False, True)


def test_images_that_the_official_predictor_cannot_take_are_refused(
    small_model: Sam2, moving_discs: NDArray[np.uint8]
) -> None:
    predictor, image = SAM2ImagePredictor(small_model), moving_discs[0]
    kinds = (image[..., 0], image[..., :2], image.astype(np.uint16), image.astype(np.float32), image > 9)
    for wrong in (*kinds, Image.fromarray(image).convert("L"), np.full_like(image, np.nan, np.float32)):
        with pytest.raises(InputError):
            predictor.set_image(wrong)
    with pytest.raises(NotImplementedError, match="not a list"):
        predictor.set_image(image.tolist())  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="No image is set"):
        predictor.predict([[30, 35]], [1])
    predictor.set_image(image)
    with pytest.raises(RuntimeError, match="set_image_batch"):
        predictor.predict_batch([[[30, 35]]], [[1]])


def test_prompts_that_nobody_means_are_refused(small_model: Sam2, moving_discs: NDArray[np.uint8]) -> None:
    predictor = SAM2ImagePredictor(small_model)
    predictor.set_image(moving_discs[0])
    wrong: list[dict[str, object]] = [
        {},
        {"point_coords": [[30, 35]]},
        {"point_coords": [[30, 35]], "point_labels": [1, 0]},
        {"point_coords": [[30, 350]], "point_labels": [1]},
        {"point_coords": [[30, np.nan]], "point_labels": [1]},
        {"point_coords": [[30, 35]], "point_labels": [7]},
        {"point_coords": [[30, 35]], "point_labels": [1], "normalize_coords": False},
        {"box": [40, 30, 20, 50]},
        {"box": [0.1, 0.2, 0.5, 0.6]},
        {"box": [130, 30, 150, 50]},
        {"box": [1, 2, 3]},
        {"mask_input": np.zeros((3, 32, 32))},
        {"mask_input": np.zeros((1, 64, 64))},
        {"point_coords": [[30, 35]], "point_labels": [1], "box": [[1, 2, 30, 40], [2, 3, 40, 50]]},
    ]
    for prompt in wrong:
        with pytest.raises(InputError):
            predictor.predict(**prompt)  # type: ignore[arg-type]


def test_small_components_are_those_of_at_most_an_area() -> None:
    masks = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    masks[0, 0, 0, 0] = masks[0, 0, 1, 1] = True  # one component: neighbors across the corner
    masks[0, 0, 4:7, 4:7] = True
    small = small_regions._small_components(masks, 2)
    assert small[0, 0, :2, :2].tolist() == [[True, False], [False, True]]
    assert small.sum() == 2
    assert small_regions._small_components(masks, 9).sum() == 11
    assert not small_regions.small_components(masks, 9).any(), (
        "the CPU does nothing, as in the official package"
    )


def test_frames_are_a_tensor_where_they_are_used_as_one(folder: Path, small_model: Sam2) -> None:
    state = SAM2VideoPredictor(small_model).init_state(str(folder))
    images = state["images"]
    assert images.shape == (5, 3, 128, 128)
    assert torch.equal(torch.stack(list(images)), images[:])
    assert torch.equal(images[-1], images[4])
    assert torch.equal(torch.cat([images, images])[5:], images[:])
    assert images[1:3].mean() == images[[1, 2]].mean()
    state["images"] = images[:3].clone()  # as scripts do that prepare frames themselves
    state["num_frames"] = 3
    predictor = SAM2VideoPredictor(small_model)
    predictor.add_new_points_or_box(state, 0, 1, [[30, 35]], [1])
    assert [frame for frame, _, _ in predictor.propagate_in_video(state)] == [0, 1, 2]


def test_frames_of_several_sizes_are_refused(tmp_path: Path, small_model: Sam2) -> None:
    for number, width in enumerate((40, 41)):
        Image.new("RGB", (width, 30)).save(tmp_path / f"{number}.jpg")
    with pytest.raises(InputError, match=r"1\.jpg is 41 x 30"):
        SAM2VideoPredictor(small_model).init_state(str(tmp_path))


def test_video_files_are_resized_as_the_official_decoder_does() -> None:
    """``clip.npz`` holds what decord 0.6.0 makes of ``clip.mp4``, at every third pixel."""
    pytest.importorskip("av")
    images, height, width = open_video(REFERENCES / "clip.mp4", 128, torch.device("cpu"))
    assert (height, width) == (96, 120)
    with np.load(REFERENCES / "clip.npz") as recorded:
        expected = recorded["frames"]
    frames = (denormalize(images[:]) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    assert np.abs(frames[:, ::3, ::3].astype(int) - expected).max() <= 2


def test_predicting_is_for_evaluation_mode(folder: Path, small_model: Sam2) -> None:
    predictor = SAM2VideoPredictor(small_model)
    state = predictor.init_state(str(folder))
    predictor.train()
    with pytest.raises(RuntimeError, match="eval"):
        predictor.add_new_points_or_box(state, 0, 1, [[30, 35]], [1])
    predictor.eval().to("cpu")
    predictor.add_new_points_or_box(state, 0, 1, [[30, 35]], [1])


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"keeps_aspect_ratio": True},
            r"^This small-test was taught on images padded to a square, not",
        ),
        ({"intensities": "microscopy"}, "on images with their gray levels stretched, which the official"),
        ({"keeps_aspect_ratio": True, "intensities": "microscopy"}, "padded .* and with their gray levels"),
    ],
)
def test_models_of_other_pixels_are_refused_by_every_predictor(
    values: dict[str, Any], sentence: str, small_model: Sam2
) -> None:
    model = copy.copy(small_model)
    model.config = replace(small_model.config, **values)
    for predictor in (SAM2ImagePredictor, SAM2VideoPredictor, SAM2AutomaticMaskGenerator):
        with pytest.raises(InputError, match=sentence) as raised:
            predictor(model)
        assert isinstance(raised.value, NotImplementedError)


def test_videos_of_more_than_8_bits_are_seen_by_the_models_rule(small_model: Sam2) -> None:
    """And 8 bits as they are, which no rule but the refused one changes."""
    rows = np.linspace(-1000, 3000, 64, dtype=np.float32)[:, None]
    volume = np.stack([np.broadcast_to(rows + 10 * t, (64, 64)) for t in range(3)]).astype(np.int16)
    model = copy.copy(small_model)
    model.config = replace(small_model.config, intensities="soft tissue")
    ours = VideoSession(model, volume, axes="ZYX").window
    assert ours is not None
    images = SAM2VideoPredictor(model).init_state(volume)["images"]
    assert torch.equal(images[1], to_model_input(volume[1], ours, model.image_size)[0])
    usual = SAM2VideoPredictor(small_model).init_state(volume)["images"]
    assert not torch.allclose(images[1], usual[1])
    colors = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), np.uint8)
    seen = [SAM2VideoPredictor(one).init_state(colors)["images"][0] for one in (model, small_model)]
    assert torch.equal(*seen)
