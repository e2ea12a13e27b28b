"""Threads of a video's decoder: as many however many frames are read and held."""

import sys
from pathlib import Path

import av
import numpy as np
import pytest

from sam2_engine.frames import open_frames

LENGTH = 60


def num_threads() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")
def test_frames_that_are_held_have_no_threads(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
        for number in range(LENGTH):
            for packet in stream.encode(av.VideoFrame.from_ndarray(np.full((96, 96, 3), number, np.uint8))):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    with open_frames(path) as frames:
        opened = num_threads()
        held = [frames[number] for number in (*range(LENGTH), *range(LENGTH - 1, 0, -7))]
        assert num_threads() <= opened + 1
        assert len(held) > LENGTH
    assert num_threads() < opened
