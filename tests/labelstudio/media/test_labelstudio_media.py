import gc
import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import numpy as np
import pytest
from labelstudio_harness import DATA, MediaServer
from PIL import Image
from process_usage import full_disk

from labelstudio_backend.media.addresses import redacted
from labelstudio_backend.media.decoding import read_image
from labelstudio_backend.media.library import MediaLibrary
from labelstudio_backend.settings import Settings
from sam2_engine.errors import InputError

SHAPES = (DATA / "media" / "shapes.png").read_bytes()
LOCAL = "/data/local-files/?d=images/shapes.png"
PERSONAL_TOKEN = "eyJhbGciOi.eyJ0b2tlbi.c2ln"


@pytest.fixture
def library(media_server: MediaServer) -> MediaLibrary:
    return MediaLibrary(Settings(label_studio_url=media_server.url))


def test_label_studios_own_files_are_fetched_once(library: MediaLibrary, media_server: MediaServer) -> None:
    for address in (LOCAL, "/data/upload/2/b760a6cd-shapes.png", media_server.url + LOCAL, LOCAL):
        file = library.file(address)
        assert file.path.read_bytes() == SHAPES
        assert file.path.suffix == ".png"
    assert len(media_server.seen) == 2


def test_no_token_is_sent_where_none_is_set(library: MediaLibrary, media_server: MediaServer) -> None:
    library.file(LOCAL)
    assert [token for _, token in media_server.seen] == [None]


def test_a_legacy_token(media_server: MediaServer) -> None:
    MediaLibrary(Settings(label_studio_url=media_server.url, api_key="0123abcd")).file(LOCAL)
    assert [token for _, token in media_server.seen] == ["Token 0123abcd"]


def test_a_personal_token_is_exchanged_once(media_server: MediaServer) -> None:
    media_server.pages["/api/token/refresh/"] = (200, {}, json.dumps({"access": "short-lived"}).encode())
    library = MediaLibrary(Settings(label_studio_url=media_server.url, api_key=PERSONAL_TOKEN))
    library.file(LOCAL)
    library.file("/data/upload/2/b760a6cd-shapes.png")
    assert [path for path, _ in media_server.seen].count("/api/token/refresh/") == 1
    assert [token for path, token in media_server.seen if path.startswith("/data")] == [
        "Bearer short-lived"
    ] * 2


def test_a_personal_token_that_is_refused(media_server: MediaServer) -> None:
    media_server.pages["/api/token/refresh/"] = (401, {}, b"{}")
    library = MediaLibrary(Settings(label_studio_url=media_server.url, api_key=PERSONAL_TOKEN))
    with pytest.raises(InputError, match="LABEL_STUDIO_API_KEY") as refusal:
        library.file(LOCAL)
    assert PERSONAL_TOKEN not in str(refusal.value)


def test_other_hosts_must_be_allowed_and_get_no_token(media_server: MediaServer) -> None:
    other = MediaServer()
    try:
        settings = Settings(label_studio_url=media_server.url, api_key="secret")
        with pytest.raises(InputError, match="not allowed"):
            MediaLibrary(settings).file(other.url + LOCAL)
        assert other.seen == []
        allowed = Settings(
            label_studio_url=media_server.url, api_key="secret", allowed_hosts=frozenset({other.url})
        )
        assert MediaLibrary(allowed).file(other.url + LOCAL).path.read_bytes() == SHAPES
        # A redirect of Label Studio to a store elsewhere: followed, but the token stays at home.
        media_server.pages["/data/upload/1/a.png"] = (
            302,
            {"Location": other.url + "/data/x/shapes.png"},
            b"",
        )
        assert MediaLibrary(allowed).file("/data/upload/1/a.png").path.read_bytes() == SHAPES
        assert [token for _, token in other.seen] == [None, None]
        with pytest.raises(InputError, match="not allowed"):
            MediaLibrary(settings).file("/data/upload/1/a.png")
    finally:
        other.close()


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/a.png",
        "s3://bucket/a.png",
        "data:image/png;base64,A",
        "data:image/png",
        "http://127.0.0.1:1@localhost/a.png",
        "http://[::1/a.png",
        "etc/passwd",
    ],
)
def test_addresses_that_are_never_read(media_server: MediaServer, address: str) -> None:
    with pytest.raises(InputError):
        MediaLibrary(Settings(label_studio_url=media_server.url, api_key="secret")).file(address)
    assert media_server.seen == []


