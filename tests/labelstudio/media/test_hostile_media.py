"""Files made to harm whoever decodes them: they meet a process of their own."""

import io
import json
import struct
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
from labelstudio_harness import DATA, MediaServer
from PIL import Image

from labelstudio_backend.media import decoding
from labelstudio_backend.media.decoding import check_video, read_image
from labelstudio_backend.media.library import MediaLibrary
from labelstudio_backend.media.memory_budget import MemoryBudget
from labelstudio_backend.settings import Settings
from sam2_engine.errors import InputError

MOVING = DATA / "media" / "moving.mp4"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import os; os.abort()", "cannot be decoded safely"),
        ("while True: pass", "too long"),
        ("print('no json')\nraise SystemExit(3)", "cannot be decoded safely"),
        ("print('[1]')", "cannot be decoded safely"),
        ("print('a' * 10**6)", "cannot be decoded safely"),
        ("", "cannot be decoded safely"),
    ],
)
def test_a_file_that_brings_its_decoder_down(
    script: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "script.py").write_text(script)
    monkeypatch.setattr(decoding, "_SCRIPT", tmp_path / "script.py")
    monkeypatch.setattr(decoding, "_SECONDS", 1.0)
    with pytest.raises(InputError, match=words):
        read_image(MOVING, "a.png")
    with pytest.raises(InputError, match=words):
        check_video(MOVING, "a.mp4")


def test_the_stream_that_is_read_is_the_one_that_is_tried(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as output:
        for width in (32, 256):  # the small one first
            stream = output.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = width, 32, "yuv420p"
        for number in range(3):
            for stream in output.streams.video:
                image = np.full((32, stream.width, 3), 80 * number, np.uint8)
                output.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        for stream in output.streams.video:
            output.mux(stream.encode())
    check_video(path, "two.mkv", max_pixels=32 * 256)
    with pytest.raises(InputError, match="too many pixels"):
        check_video(path, "two.mkv", max_pixels=32 * 256 - 1)


def test_the_decoder_knows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "hidden-key")
    (tmp_path / "script.py").write_text(
        "import json, os; print(json.dumps({'error': 'damaged', 'reason': str(dict(os.environ))}))"
    )
    monkeypatch.setattr(decoding, "_SCRIPT", tmp_path / "script.py")
    with pytest.raises(InputError) as error:
        read_image(MOVING, "a.png")
    assert "OPENBLAS" in str(error.value)
    assert "hidden-key" not in str(error.value)


def png_that_claims(width: int, height: int) -> bytes:
    """Return a PNG of one pixel whose header speaks of many."""
    buffer = io.BytesIO()
    Image.new("1", (1, 1)).save(buffer, "png")
    image = bytearray(buffer.getvalue())
    struct.pack_into(">II", image, 16, width, height)
    struct.pack_into(">I", image, 29, zlib.crc32(image[12:29]))
    return bytes(image)


def test_pixels_are_counted_before_they_are_decoded(tmp_path: Path, media_server: MediaServer) -> None:
    media_server.pages["/bomb.png"] = (200, {}, png_that_claims(60000, 60000))
    with pytest.raises(InputError, match="too many pixels"):
        MediaLibrary(Settings(label_studio_url=media_server.url)).image("/bomb.png")
    small = MediaLibrary(Settings(label_studio_url=media_server.url, max_pixels=1000))
    for read, address in ((small.image, "/data/upload/1/a-shapes.png"), (small.video, "/data/a-moving.mp4")):
        with pytest.raises(InputError, match=r"too many pixels.*more than 1000.*MAX_PIXELS"):
            read(address)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is capped on Linux")
def test_memory_is_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(decoding.__file__).parent)!r})\n"
        "import decoder_script\n"
        "decoder_script.decode_image = lambda *_: bytearray(8 << 30)\n"
        "decoder_script.main()\n"
    )
    monkeypatch.setattr(decoding, "_SCRIPT", script)
    with pytest.raises(InputError, match="too many pixels"):
        read_image(MOVING, "a.png", 1000)


