"""A script written for the official package runs, and gets back what it would have got there."""

import json
from pathlib import Path

import numpy as np
import official_script
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.image.predictor import ImagePredictor
from sam2_engine.modeling.config import VARIANTS
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.official_api import (
    SAM2ImagePredictor,
    SAM2VideoPredictor,
    build_sam2,
    build_sam2_video_predictor,
)
from sam2_engine.video.video_session import VideoSession
from sam2_engine.weights.loading import save_model

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
    session, predictor = VideoSession(small_model, moving_discs), SAM2VideoPredictor(small_model)
    state = predictor.init_state(moving_discs)
    session.add_points(0, 1, [(30, 35)])
    session.add_points(4, 2, [(60, 60), (95, 60)], [0, 1], box=(80, 45, 110, 75))
    predictor.add_new_points_or_box(state, 0, "red", points=[[30, 35]], labels=[1])
    predictor.add_new_points_or_box(state, 4, "green", [[60, 60], [95, 60]], [0, 1], box=[80, 45, 110, 75])
    for result, (frame, names, logits) in zip(
        session.propagate(), predictor.propagate_in_video(state), strict=True
    ):
        assert frame == result.frame
        assert names == ["red", "green"]
        assert logits.shape == (2, 1, 96, 120)
        for object_id, mask in zip((1, 2), logits[:, 0] > 0, strict=True):
            if object_id in result.object_ids:
                expected = result.masks[result.object_ids.index(object_id)]
                assert (mask.numpy() != expected).mean() < 1e-3
            else:
                assert not mask.any()


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
    assert (answer[2][0] < 0).all()
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


def test_overrides_that_are_not_heeded_are_warned_of(checkpoint: Path) -> None:
    overrides = ["++model.image_size=256", "++model.max_cond_frames_in_attn=4"]
    predictor = build_sam2_video_predictor("nano", checkpoint, "cpu", hydra_overrides_extra=overrides)
    assert predictor.model.image_size == 256
    assert predictor.max_conditioning_frames == 4
    with pytest.warns(InputWarning, match="non_overlap"):
        build_sam2("nano", checkpoint, "cpu", hydra_overrides_extra=["++model.non_overlap_masks=true"])
