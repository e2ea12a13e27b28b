"""Where media may come from, what of it is read, and for how long."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from labelstudio_harness import DATA, MediaServer

from labelstudio_backend.media import connections
from labelstudio_backend.media.library import MediaLibrary
from labelstudio_backend.settings import Settings
from sam2_engine.errors import InputError

SHAPES = (DATA / "media" / "shapes.png").read_bytes()
STORE = "store.example.org"
IMAGE = "/data/upload/1/a-shapes.png"


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Say what the store's name stands for, time after time; gives the names that were looked up."""
    real = socket.getaddrinfo
    asked: list[str] = []

    def resolve(*addresses: str) -> list[str]:
        def getaddrinfo(host: str, port: int, **options: int) -> list[object]:
            if host != STORE:
                return list(real(host, port, **options))  # type: ignore[call-overload]
            asked.append(host)
            address = addresses[min(len(asked), len(addresses)) - 1]
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

        monkeypatch.setattr(connections.socket, "getaddrinfo", getaddrinfo)
        return asked

    return resolve


def store(server: MediaServer, **more: object) -> MediaLibrary:
    origin = f"http://{STORE}:{server.server_port}"
    return MediaLibrary(Settings(allowed_hosts=frozenset({origin}), fetch_seconds=5, **more))  # type: ignore[arg-type]


