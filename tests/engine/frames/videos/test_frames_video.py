"""Videos: the frame that is read is the right one, in whatever order, container and thread."""

import gc
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from sam2_engine.errors import InputError
from sam2_engine.frames import open_frames
from sam2_engine.frames.video_frames import VideoFrames
from tests.engine.frames.videos.number_plates import COUNT, HEIGHT, WIDTH, number_of, number_plate, write

GROUPS = {"g": "12", "bf": "3"}
KINDS: dict[str, tuple[str, str, dict[str, str]]] = {
    "b_frames.mp4": ("libx264", "yuv420p", GROUPS),
    "b_frames.mkv": ("libx264", "yuv420p", GROUPS),
    "b_frames.ts": ("libx264", "yuv420p", GROUPS),
    "b_frames.avi": ("libx264", "yuv420p", GROUPS),
    "raw.h264": ("libx264", "yuv420p", GROUPS),
    "open_groups.mp4": ("libx264", "yuv420p", {**GROUPS, "x264-params": "open-gop=1"}),
    "open_groups.ts": ("libx264", "yuv420p", {**GROUPS, "x264-params": "open-gop=1"}),
    "one_group.mp4": ("libx264", "yuv420p", {"g": "1000"}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {"g": "12"}),
    "mpeg2.mpg": ("mpeg2video", "yuv420p", {"g": "12", "bf": "2"}),
    "vp8.webm": ("libvpx", "yuv420p", {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "10", "b": "300k"}),
    "vp9.webm": (
        "libvpx-vp9",
        "yuv420p",
        {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "10", "cpu-used": "8"},
    ),
    "key_frames_only.avi": ("mjpeg", "yuvj420p", {}),
    "animation.gif": ("gif", "rgb8", {}),
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    return {name: write(folder / name, *how) for name, how in KINDS.items()}


@pytest.fixture
def mp4(videos: dict[str, Path]) -> Iterator[VideoFrames]:
    with open_frames(videos["b_frames.mp4"]) as frames:
        assert isinstance(frames, VideoFrames)
        yield frames


@pytest.mark.parametrize("name", KINDS)
def test_frames_come_exactly_in_any_order(videos: dict[str, Path], name: str) -> None:
    with open_frames(videos[name]) as frames:
        assert (len(frames), frames.shape, frames.is_rgb, frames.axes) == (
            COUNT,
            (HEIGHT, WIDTH),
            True,
            "TYXS",
        )
        straight = [frame.copy() for frame in frames]
    assert [number_of(frame) for frame in straight] == list(range(COUNT))
    orders = {
        "backwards": list(range(COUNT - 1, -1, -1)),
        "shuffled": np.random.default_rng(0).permutation(COUNT).tolist(),
        "strides": [*range(0, COUNT, 7), *range(3, COUNT, 13), 0, COUNT - 1, 0],
    }
    for order in orders.values():
        with open_frames(videos[name]) as frames:
            for number in order:
                np.testing.assert_array_equal(frames[number], straight[number])


def test_walking_forwards_never_seeks_and_backwards_seeks_once_per_group(mp4: VideoFrames) -> None:
    for number in range(COUNT):
        mp4[number]
    assert mp4.decoder.seeks == 0
    with open_frames(mp4.path) as backwards:
        assert isinstance(backwards, VideoFrames)
        for number in reversed(range(COUNT)):
            backwards[number]
        assert backwards.decoder.seeks == 4


def test_every_thread_has_its_own_decoder(mp4: VideoFrames) -> None:
    expected = [frame.copy() for frame in mp4]
    wrong: list[int] = []
    decoders = set()

    def read(order: list[int]) -> None:
        decoders.add(mp4.decoder)
        wrong.extend(number for number in order if not np.array_equal(mp4[number], expected[number]))

    orders = [list(range(COUNT)), list(range(COUNT))[::-1], [0, 39, 5, 30] * 5]
    threads = [threading.Thread(target=read, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(decoders) == 3


def images_in_memory() -> int:
    return sum(type(one) in (av.VideoFrame, av.VideoCodecContext) for one in gc.get_objects())


def test_a_closed_video_holds_no_images_and_opens_again_when_read(videos: dict[str, Path]) -> None:
    frames = open_frames(videos["b_frames.mp4"])
    gc.collect()
    gc.disable()  # what waits for a collection stays for a long time, and images are large
    try:
        assert [number_of(frames[index]) for index in (20, 5)] == [20, 5]
        assert images_in_memory() > 0
        frames.close()
        assert images_in_memory() == 0
    finally:
        gc.enable()
    assert number_of(frames[7]) == 7
    frames.close()


def test_frame_rate_and_description(mp4: VideoFrames) -> None:
    assert mp4.fps == 25
    assert mp4.description == "T=40 Y=64 X=96, RGB, uint8"
    with open_frames(mp4.path, channel=1, axes="ZYXS") as green:
        assert (green.axis, green.channels, green[3].shape) == ("Z", 1, (HEIGHT, WIDTH))
        np.testing.assert_array_equal(green[3], mp4[3][..., 1])
    with pytest.raises(InputError, match="there is no 3"):
        open_frames(mp4.path, channel=3)
    for axes in ("TZYX", "TXY", "T", "TYXX"):  # all but the first were ignored
        with pytest.raises(InputError, match="plain sequence"):
            open_frames(mp4.path, axes=axes)


def test_gray_video_of_16_bits_keeps_its_levels(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 65535, (5, HEIGHT, WIDTH)).astype(np.uint16)
    with av.open(str(tmp_path / "gray.mkv"), "w") as output:
        stream = output.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray16le"
        for plane in levels:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(plane, "gray16le")))
        output.mux(stream.encode())
    with open_frames(tmp_path / "gray.mkv") as frames:
        assert (frames.channels, frames.dtype) == (1, np.uint16)
        np.testing.assert_array_equal(frames[3], levels[3])


@pytest.mark.parametrize(("matrix", "turns"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)])
def test_a_video_from_a_turned_telephone_is_upright(
    videos: dict[str, Path], tmp_path: Path, matrix: tuple[int, int, int, int], turns: int
) -> None:
    data = bytearray(videos["b_frames.mp4"].read_bytes())
    offset = data.index(b"tkhd") + 4 + 40  # the matrix of the track's header (ISO 14496-12, section 8.3.2)
    a, b, c, d = (value * 65536 for value in matrix)
    data[offset : offset + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "turned.mp4").write_bytes(data)
    with open_frames(tmp_path / "turned.mp4") as turned, open_frames(videos["b_frames.mp4"]) as straight:
        assert turned.shape == ((WIDTH, HEIGHT) if turns % 2 else (HEIGHT, WIDTH))
        np.testing.assert_array_equal(turned[20], np.rot90(straight[20], turns))


