"""Videos that are cut off or damaged: what is there is right, what is missing is said or refused."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource, open_frames
from tests.engine.frames.videos.number_plates import COUNT, HEIGHT, WIDTH, number_of, number_plate, write

H264 = ("libx264", "yuv420p", {"g": "8", "bf": "2", "crf": "8"})
WITHOUT_REORDERING = ("libx264", "yuv420p", {"g": "8", "bf": "0", "crf": "8"})
MPEG4 = ("mpeg4", "yuv420p", {"g": "8", "qmin": "2", "qmax": "3"})
MJPEG: tuple[str, str, dict[str, str]] = ("mjpeg", "yuvj420p", {})
FRAGMENTS = {"options": {"movflags": "frag_keyframe+empty_moov"}}
INDEX_FIRST = {"options": {"movflags": "faststart"}}


def noisy(number: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(number).integers(-20, 20, (HEIGHT, WIDTH, 3))
    return np.clip(number_plate(number) + noise, 0, 255).astype(np.uint8)


def write_noisy(path: Path, codec: str, layout: str, coding: dict[str, str], **container: Any) -> Path:
    return write(path, codec, layout, coding, draw=noisy, **container)


def packets_of(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def damage(path: Path, number: int, *, skip: float = 0.5) -> None:
    """Overwrite the end of one packet's data, in the order they lie in the file."""
    packet = packets_of(path)[number]
    data = bytearray(path.read_bytes())
    start = data.index(bytes(packet)[:16], packet.pos - 8)
    first, last = start + int(packet.size * skip), start + packet.size
    data[first:last] = bytes(255 - value for value in data[first:last])
    path.write_bytes(data)


def readable(frames: FrameSource, order: Any) -> dict[int, NDArray[Any]]:
    """Read frames in an order; those that are refused are left out, and every refusal names its frame."""
    read, refusals = {}, []
    for number in order:
        try:
            read[int(number)] = frames[int(number)]
        except InputError as error:
            refusals.append((number, str(error)))
    for number, sentence in refusals:
        assert sentence.startswith(f"Frame {number} of {frames.name} cannot be read (")
    return read


def orders(length: int) -> list[Any]:
    return [range(length), range(length - 1, -1, -1), np.random.default_rng(0).permutation(length)]


@pytest.mark.parametrize("share", [0.97, 0.8, 0.5])
@pytest.mark.parametrize(
    ("name", "how", "container"),
    [
        ("a.mkv", H264, {}),
        ("a.webm", ("libvpx-vp9", "yuv420p", {"g": "8", "cpu-used": "8"}), {}),
        ("a.avi", MJPEG, {}),
        ("a.avi", MPEG4, {}),
        ("index.mp4", H264, INDEX_FIRST),
    ],
)
def test_frames_of_a_cut_off_file_keep_their_numbers_and_missing_ones_are_counted(
    tmp_path: Path, name: str, how: Any, container: Any, share: float
) -> None:
    path = write_noisy(tmp_path / name, *how, **container)
    with open_frames(path) as whole:
        assert whole.note == ""
        expected = list(whole)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with open_frames(path) as frames:
        assert f"of {COUNT} frames (" in frames.description
        assert "the file is cut off" in frames.description
        assert len(frames) < COUNT
        read = readable(frames, range(len(frames)))
        assert f"missing: {COUNT - len(read)} of {COUNT} frames" in frames.description
    for number, frame in read.items():
        np.testing.assert_array_equal(frame, expected[number])
    assert len(read) > COUNT * (share - 0.25)


def test_the_whole_fragments_of_a_cut_off_mp4_are_read(tmp_path: Path) -> None:
    path = write_noisy(tmp_path / "fragments.mp4", *WITHOUT_REORDERING, **FRAGMENTS)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.9)])
    with open_frames(path) as frames:
        assert frames.note.startswith("the file is cut off")
        assert len(frames) > COUNT * 0.7
        assert [number_of(frame) for frame in frames] == list(range(len(frames)))


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.mkv", H264),
        ("a.mp4", H264),
        ("a.ts", ("mpeg2video", "yuv420p", {"g": "8", "bf": "2"})),
        ("a.avi", MPEG4),
        ("a.avi", MJPEG),
    ],
)
def test_damaged_frames_and_those_that_build_on_them_are_refused_in_any_order(
    tmp_path: Path, name: str, how: Any
) -> None:
    path = write_noisy(tmp_path / name, *how)
    with open_frames(path) as whole:
        expected = list(whole)
    damage(path, 19)
    for order in orders(COUNT):
        with open_frames(path) as frames:
            assert len(frames) == COUNT
            read = readable(frames, order)
        assert COUNT > len(read) >= COUNT - 24
        for number, frame in read.items():
            assert np.abs(frame.astype(int) - expected[number]).max() <= 2


