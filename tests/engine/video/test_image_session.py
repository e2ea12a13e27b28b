"""A single picture: small objects are looked at once more, larger; large ones as ever."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine import open_frames
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.prompts import Prompt
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.image_session import ImageSession
from sam2_engine.video.open_session import open_video_session
from sam2_engine.video.session import VideoSession

SHAPE = (200, 256)  # the small model's input is 128, so the picture is large; half of it is not


class Seeing:
    """What a session would answer if it saw a disc, but no object beyond the edge of what it looks at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, x: int, y: int, radius: float) -> None:
        self.looks: list[object] = []
        self.disc = np.hypot(*(np.ogrid[: SHAPE[0], : SHAPE[1]][i] - (y, x)[i] for i in (0, 1))) < radius
        original = VideoSession.add_prompt

        def answer(
            session: VideoSession, frame: int, object_id: int, prompt: Prompt, **options: Any
        ) -> FrameResult:
            result = original(session, frame, object_id, prompt, **options)
            if prompt.mask is not None:
                return result
            self.looks.append(session.region)
            height, width = session.frames.shape
            x0, y0, x1, y1 = session.region or (0, 0, width, height)
            seen = self.disc[y0:y1, x0:x1]
            side = result.low_res_logits.shape[-1]
            rows = (np.arange(side) * seen.shape[0]) // side
            columns = (np.arange(side) * seen.shape[1]) // side
            result.low_res_logits[:] = np.where(seen[np.ix_(rows, columns)], 8.0, -8.0)
            return result

        monkeypatch.setattr(VideoSession, "add_prompt", answer)


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(20, 200, (1, *SHAPE)).astype(np.uint8)


@pytest.fixture
def still(small_model: Sam2, picture: NDArray[np.uint8]) -> ImageSession:
    session = open_video_session(small_model, open_frames(picture[:, :120, :120]))
    assert isinstance(session, ImageSession)
    return session


@pytest.mark.parametrize(
    "ask", [lambda s: s.add_points(0, 1, (40, 44)), lambda s: s.add_box(0, 1, (32, 36, 48, 52))]
)
def test_a_small_object_is_looked_at_twice_as_large(
    ask: Callable[[ImageSession], FrameResult], still: ImageSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeing = Seeing(monkeypatch, 40, 44, 8)  # 15 pixels of the whole's input, 30 of the half's
    answer = ask(still)
    assert seeing.looks[0] is None
    assert len(seeing.looks) == 2
    x0, y0, x1, y1 = answer.regions[0] or (0, 0, 0, 0)
    assert (x1 - x0, y1 - y0) == (60, 60)
    assert x0 < 32 < 48 < x1
    assert y0 < 36 < 52 < y1
    assert still.prompted_frames(1) == (0,)
    assert len(still._tiles) == 1, "what was only tried is let go"


def test_a_speck_is_looked_at_until_it_is_large_enough(
    still: ImageSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeing = Seeing(monkeypatch, 60, 60, 3)
    still.add_points(0, 1, (60, 60))
    sides = [120 if look is None else look[2] - look[0] for look in seeing.looks]  # type: ignore[index]
    assert sides == [120, 60]  # half of 60 is below the least side
    again = still.add_points(0, 1, (61, 60))
    assert again.regions[0] == seeing.looks[-1]


def test_a_far_sprinkle_does_not_hold_a_small_object_back(
    still: ImageSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeing = Seeing(monkeypatch, 40, 44, 8)
    seeing.disc[108:112, 108:112] = True
    answer = still.add_points(0, 1, (40, 44))
    assert answer.regions[0] is not None
    assert not answer.masks[0][100:, 100:].any()


def test_a_large_object_is_looked_at_once(still: ImageSession, monkeypatch: pytest.MonkeyPatch) -> None:
    seeing = Seeing(monkeypatch, 60, 60, 30)
    answer = still.add_points(0, 1, (60, 60))
    assert seeing.looks == [None]
    assert answer.regions in ((), (None,))


def test_a_click_outside_of_the_close_view_goes_back_to_the_whole(
    still: ImageSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeing = Seeing(monkeypatch, 20, 20, 8)
    still.add_points(0, 1, (20, 20))
    assert seeing.looks[-1] is not None
    del seeing.looks[:]
    still.add_points(0, 1, (110, 110), [0])
    assert set(seeing.looks) == {None}
    assert list(still._tiles) == [None]


def test_what_a_close_view_does_not_find_stays_as_the_whole_saw_it(
    still: ImageSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    Seeing(monkeypatch, 40, 44, 8)
    original = VideoSession.add_prompt

    def blind(session: VideoSession, *args: Any, **options: Any) -> FrameResult:
        result = original(session, *args, **options)
        if session.region is not None:
            result.low_res_logits[:] = -8.0
        return result

    monkeypatch.setattr(VideoSession, "add_prompt", blind)
    answer = still.add_points(0, 1, (40, 44))
    assert answer.masks[0].any()
    assert list(still._tiles) == [None]


def test_a_mask_is_taken_as_it_is(still: ImageSession) -> None:
    mask = np.zeros((120, 120), bool)
    mask[50:56, 50:56] = True
    answer = still.add_mask(0, 1, mask)
    assert answer.regions in ((), (None,))


def test_a_large_picture_goes_on_from_its_tile(
    small_model: Sam2, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeing = Seeing(monkeypatch, 128, 100, 8)
    session = open_video_session(small_model, open_frames(picture))
    answer = session.add_points(0, 1, (128, 100))
    x0, y0, x1, y1 = answer.regions[0] or (0, 0, 0, 0)
    assert (x1 - x0, y1 - y0) == (64, 64)  # half of a tile
    assert {None if look is None else look[2] - look[0] for look in seeing.looks} == {None, 128, 64}  # type: ignore[index]


def test_a_video_is_looked_at_as_a_whole(small_model: Sam2, picture: NDArray[np.uint8]) -> None:
    frames = open_frames(np.repeat(picture[:, :120, :120], 2, axis=0))
    assert type(open_video_session(small_model, frames)) is VideoSession
