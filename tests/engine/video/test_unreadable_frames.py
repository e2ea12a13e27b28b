"""Frames that cannot be read are passed over by tracking, which says so and goes on after them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.frames import FrameSource, UnreadableFrameError, open_frames
from sam2_engine.frames.derived_frames import CroppedFrames
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.tiled_session import TiledVideoSession
from sam2_engine.video.tracking_session import TrackingSession
from sam2_engine.video.video_session import VideoSession
from tests.damaged_frames import DamagedFrames

Make = Callable[..., TrackingSession]


@pytest.fixture(params=["whole", "checkpoints", "tiles"])
def make(request: pytest.FixtureRequest, small_model: Sam2) -> Make:
    def open_session(frames: FrameSource) -> TrackingSession:
        if request.param == "tiles":
            return TiledVideoSession(small_model, frames)
        return VideoSession(small_model, frames, history=2**30 if request.param == "checkpoints" else None)

    return open_session


def test_tracking_goes_on_after_them(make: Make, moving_discs: NDArray[np.uint8]) -> None:
    session = make(DamagedFrames(moving_discs[:8], {3, 4, 7}))
    session.add_points(0, 1, (30, 35))
    with pytest.warns(InputWarning) as said:
        results = list(session.propagate())
    assert [result.frame for result in results] == list(range(8))
    assert [result.frame for result in results if not result.object_ids] == [3, 4, 7]
    assert results[4].problem.startswith("Frame 4 of damaged.mp4 cannot be read (its data are torn)")
    assert results[3].masks.shape == (0, *session.frames.shape)
    assert [str(one.message).split(":")[0] for one in said] == [
        "Tracking passed over frames 3 to 4, which have no masks now",
        "Tracking passed over frame 7, which has no masks now",
    ]
    again = make(DamagedFrames(moving_discs[:8], {3, 4, 7}))
    again.add_points(6, 1, (42, 41))
    with pytest.warns(InputWarning, match="frames 3 to 4, which have"):
        backwards = list(again.propagate(reverse=True))
    assert [result.frame for result in backwards if result.object_ids] == [6, 5, 2, 1, 0]


def test_a_corrected_frame_after_them_is_tracked_on(make: Make, moving_discs: NDArray[np.uint8]) -> None:
    session = make(DamagedFrames(moving_discs[:8], {3}))
    session.add_points(0, 1, (30, 35))
    with pytest.warns(InputWarning, match="frame 3, which has"):
        list(session.propagate())
    session.add_points(5, 1, (40, 40), [1])
    assert [result.frame for result in session.propagate(start=5)] == [5, 6, 7]
    with pytest.warns(InputWarning, match="frame 3, which has"):
        assert len(list(session.propagate(start=5, reverse=True))) == 6
    with pytest.raises(UnreadableFrameError, match="Frame 3"):
        session.add_points(3, 1, (40, 40))


def test_it_is_said_when_tracking_is_stopped_at_them(make: Make, moving_discs: NDArray[np.uint8]) -> None:
    session = make(DamagedFrames(moving_discs[:8], {2, 3, 4}))
    session.add_points(0, 1, (30, 35))
    steps = session.propagate()
    for _ in range(4):
        next(steps)
    with pytest.warns(InputWarning, match="frames 2 to 3"):
        steps.close()


def test_a_prompted_frame_that_is_needed_ends_it(small_model: Sam2, moving_discs: NDArray[np.uint8]) -> None:
    frames = DamagedFrames(moving_discs[:8], set())
    session = VideoSession(small_model, frames)
    session.add_points(0, 1, (30, 35))
    session.cache.clear()
    frames.damaged.add(0)
    with pytest.raises(UnreadableFrameError, match="Frame 0"):
        list(session.propagate(start=1))


@pytest.mark.parametrize(
    "error", [ValueError("torn"), OSError(5, "Input/output error"), InputError("Page 2.")]
)
def test_whatever_a_reader_raises_names_the_frame(error: Exception, moving_discs: NDArray[Any]) -> None:
    frames = DamagedFrames(moving_discs[:4], {2}, error)
    for source in (frames, CroppedFrames(frames, slice(0, 9), slice(0, 9))):
        with pytest.raises(UnreadableFrameError) as raised:
            source[2]
        assert raised.value.frame == 2
        assert source[3].shape[2] == 3
        with pytest.raises(InputError, match="has no frame 4") as beyond:
            source[4]
        assert not isinstance(beyond.value, UnreadableFrameError)


def test_what_lies_before_is_as_without_them(small_model: Sam2, moving_discs: NDArray[np.uint8]) -> None:
    masks = []
    for frames in (open_frames(moving_discs[:5], axes="TYXS"), DamagedFrames(moving_discs[:5], {3})):
        session = VideoSession(small_model, frames)
        session.add_points(0, 1, (30, 35))
        steps = session.propagate(stop=2)
        masks.append([replace(next(steps)).masks for _ in range(3)])
    np.testing.assert_array_equal(*masks)
