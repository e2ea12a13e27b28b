"""Live streams: unknown length, a short memory, and an end that comes when it comes."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameIndexError, open_frames


def camera(count: int) -> Iterator[NDArray[np.uint8]]:
    for number in range(count):
        yield np.full((8, 9, 3), number, np.uint8)


def test_frames_come_as_they_are_read() -> None:
    taken = []
    frames = open_frames(number for number in camera(100) if not taken.append(number[0, 0, 0]))  # type: ignore[func-returns-value]
    assert (frames.length, frames.shape, frames.channels, frames.is_rgb) == (None, (8, 9), 3, True)
    assert frames.description == "T=? Y=8 X=9, RGB, uint8"
    assert taken == [0]
    assert frames[5][0, 0, 0] == 5
    assert taken == list(range(6))
    with pytest.raises(InputError, match="length is unknown"):
        len(frames)


def test_only_the_latest_frames_are_buffered() -> None:
    frames = open_frames(camera(100))
    frames[60]
    assert frames[60 - 15][0, 0, 0] == 45
    with pytest.raises(FrameIndexError, match="no longer held; only the latest 16"):
        frames[44]
    with pytest.raises(FrameIndexError):
        frames[-1]


def test_the_end_makes_the_length_known() -> None:
    frames = open_frames(camera(20), channel=0)
    assert [int(frame[0, 0]) for frame in frames] == list(range(20))
    assert len(frames) == 20
    with pytest.raises(FrameIndexError, match="frames are 0 to 19"):
        frames[20]


def test_streams_that_cannot_be_used() -> None:
    with pytest.raises(InputError, match="ended before its first frame"):
        open_frames(camera(0))
    with pytest.raises(InputError, match="cannot be used: an image is"):
        open_frames(iter([np.zeros(5)]))
    frames = open_frames(iter([np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8)]))
    with pytest.raises(InputError, match="Frame 1 of the live stream is"):
        frames[1]


def test_errors_of_the_camera_pass_through() -> None:
    def failing() -> Iterator[NDArray[np.uint8]]:
        yield np.zeros((4, 4), np.uint8)
        raise ConnectionError("the cable is out")

    frames = open_frames(failing())
    with pytest.raises(ConnectionError, match="cable"):
        frames[1]
