"""Small components go, parts of an object stay."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine import open_frames
from sam2_engine.modeling.sam2 import MaskPrediction, Sam2
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.image_session import ImageSession
from sam2_engine.video.open_session import open_video_session
from sam2_engine.video.small_components import remove_small_components

NONE = np.zeros((0, 2), np.float32)


def result_of(mask: NDArray[np.bool_], region: tuple[int, int, int, int] | None = None) -> FrameResult:
    """A result whose low-resolution mask is ``mask``; a frame of four times its side, or a region of one."""
    logits = np.where(mask, 3.0, -5.0).astype(np.float32)[None]
    one = np.ones(1, np.float32)
    shape = (4 * mask.shape[0], 4 * mask.shape[1])
    return FrameResult(0, (1,), logits, one, one, shape, () if region is None else (region,))


@pytest.fixture
def mask() -> NDArray[np.bool_]:
    """An object of 100, a part of 30 and a small component of 4."""
    mask = np.zeros((32, 32), bool)
    mask[2:12, 2:12] = mask[2:12, 20:23] = mask[25:27, 25:27] = True
    return mask


@pytest.mark.parametrize("clicks", [NONE, np.array([[28.0, 28.0]])], ids=["box", "click"])
def test_a_small_component_is_removed_and_a_part_stays(
    mask: NDArray[np.bool_], clicks: NDArray[np.float64]
) -> None:
    result = result_of(mask)
    cleaned = remove_small_components(result, 0, clicks)
    mask[25:27, 25:27] = False
    np.testing.assert_array_equal(cleaned.low_res_logits[0] > 0, mask)
    assert cleaned.masks.sum() > 0
    assert result.low_res_logits[0, 25, 25] > 0, "the session's own logits stay as they are"


def test_what_was_clicked_stays_however_small(mask: NDArray[np.bool_]) -> None:
    result = result_of(mask)
    assert remove_small_components(result, 0, np.array([[28.0, 28.0], [102.0, 102.0]])) is result


def test_beside_a_clicked_small_component_a_larger_one_stays(mask: NDArray[np.bool_]) -> None:
    result = result_of(mask)
    assert remove_small_components(result, 0, np.array([[102.0, 102.0]])) is result


def test_clicks_are_counted_from_the_corner_of_the_region(mask: NDArray[np.bool_]) -> None:
    result = result_of(mask, (64, 64, 128, 128))  # two pixels of the frame for one of the mask
    small, elsewhere = np.array([[64 + 51.0, 64 + 51.0]]), np.array([[10.0, 10.0]])
    assert remove_small_components(result, 0, np.concatenate([small, elsewhere])) is result
    assert remove_small_components(result, 0, elsewhere) is not result


@pytest.mark.parametrize("components", [0, 1])
def test_one_component_or_none_is_left_alone(components: int) -> None:
    mask = np.zeros((8, 8), bool)
    mask[2:4, 2:4] = components
    result = result_of(mask)
    assert remove_small_components(result, 0, NONE) is result


def test_components_that_touch_at_a_corner_are_one(mask: NDArray[np.bool_]) -> None:
    mask[12, 12] = True
    cleaned = remove_small_components(result_of(mask), 0, NONE)
    assert cleaned.low_res_logits[0, 12, 12] > 0


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