def test_a_redirect_to_a_file_of_the_machine(library: MediaLibrary, media_server: MediaServer) -> None:
    media_server.pages["/data/upload/1/a.png"] = (302, {"Location": "file:///etc/passwd"}, b"")
    with pytest.raises(InputError):
        library.file("/data/upload/1/a.png")


PATH_TRAVERSAL = [
    "../../etc/passwd",
    "images/../../etc/passwd",
    "images/..%2f../etc/passwd",
    "%252e%252e/etc/passwd",
    "..\\x",
]


@pytest.mark.parametrize("place", PATH_TRAVERSAL)
@pytest.mark.parametrize("form", [str, lambda place: quote(place, safe="")])
def test_path_traversal_is_refused_without_a_request(
    library: MediaLibrary, media_server: MediaServer, place: str, form: Callable[[str], str]
) -> None:
    for address in (f"/data/local-files/?d={form(place)}", f"/data/upload/{form(place)}"):
        with pytest.raises(InputError, match="climbs"):
            library.file(address)
    assert media_server.seen == []


def test_a_mounted_folder_is_read_directly(tmp_path: Path, media_server: MediaServer) -> None:
    root = tmp_path / "root"
    (root / "images").mkdir(parents=True)
    (root / "images" / "shapes.png").write_bytes(SHAPES)
    (tmp_path / "secret.png").write_bytes(SHAPES)
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    library = MediaLibrary(Settings(label_studio_url=media_server.url, media_root=root))
    assert library.file(LOCAL).path == root / "images" / "shapes.png"
    assert library.file(media_server.url + LOCAL).path == root / "images" / "shapes.png"
    for place, words in (
        ("link.png", "outside"),
        (f"{tmp_path}/secret.png", "outside"),
        ("gone.png", "not below MEDIA_ROOT"),
        ("a" * 5000, "not below MEDIA_ROOT"),
        ("nul%00.png", "not below MEDIA_ROOT"),
    ):
        with pytest.raises(InputError, match=words):
            library.file(f"/data/local-files/?d={place}")
    assert media_server.seen == []
    # The folder stands for Label Studio's own address only.
    with pytest.raises(InputError, match="not allowed"):
        library.file("http://127.0.0.1:9/data/local-files/?d=images/shapes.png")


def test_what_a_server_may_answer(library: MediaLibrary, media_server: MediaServer) -> None:
    answers = {
        "/data/upload/1/gone.gif": (404, {}, b"", "not there"),
        "/data/upload/1/closed.gif": (401, {}, b"", "LABEL_STUDIO_API_KEY"),
        "/data/upload/1/login.gif": (200, {"Content-Type": "text/html"}, b"<html>", "web page"),
        "/data/upload/1/broken.gif": (500, {}, b"", "500 from its server"),
        "/data/upload/1/cut.gif": (200, {"Content-Length": "100"}, b"half", "cut off|cannot be fetched"),
    }
    for path, (status, headers, body, words) in answers.items():
        media_server.pages[path] = (
            status,
            {"Content-Type": "image/gif", "Connection": "close", **headers},
            body,
        )
        with pytest.raises(InputError, match=words):
            library.file(path)


def test_nobody_there() -> None:
    with pytest.raises(InputError, match="cannot be fetched"):
        MediaLibrary(Settings(label_studio_url="http://127.0.0.1:9")).file(LOCAL)
    with pytest.raises(InputError, match="LABEL_STUDIO_URL"):
        MediaLibrary(Settings()).file(LOCAL)


