"""A single image: small objects are predicted again, magnified; large ones as ever."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine import open_frames
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import Region
from sam2_engine.prompts import Prompt
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.image_session import ImageSession
from sam2_engine.video.open_session import open_video_session
from sam2_engine.video.video_session import VideoSession

SHAPE = (200, 256)  # the small model's input is 128, so the image is large; half of it is not


class DiscPredictions:
    """Lets sessions predict a disc, but nothing beyond the edge of their region."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, x: int, y: int, radius: float) -> None:
        self.regions: list[Region | None] = []
        self.disc = np.hypot(*(np.ogrid[: SHAPE[0], : SHAPE[1]][i] - (y, x)[i] for i in (0, 1))) < radius
        original = VideoSession.add_prompt

        def predict(
            session: VideoSession, frame: int, object_id: int, prompt: Prompt, **options: Any
        ) -> FrameResult:
            result = original(session, frame, object_id, prompt, **options)
            if prompt.mask is not None:
                return result
            self.regions.append(session.region)
            height, width = session.frames.shape
            x0, y0, x1, y1 = session.region or (0, 0, width, height)
            seen = self.disc[y0:y1, x0:x1]
            side = result.low_res_logits.shape[-1]
            rows = (np.arange(side) * seen.shape[0]) // side
            columns = (np.arange(side) * seen.shape[1]) // side
            result.low_res_logits[:] = np.where(seen[np.ix_(rows, columns)], 8.0, -8.0)
            return result

        monkeypatch.setattr(VideoSession, "add_prompt", predict)

    @property
    def sides(self) -> list[int | None]:
        """Of the tiles, None for the whole image."""
        return [None if region is None else region[2] - region[0] for region in self.regions]


@pytest.fixture
def image() -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(20, 200, (1, *SHAPE)).astype(np.uint8)


@pytest.fixture
def session(small_model: Sam2, image: NDArray[np.uint8]) -> ImageSession:
    session = open_video_session(small_model, open_frames(image[:, :120, :120]))
    assert isinstance(session, ImageSession)
    return session


@pytest.mark.parametrize(
    "ask", [lambda s: s.add_points(0, 1, (40, 44)), lambda s: s.add_box(0, 1, (32, 36, 48, 52))]
)
def test_a_small_object_is_magnified_twice_as_much(
    ask: Callable[[ImageSession], FrameResult], session: ImageSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions = DiscPredictions(monkeypatch, 40, 44, 8)  # 15 pixels of the input, 30 of the tile's
    result = ask(session)
    assert predictions.regions[0] is None
    assert len(predictions.regions) == 2
    x0, y0, x1, y1 = result.regions[0] or (0, 0, 0, 0)
    assert (x1 - x0, y1 - y0) == (60, 60)
    assert x0 < 32 < 48 < x1
    assert y0 < 36 < 52 < y1
    assert session.prompted_frames(1) == (0,)
    assert len(session._tiles) == 1, "what was only tried is dropped"


def test_a_tiny_object_is_magnified_until_it_is_large_enough(
    session: ImageSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions = DiscPredictions(monkeypatch, 60, 60, 3)
    session.add_points(0, 1, (60, 60))
    assert predictions.sides == [None, 60]  # half of 60 is below the least side
    again = session.add_points(0, 1, (61, 60))
    assert again.regions[0] == predictions.regions[-1]


def test_a_large_object_is_predicted_once(session: ImageSession, monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = DiscPredictions(monkeypatch, 60, 60, 30)
    result = session.add_points(0, 1, (60, 60))
    assert predictions.regions == [None]
    assert result.regions in ((), (None,))


def test_a_click_outside_of_the_smaller_tile_goes_back_to_the_whole_image(
    session: ImageSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions = DiscPredictions(monkeypatch, 20, 20, 8)
    session.add_points(0, 1, (20, 20))
    assert predictions.regions[-1] is not None
    del predictions.regions[:]
    session.add_points(0, 1, (110, 110), [0])
    assert set(predictions.regions) == {None}
    assert list(session._tiles) == [None]


def test_what_a_smaller_tile_does_not_show_stays_as_on_the_whole_image(
    session: ImageSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    DiscPredictions(monkeypatch, 40, 44, 8)
    original = VideoSession.add_prompt

    def blind(session: VideoSession, *args: Any, **options: Any) -> FrameResult:
        result = original(session, *args, **options)
        if session.region is not None:
            result.low_res_logits[:] = -8.0
        return result

    monkeypatch.setattr(VideoSession, "add_prompt", blind)
    result = session.add_points(0, 1, (40, 44))
    assert result.masks[0].any()
    assert list(session._tiles) == [None]


def test_a_mask_is_taken_as_it_is(session: ImageSession) -> None:
    mask = np.zeros((120, 120), bool)
    mask[50:56, 50:56] = True
    result = session.add_mask(0, 1, mask)
    assert result.regions in ((), (None,))


def test_a_large_image_goes_on_from_its_tile(
    small_model: Sam2, image: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions = DiscPredictions(monkeypatch, 128, 100, 8)
    session = open_video_session(small_model, open_frames(image))
    result = session.add_points(0, 1, (128, 100))
    x0, y0, x1, y1 = result.regions[0] or (0, 0, 0, 0)
    assert (x1 - x0, y1 - y0) == (64, 64)  # half of a tile
    assert set(predictions.sides) == {None, 128, 64}


def test_a_video_is_not_magnified(small_model: Sam2, image: NDArray[np.uint8]) -> None:
    frames = open_frames(np.repeat(image[:, :120, :120], 2, axis=0))
    assert type(open_video_session(small_model, frames)) is VideoSession


def test_the_pixels_of_a_mask_are_made_once(session: ImageSession, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[FrameResult] = []
    crop_of = FrameResult.crop_of
    monkeypatch.setattr(FrameResult, "crop_of", lambda one, i: made.append(one) or crop_of(one, i))
    result = session.add_prompt(0, 1, Prompt.of(SHAPE, points=[(100, 90)]))
    mask = result.mask_of(0)
    assert result.mask_of(0) is mask
    assert len(made) == len({id(one) for one in made})
    np.testing.assert_array_equal(mask.to_array(), result.masks[0])
