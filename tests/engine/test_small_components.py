"""Small components go, parts of an object stay."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam2_engine import VideoSession, open_frames
from sam2_engine.image.small_components import remove_small_components
from sam2_engine.modeling.sam2 import MaskPrediction, Sam2
from sam2_engine.video.image_session import ImageSession
from sam2_engine.video.open_session import open_video_session

NONE = np.zeros((0, 2), np.float32)


def logits_of(mask: NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(np.where(mask, 3.0, -5.0).astype(np.float32))


@pytest.fixture
def mask() -> NDArray[np.bool_]:
    """An object of 100, a part of 30 and a small component of 4."""
    mask = np.zeros((32, 32), bool)
    mask[2:12, 2:12] = mask[2:12, 20:23] = mask[25:27, 25:27] = True
    return mask


@pytest.mark.parametrize("clicks", [NONE, np.array([[7.0, 7.0]])], ids=["box", "click"])
def test_a_small_component_is_removed_and_a_part_stays(
    mask: NDArray[np.bool_], clicks: NDArray[np.float64]
) -> None:
    logits = logits_of(mask)
    cleaned = remove_small_components(logits, clicks)
    mask[25:27, 25:27] = False
    np.testing.assert_array_equal(cleaned > 0, mask)
    assert logits[25, 25] > 0, "what was given stays as it is"


def test_what_was_clicked_stays_however_small(mask: NDArray[np.bool_]) -> None:
    logits = logits_of(mask)
    assert remove_small_components(logits, np.array([[7.0, 7.0], [25.5, 25.5]])) is logits


def test_beside_a_clicked_small_component_a_larger_one_stays(mask: NDArray[np.bool_]) -> None:
    logits = logits_of(mask)
    assert remove_small_components(logits, np.array([[25.5, 25.5]])) is logits


def test_a_click_outside_of_what_the_model_saw_holds_nothing(mask: NDArray[np.bool_]) -> None:
    cleaned = remove_small_components(logits_of(mask), np.array([[-1.0, 40.0]]))
    assert cleaned[25, 25] < 0


@pytest.mark.parametrize("components", [0, 1])
def test_one_component_or_none_is_left_alone(components: int) -> None:
    mask = np.zeros((8, 8), bool)
    mask[2:4, 2:4] = components
    logits = logits_of(mask)
    assert remove_small_components(logits, NONE) is logits


def test_components_that_touch_at_a_corner_are_one(mask: NDArray[np.bool_]) -> None:
    mask[12, 12] = True
    assert remove_small_components(logits_of(mask), NONE)[12, 12] > 0


def with_a_small_component(decode: Callable[..., MaskPrediction]) -> Callable[..., MaskPrediction]:
    """Let a decoder predict a square, and far from it two pixels."""

    def decoded(*args: Any, **options: Any) -> MaskPrediction:
        prediction = decode(*args, **options)
        prediction.low_res_logits[:] = -4
        prediction.low_res_logits[..., 4:20, 4:20] = prediction.low_res_logits[..., 28:30, 28:30] = 4
        return prediction

    return decoded


@pytest.fixture
def session(small_model: Sam2) -> ImageSession:
    image = np.random.default_rng(3).integers(0, 255, (1, 96, 96)).astype(np.uint8)
    session = open_video_session(small_model, open_frames(image))
    assert isinstance(session, ImageSession)
    return session


def test_a_clicked_image_is_without_small_components(
    session: ImageSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sam2, "decode", with_a_small_component(Sam2.decode))
    clicked = session.add_points(0, 1, (30, 30)).masks[0]
    assert clicked[30, 30]
    assert not clicked[70:, 70:].any()
    (again,) = session.propagate()
    np.testing.assert_array_equal(again.masks[0], clicked)
    assert session.add_points(0, 1, (87, 87)).masks[0][87, 87], "unless they are clicked"


def test_a_given_mask_stays_as_it_is(session: ImageSession) -> None:
    given = np.zeros((96, 96), bool)
    given[10:50, 10:50] = given[68:80, 68:80] = True
    painted = session.add_mask(0, 1, given).masks[0]
    assert painted[74, 74]
    (again,) = session.propagate()
    np.testing.assert_array_equal(again.masks[0], painted)


def test_what_was_painted_and_clicked_then_keeps_its_components(
    session: ImageSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.add_mask(0, 1, np.ones((96, 96), bool))
    monkeypatch.setattr(Sam2, "decode", with_a_small_component(Sam2.decode))
    assert session.add_points(0, 1, (30, 30)).masks[0][87, 87]


@pytest.mark.parametrize("size", [96, 400], ids=["video", "tiles"])
def test_a_clicked_video_is_without_small_components_and_so_is_its_memory(
    size: int, small_model: Sam2, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not small_model.config.removes_small_components, "as of the official models"
    frames = np.random.default_rng(3).integers(0, 255, (3, size, size)).astype(np.uint8)
    session = open_video_session(small_model, open_frames(frames, axes="TYX"))
    monkeypatch.setattr(Sam2, "decode", with_a_small_component(Sam2.decode))
    published = open_video_session(small_model, open_frames(frames, axes="TYX"), remove_small_components=None)
    assert published.add_points(0, 1, (30, 30)).low_res_logits[0, 28, 28] > 0
    clicked = session.add_points(0, 1, (30, 30))
    assert clicked.low_res_logits[0, 10, 10] > 0
    assert (clicked.low_res_logits[0, 24:, 24:] < 0).all()
    seen: list[Tensor] = []
    encode = Sam2.encode_memory

    def encode_memory(model: Sam2, embedding: Tensor, logits: Tensor, *args: Any, **options: Any) -> Tensor:
        seen.append(logits)
        return encode(model, embedding, logits, *args, **options)

    monkeypatch.setattr(Sam2, "encode_memory", encode_memory)
    next(iter(session.propagate()))
    assert seen
    assert not (seen[0][..., 28:30, 28:30] > 0).any(), "the memory shows what the mask shows"


def test_a_session_by_itself_does_what_the_model_was_published_with(
    small_model: Sam2, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = np.zeros((1, 96, 96), np.uint8)
    monkeypatch.setattr(Sam2, "decode", with_a_small_component(Sam2.decode))
    as_official = VideoSession(small_model, frames).add_points(0, 1, (30, 30))
    assert as_official.low_res_logits[0, 28, 28] > 0
    told = VideoSession(small_model, frames, remove_small_components=True).add_points(0, 1, (30, 30))
    assert told.low_res_logits[0, 28, 28] < 0