def test_too_large_a_file_leaves_nothing_behind(media_server: MediaServer) -> None:
    library = MediaLibrary(Settings(label_studio_url=media_server.url, max_media_bytes=1000))
    with pytest.raises(InputError, match="MAX_MEDIA_BYTES"):
        library.file(LOCAL)
    assert list(library._folder.iterdir()) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the size of files")
def test_a_full_disk_is_named_and_leaves_nothing_behind(
    library: MediaLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = re.escape(str(library._folder))
    with full_disk(1000), pytest.raises(InputError, match=rf"{folder}/.*: File too large; make space there"):
        library.file(LOCAL)
    assert list(library._folder.iterdir()) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.raises(InputError, match=rf"{folder}/.* will take .* kB, but only 100 bytes are free there"):
        library.file(LOCAL)
    assert list(library._folder.iterdir()) == []


def test_files_beyond_the_cap_are_deleted_when_nobody_holds_them(media_server: MediaServer) -> None:
    library = MediaLibrary(Settings(label_studio_url=media_server.url, cache_bytes=len(SHAPES)))
    first = library.file(LOCAL)
    second = library.file("/data/upload/1/x-shapes.png")
    assert first.path.exists()
    assert second.path.exists()
    gone = first.path
    del first
    assert not gone.exists()
    library.close()
    assert not second.path.exists()


def test_a_library_that_nobody_holds_leaves_no_folder(media_server: MediaServer) -> None:
    file = MediaLibrary(Settings(label_studio_url=media_server.url)).file(LOCAL)
    folder = file.path.parent
    gc.collect()
    assert file.path.read_bytes() == SHAPES
    del file
    gc.collect()
    assert not folder.exists()


def test_redacted_addresses_hold_no_signature() -> None:
    assert redacted("https://u:p@store/a.png?X-Amz-Signature=1&d=b#c") == "https://store/a.png?d=b"
    assert redacted(LOCAL) == LOCAL


def _write(path: Path, array: np.ndarray, **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def test_an_image_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    array = np.zeros((4, 6, 3), dtype=np.uint8)
    array[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    turned = read_image(_write(tmp_path / "a.png", array, exif=exif), "a.png")
    assert turned.shape == (6, 4, 3)
    assert turned[0, 3].tolist() == [255, 255, 255]


def test_kinds_of_pixels(tmp_path: Path) -> None:
    gray = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.testing.assert_array_equal(read_image(_write(tmp_path / "l.png", gray), "l"), gray)
    deep = (np.arange(6, dtype=np.uint16) * 9999).reshape(2, 3)
    np.testing.assert_array_equal(read_image(_write(tmp_path / "i.png", deep), "i"), deep)
    rgba = np.full((2, 3, 4), 7, dtype=np.uint8)
    rgba[0, :, 3], rgba[1, :, 3] = 255, 0
    seen = read_image(_write(tmp_path / "rgba.png", rgba), "rgba")
    assert seen.tolist() == [[[7, 7, 7]] * 3, [[255, 255, 255]] * 3]
    palette = Image.fromarray(rgba[..., :3]).convert("P")
    palette.save(tmp_path / "p.gif")
    assert read_image(tmp_path / "p.gif", "p").shape == (2, 3, 3)


def test_what_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("<html>")
    with pytest.raises(InputError, match="not an image"):
        read_image(tmp_path / "text.png", "text.png")
    (tmp_path / "cut.png").write_bytes(SHAPES[:2000])
    with pytest.raises(InputError, match="damaged"):
        read_image(tmp_path / "cut.png", "cut.png")
    buffer = io.BytesIO()
    Image.new("1", (20000, 20000)).save(buffer, "png")
    (tmp_path / "bomb.png").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="too many pixels"):
        read_image(tmp_path / "bomb.png", "bomb.png")
    assert len(buffer.getvalue()) < 1 << 20
