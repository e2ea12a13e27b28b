"""A mask that is given is given back to the pixel on its own frame; one that the model cannot see is said."""

import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine import InputWarning, VideoSession, open_frames
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.image_session import ImageSession
from sam2_engine.video.open_session import open_video_session
from sam2_engine.video.tiled_session import TiledVideoSession
from sam2_engine.video.tracking_session import TrackingSession

SHAPES = {"small": (96, 120), "large": (300, 280)}


def frames(shape: tuple[int, int], length: int) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(40, 90, (length, *shape)).astype(np.uint8)


def sessions(model: Sam2) -> Iterator[TrackingSession]:
    small, large = frames(SHAPES["small"], 3), frames(SHAPES["large"], 3)
    yield VideoSession(model, small)
    yield VideoSession(model, small, region=(10, 10, 90, 80))
    yield TiledVideoSession(model, large)
    yield ImageSession(model, small[:1])
    yield open_video_session(model, open_frames(large[:1], axes="TYX"))


def masks(shape: tuple[int, int]) -> Iterator[NDArray[np.bool_]]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    yield np.hypot(x - 40, y - 40) < 15
    yield (y == 40) & (x > 10) & (x < 100)
    yield (abs(x - 40) < 2) & (abs(y - 40) < 2)
    yield (x == 40) & (y == 40)
    yield (x + y) % 2 == 0
    yield np.ones(shape, bool)
    yield np.zeros(shape, bool)
    yield (abs(x - y) < 1) | (x == shape[1] - 1)


@pytest.mark.filterwarnings("ignore::sam2_engine.errors.InputWarning")
@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize("number", range(8))
def test_a_given_mask_comes_back_to_the_pixel(kind: int, number: int, small_model: Sam2) -> None:
    session = list(sessions(small_model))[kind]
    mask = list(masks(session.frames.shape))[number]
    result = session.add_mask(0, 7, mask)
    np.testing.assert_array_equal(result.masks[0], mask)
    np.testing.assert_array_equal(result.logits[0] > 0, mask)
    assert (result.presence[0] > 0.5) == mask.any()
    tracked = next(iter(session.propagate()))
    np.testing.assert_array_equal(tracked.masks[0], mask)
    session.add_points(0, 7, (40, 40))
    assert next(iter(session.propagate())).given_masks in ((), (None,))


@pytest.mark.filterwarnings("ignore::sam2_engine.errors.InputWarning")
def test_a_mask_on_a_later_frame_too(small_model: Sam2) -> None:
    session = VideoSession(small_model, frames(SHAPES["small"], 3))
    first, later, *_ = masks(SHAPES["small"])
    session.add_mask(0, 1, first)
    session.add_mask(2, 1, later)
    session.add_points(1, 2, (60, 60))
    results = list(session.propagate())
    np.testing.assert_array_equal(results[2].masks[0], later)
    assert results[1].given_masks == ()
    assert [mask is None for mask in results[2].given_masks] == [False, True]


@pytest.mark.parametrize("kind", range(5))
def test_what_the_model_cannot_see_is_said_in_a_sentence(kind: int, small_model: Sam2) -> None:
    session = list(sessions(small_model))[kind]
    mask = np.zeros(session.frames.shape, bool)
    mask[40, 40] = True
    with pytest.warns(InputWarning, match=r"The mask of object 7 on frame 0 \(1 pixel\) is too small"):
        session.add_mask(0, 7, mask)


def test_nothing_is_said_of_masks_that_are_seen_or_empty(small_model: Sam2) -> None:
    for session in sessions(small_model):
        for mask in (np.zeros(session.frames.shape, bool), next(masks(session.frames.shape))):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                session.add_mask(0, 1, mask)