def test_a_frame_shown_before_the_damaged_one_that_it_builds_on_is_refused_too(tmp_path: Path) -> None:
    codec, layout, coding = H264
    path = write_noisy(tmp_path / "a.mkv", codec, layout, {**coding, "x264-params": "cabac=0"})
    packets = packets_of(path)
    at = next(  # a frame that others, decoded after it, are shown before
        at for at in range(9, COUNT) if packets[at].pts > packets[at + 1].pts
    )
    number = sorted(packet.pts for packet in packets).index(packets[at].pts)
    damage(path, at)
    for order in ([number - 1], range(COUNT)):
        with open_frames(path) as frames:
            assert not readable(frames, order).keys() & {number - 1, number}


def test_frames_behind_a_lost_chunk_of_avi_keep_their_numbers(tmp_path: Path) -> None:
    path = write_noisy(tmp_path / "a.avi", *MJPEG)
    first, second = packets_of(path)[10:12]
    data = bytearray(path.read_bytes())
    data[first.pos + first.size // 2 : second.pos + 40] = bytes(second.pos + 40 - first.pos - first.size // 2)
    path.write_bytes(data)
    for order in orders(COUNT):
        with open_frames(path) as frames:
            assert f"missing: 1 of {COUNT} frames (11)" in frames.description
            read = readable(frames, order)
        assert sorted(read) == [*range(10), *range(12, COUNT)]
        assert all(number_of(frame) == number for number, frame in read.items())


def test_frames_behind_a_lost_cluster_of_matroska_keep_their_numbers(tmp_path: Path) -> None:
    path = write_noisy(
        tmp_path / "a.mkv",
        *WITHOUT_REORDERING,
        options={"cluster_time_limit": "300", "cluster_size_limit": "0"},
    )
    packets = packets_of(path)
    data = bytearray(path.read_bytes())
    data[packets[16].pos - 40 : packets[22].pos] = bytes(packets[22].pos - packets[16].pos + 40)
    path.write_bytes(data)
    with open_frames(path) as frames:
        assert len(frames) == COUNT
        assert f"of {COUNT} frames (16 to 22)" in frames.description
        assert frames.timestamps is not None
        assert frames.timestamps[30] == pytest.approx(1.2)
        read = readable(frames, range(COUNT))
        with pytest.raises(
            InputError, match=r"^Frame 18 of a.mkv cannot be read \(it is missing from the file"
        ):
            frames[18]
    assert set(read) >= {*range(15), *range(32, COUNT)}
    assert all(number_of(frame) == number for number, frame in read.items())


def test_frames_that_a_recorder_left_out_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "dropped.mkv"
    left_out = {10, 11, 25}
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"g": "8", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in sorted(set(range(COUNT)) - left_out):
            image = av.VideoFrame.from_ndarray(number_plate(number), "rgb24")
            image.pts, image.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(image))
        output.mux(stream.encode())
    with open_frames(path) as frames:
        assert frames.note == "its times leave out 3 frames, its numbers do not"
        assert [number_of(frame) for frame in frames] == sorted(set(range(COUNT)) - left_out)


def test_a_beginning_without_a_key_frame_is_left_out(tmp_path: Path) -> None:
    path, cut = write_noisy(tmp_path / "a.mkv", *WITHOUT_REORDERING), tmp_path / "cut.mkv"
    with av.open(str(path)) as source, av.open(str(cut), "w") as output:
        copy = output.add_stream_from_template(source.streams.video[0])
        for packet in [packet for packet in source.demux(video=0) if packet.size][5:]:
            packet.stream = copy
            output.mux(packet)
    with open_frames(cut) as frames:
        assert frames.note.startswith("left out: the first 3 frames, which build on others that are not in")
        assert [number_of(frame) for frame in frames] == list(range(8, COUNT))
