"""Streams of images in one video file, and the bits of their pixels."""

from pathlib import Path

import av
import numpy as np
import pytest

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from tests.engine.frames.videos.number_plates import HEIGHT, WIDTH, number_of, number_plate


@pytest.fixture(scope="module")
def two_cameras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with two streams, the smaller one first and called "Overview"."""
    path = tmp_path_factory.mktemp("streams") / "two.mkv"
    with av.open(str(path), "w") as output:
        streams = []
        for scale in (2, 1):
            stream = output.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = WIDTH // scale, HEIGHT // scale, "yuv420p"
            streams.append((stream, scale))
        streams[0][0].metadata["title"] = "Overview"
        for number in range(6):
            for stream, scale in streams:
                image = np.ascontiguousarray(number_plate(number)[::scale, ::scale])
                output.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        for stream, _ in streams:
            output.mux(stream.encode())
    return path


def test_the_largest_stream_is_read_and_the_others_are_named(two_cameras: Path) -> None:
    with open_frames(two_cameras) as frames:
        assert frames.shape == (HEIGHT, WIDTH)
        assert frames.note == "series 1 (96 x 64) of 2, left out: 0 (Overview)"
        assert [number_of(frame) for frame in frames] == list(range(6))


@pytest.mark.parametrize("series", [0, "0", "overview"])
def test_another_stream_is_chosen_by_number_or_name(two_cameras: Path, series: int | str) -> None:
    with open_frames(two_cameras, series=series) as frames:
        assert frames.shape == (HEIGHT // 2, WIDTH // 2)
        assert len(frames) == 6
        assert frames[5].shape == (HEIGHT // 2, WIDTH // 2, 3)


def test_a_stream_that_is_not_there(two_cameras: Path) -> None:
    with pytest.raises(
        InputError, match=r"^two.mkv has no series 2; choose one of 0 \(Overview\), 1 \(96 x 64"
    ):
        open_frames(two_cameras, series=2)


@pytest.mark.parametrize("layout", ["gray10le", "gray12le"])
def test_gray_levels_of_10_and_12_bits_stay_as_they_are(tmp_path: Path, layout: str) -> None:
    bits = int(layout[4:6])
    levels = np.random.default_rng(0).integers(0, 1 << bits, (4, HEIGHT, WIDTH)).astype(np.uint16)
    with av.open(str(tmp_path / "gray.mkv"), "w") as output:
        stream = output.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, layout
        for plane in levels:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(plane, layout)))
        output.mux(stream.encode())
    with open_frames(tmp_path / "gray.mkv") as frames:
        assert (frames.channels, frames.dtype, frames.note) == (1, np.uint16, "")
        np.testing.assert_array_equal(np.stack(list(frames)), levels)


def test_colors_of_10_bits_are_8_and_the_description_says_so(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "deep.mkv"), "w") as output:
        stream = output.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p10le"
        for number in range(3):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(number_plate(number), "rgb24")))
        output.mux(stream.encode())
    with open_frames(tmp_path / "deep.mkv") as frames:
        assert frames.description == "T=3 Y=64 X=96, RGB, uint8; 10 bits read as 8"
        assert [number_of(frame) for frame in frames] == [0, 1, 2]