PRIVATE = [
    *("127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
    *("224.0.0.1", "::1", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1", "::"),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_for_a_private_address_is_refused(
    address: str, media_server: MediaServer, resolved: Callable[..., list[str]]
) -> None:
    resolved(address)
    with pytest.raises(InputError, match="ALLOW_PRIVATE_ADDRESSES"):
        store(media_server).file(f"http://{STORE}:{media_server.server_port}{IMAGE}")
    assert media_server.seen == []


def test_private_addresses_may_be_allowed(
    media_server: MediaServer, resolved: Callable[..., list[str]]
) -> None:
    resolved("127.0.0.1")
    library = store(media_server, allow_private_addresses=True)
    address = f"http://{STORE}:{media_server.server_port}{IMAGE}"
    assert library.file(address).path.read_bytes() == SHAPES
    # Who writes a number means it.
    library = MediaLibrary(Settings(allowed_hosts=frozenset({media_server.url})))
    assert library.file(media_server.url + IMAGE).path.read_bytes() == SHAPES


def test_the_address_that_is_checked_is_the_one_connected_to(
    media_server: MediaServer, resolved: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolved("93.184.215.14", "127.0.0.1")  # DNS rebinding: another answer at the second look
    reached: list[object] = []

    def connect(self: object, place: object) -> None:
        reached.append(place)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(connections._Socket, "connect", connect)
    address = f"http://{STORE}:{media_server.server_port}{IMAGE}"
    with pytest.raises(InputError, match="cannot be fetched"):
        store(media_server).file(address)
    assert (asked, reached) == ([STORE], [("93.184.215.14", media_server.server_port)])
    with pytest.raises(InputError, match="private address"):
        store(media_server).file(address)
    assert len(reached) == 1


def test_a_redirect_to_a_name_for_a_private_address(
    media_server: MediaServer, resolved: Callable[..., list[str]]
) -> None:
    resolved("127.0.0.1")
    inside = f"http://{STORE}:{media_server.server_port}{IMAGE}"
    media_server.pages["/a.png"] = (302, {"Location": inside}, b"")
    origin = f"http://{STORE}:{media_server.server_port}"
    library = MediaLibrary(
        Settings(label_studio_url=media_server.url, allowed_hosts=frozenset({origin}), api_key="secret")
    )
    with pytest.raises(InputError, match="private address"):
        library.file("/a.png")
    assert media_server.seen == [("/a.png", "Token secret")]


def test_a_proxy_of_the_environment_is_not_asked(
    media_server: MediaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    library = MediaLibrary(Settings(label_studio_url=media_server.url))
    assert library.file(IMAGE).path.read_bytes() == SHAPES


def test_the_token_is_decided_anew_at_every_redirect(media_server: MediaServer) -> None:
    other = MediaServer()
    try:
        media_server.pages["/1.png"] = (302, {"Location": other.url + "/2.png"}, b"")
        other.pages["/2.png"] = (307, {"Location": media_server.url + "/3.png"}, b"")
        media_server.pages["/3.png"] = (301, {"Location": "data/upload/1/a-shapes.png"}, b"")
        settings = Settings(
            label_studio_url=media_server.url, api_key="secret", allowed_hosts=frozenset({other.url})
        )
        assert MediaLibrary(settings).file("/1.png").path.read_bytes() == SHAPES
        assert [token for _, token in media_server.seen] == ["Token secret"] * 3
        assert [token for _, token in other.seen] == [None]
    finally:
        other.close()


def test_a_personal_token_follows_no_redirect(media_server: MediaServer) -> None:
    other = MediaServer()
    try:
        media_server.pages["/api/token/refresh/"] = (307, {"Location": other.url + "/steal"}, b"")
        settings = Settings(
            label_studio_url=media_server.url, api_key="a.b.c", allowed_hosts=frozenset({other.url})
        )
        with pytest.raises(InputError, match="LABEL_STUDIO_API_KEY"):
            MediaLibrary(settings).file(IMAGE)
        assert other.seen == []
    finally:
        other.close()


def test_redirects_in_a_circle(media_server: MediaServer) -> None:
    media_server.pages["/1.png"] = (302, {"Location": "/1.png"}, b"")
    with pytest.raises(InputError, match="redirected again and again"):
        MediaLibrary(Settings(label_studio_url=media_server.url)).file("/1.png")
    assert len(media_server.seen) == 6


@pytest.mark.parametrize("place", ["my image.png", "Größe 5µm.png", 'a"b.png'])
def test_addresses_as_people_write_them(place: str, media_server: MediaServer) -> None:
    address = f"/data/local-files/?d=images/{place}"
    media_server.pages[f"/data/local-files/?d=images/{quote(place)}"] = (200, {}, SHAPES)
    library = MediaLibrary(Settings(label_studio_url=media_server.url))
    assert library.file(address).path.read_bytes() == SHAPES


@pytest.mark.parametrize("address", ["http://u:p@{}/a.png", "http://u@{}/a.png", "http://{}\r\nX: y/a.png"])
def test_addresses_with_more_than_an_address(address: str, media_server: MediaServer) -> None:
    place = media_server.url.removeprefix("http://")
    with pytest.raises(InputError):
        MediaLibrary(Settings(label_studio_url=media_server.url)).file(address.format(place))
    assert media_server.seen == []


@contextmanager
def trickling(start: bytes, drop: bytes) -> Iterator[str]:
    """Serve one answer that begins at once and then comes drop by drop, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        done = threading.Event()

        def serve() -> None:
            link, _ = listening.accept()
            with link:
                link.recv(1 << 16)
                try:
                    link.sendall(start)
                    while not done.wait(0.02):
                        link.sendall(drop)
                except OSError:
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        done.set()
        thread.join()


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"", b""),  # nothing at all
        (b"HTTP/1.1 200 OK\r\nX: ", b"a"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n\r\n", b"a"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    ],
)
def test_who_answers_slowly_is_not_waited_for(start: bytes, drop: bytes) -> None:
    with trickling(start, drop) as url:
        library = MediaLibrary(Settings(label_studio_url=url, fetch_seconds=0.5))
        before = time.monotonic()
        with pytest.raises(InputError, match="FETCH_SECONDS"):
            library.file("/a.png")
        # Not a measurement: without a deadline this would go on for ever.
        assert time.monotonic() - before >= 0.5
        assert list(library._folder.iterdir()) == []


def test_a_file_that_is_announced_as_too_large_is_not_begun(media_server: MediaServer) -> None:
    media_server.pages["/big.mp4"] = (200, {"Content-Length": str(4 << 30)}, b"")
    with pytest.raises(InputError, match="MAX_MEDIA_BYTES"):
        MediaLibrary(Settings(label_studio_url=media_server.url)).file("/big.mp4")