@pytest.mark.parametrize(
    "start",
    [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>"],
)
def test_images_that_are_programs_are_not_run(start: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(start)
    with pytest.raises(InputError, match="not an image"):
        read_image(tmp_path / "a.png", "a.png")


def test_a_playlist_that_names_other_files_is_no_video(media_server: MediaServer) -> None:
    media_server.pages["/list.mp4"] = (200, {}, b"ffconcat version 1.0\nfile /etc/passwd\n")
    media_server.pages["/hls.mp4"] = (200, {}, f"#EXTM3U\n#EXTINF:1,\n{media_server.url}/other\n".encode())
    library = MediaLibrary(Settings(label_studio_url=media_server.url))
    for address in ("/list.mp4", "/hls.mp4"):
        library.video(address)  # harmless, and its reader says that it is none
    assert "/other" not in [path for path, _ in media_server.seen]


@pytest.mark.parametrize("name", ["shapes.png", "moving.mp4"])
def test_files_with_bytes_exchanged_at_random(name: str, tmp_path: Path) -> None:
    """Some can still be read, others are refused; nothing else happens."""
    chance = np.random.default_rng(0)
    data = np.frombuffer((DATA / "media" / name).read_bytes(), np.uint8).copy()
    data[chance.integers(50, len(data), 200)] = chance.integers(0, 256, 200)
    (tmp_path / name).write_bytes(data.tobytes())
    read = read_image if name.endswith("png") else check_video
    with suppress(InputError):
        read(tmp_path / name, name)


@pytest.mark.parametrize(
    "reply",
    [
        {"shape": [9, 9], "dtype": "|u1"},  # fewer bytes come
        {"shape": [10**6, 10**6], "dtype": "|u1"},
        {"shape": [2, 2, 10**9], "dtype": "|u1"},
        {"shape": [-1, 4], "dtype": "|u1"},
        {"shape": [2, 2], "dtype": "O"},
        {"shape": "x"},
        {},
    ],
)
def test_a_decoder_that_was_taken_over_is_not_believed(
    reply: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [json.dumps({"pixels": 4}), json.dumps(reply)]
    script = f"print({lines[0]!r}, flush=True)\ninput()\nprint({lines[1]!r}, flush=True)\nprint('abc')"
    (tmp_path / "script.py").write_text(script)
    monkeypatch.setattr(decoding, "_SCRIPT", tmp_path / "script.py")
    with pytest.raises(InputError, match="decoded safely"):
        read_image(MOVING, "a.png")


def test_decoders_share_a_budget_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Was: as many large images at a time as there were clicks, each with GBs of memory."""
    path = tmp_path / "a.png"
    Image.new("RGB", (200, 100), "red").save(path)
    budget = MemoryBudget(12 * 200 * 100)
    at_once: list[int] = []
    go_on = decoding._Decoder.go_on

    def noted(decoder: decoding._Decoder) -> dict[str, object]:
        at_once.append(budget.used)
        return go_on(decoder)

    monkeypatch.setattr(decoding._Decoder, "go_on", noted)
    with ThreadPoolExecutor(4) as people:
        images = [people.submit(read_image, path, "a.png", 10**6, budget) for _ in range(4)]
        assert all(image.result().shape == (100, 200, 3) for image in images)
    assert at_once == [12 * 200 * 100] * 4
    assert budget.used == 0


def test_memory_is_given_in_order_of_arrival() -> None:
    budget, order = MemoryBudget(10), list[int]()

    def take(number: int, num_bytes: int) -> None:
        with budget.held(num_bytes):
            order.append(number)

    with ThreadPoolExecutor(3) as people, budget.held(6):
        for number, num_bytes in enumerate((100, 1, 10)):  # the second would fit in
            people.submit(take, number, num_bytes)
            while len(budget._waiting) <= number:
                pass
    assert order == [0, 1, 2]