def test_a_video_that_is_cut_off_before_its_index(videos: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "cut.mp4").write_bytes(videos["b_frames.mp4"].read_bytes()[:2000])
    with pytest.raises(InputError, match=r"^cut.mp4 is cut off, and without what is missing no frame"):
        open_frames(tmp_path / "cut.mp4")


def test_damage_in_the_middle_names_the_frame(tmp_path: Path) -> None:
    path = write(tmp_path / "damaged.avi", "ffv1", "yuv420p", {"g": "1", "slicecrc": "1", "level": "3"})
    with av.open(str(path)) as container:
        offset, size = [(p.pos, p.size) for p in container.demux(video=0) if p.size][17]
    data = bytearray(path.read_bytes())
    data[offset + 8 : offset + 8 + size] = bytes(size)
    path.write_bytes(data)
    with open_frames(path) as frames:
        number_of(frames[16])
        with pytest.raises(InputError, match=r"^Frame 17 of damaged.avi cannot be read"):
            frames[17]
        assert number_of(frames[19]) == 19


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.mp4", b"this is not a video" * 50),
        ("text.txt", b"hello, world\n" * 50),
        ("playlist.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n/etc/passwd\n#EXT-X-ENDLIST\n"),
        ("concat.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n"),
        ("zeros.avi", bytes(5000)),
    ],
)
def test_files_that_are_no_video(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"^{name} is neither an image, a stack nor a video"):
        open_frames(tmp_path / name)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mkv"), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=8000, layout="mono")
        output.mux(stream.encode(_silence()))
        output.mux(stream.encode())
    with pytest.raises(InputError, match=r"sound.mkv holds no images"):
        open_frames(tmp_path / "sound.mkv")


def _silence() -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
    frame.sample_rate = 8000
    return frame


@pytest.mark.parametrize(("name", "key"), [("a.avi", "title"), ("a.mkv", "title"), ("a.mp4", "comment")])
def test_text_that_is_no_utf8(tmp_path: Path, name: str, key: str) -> None:
    with av.open(str(tmp_path / name), "w") as output:
        output.metadata[key] = "ABCDEFGH"
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(3):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(number_plate(number), format="rgb24")))
        output.mux(stream.encode())
    content = (tmp_path / name).read_bytes()
    assert b"ABCDEFGH" in content
    (tmp_path / name).write_bytes(content.replace(b"ABCDEFGH", b"\xe9t\xe9 \xff\xfe\x80!"))
    with open_frames(tmp_path / name) as frames:
        assert [number_of(frame) for frame in frames] == [0, 1, 2]
