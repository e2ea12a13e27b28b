"""Connections that hold on: unfinished requests, many of them, too slow ones, and malformed ones."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen

import pytest

from labelstudio_backend.http.app import Application
from labelstudio_backend.http.listener import Limits, Listener

HELD = {
    "connected": b"",
    "half a header": b"POST /predict HTTP/1.1\r\nHost: a\r\n",
    "half a body": b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{",
    "half a chunk": b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
}


class _Predictor:
    """Stands for the predictor where no prediction is made."""

    model_version = "small"
    settings = type("Settings", (), {"basic_auth": None})()

    def predict(self, tasks: object, *_: object) -> list[object]:
        return [tasks]

    def version_for(self, project: object) -> str:
        return self.model_version


@contextmanager
def listening(limits: Limits | None = None, application: Any = None) -> Iterator[int]:
    """Serve in a thread; yield the port."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        application = application or Application(_Predictor())  # type: ignore[arg-type]
        listener = Listener(application, 4, limits, sockets=[bound])
        end = threading.Event()

        def run() -> None:
            while not end.is_set():
                listener.step(0.02)
            listener.close(5)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield bound.getsockname()[1]
        finally:
            end.set()
            thread.join()


@contextmanager
def held(port: int, data: bytes, count: int) -> Iterator[list[socket.socket]]:
    sockets = []
    try:
        for _ in range(count):
            sockets.append(socket.create_connection(("127.0.0.1", port), timeout=10))
            sockets[-1].sendall(data)
        yield sockets
    finally:
        for one in sockets:
            one.close()


def health(port: int) -> int:
    """Ask, and wait as long as a loaded machine may need."""
    with urlopen(f"http://127.0.0.1:{port}/health", timeout=60) as response:
        return int(response.status)


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def send(port: int, data: bytes) -> bytes:
    """Send bytes, and return the whole answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer


@pytest.mark.parametrize("kind", HELD)
def test_health_answers_beside_500_held_connections(kind: str) -> None:
    never = Limits(header=3600, body=3600, idle=3600)
    with listening(never) as port, held(port, HELD[kind], 500) as sockets:
        assert [health(port) for _ in range(3)] == [200, 200, 200]
        assert not any(map(is_closed, sockets[::50]))


@pytest.mark.parametrize("kind", HELD)
def test_a_request_that_is_not_whole_in_time_is_closed(kind: str) -> None:
    with listening(Limits(header=0.2, body=0.2, idle=0.2)) as port, held(port, HELD[kind], 3) as sockets:
        assert wait_for(lambda: all(map(is_closed, sockets)))
        assert health(port) == 200


def test_a_byte_now_and_then_gains_no_time() -> None:
    with listening(Limits(header=0.5, body=0.5)) as port, held(port, HELD["half a body"], 1) as (one,):

        def is_closed_though_it_sends() -> bool:
            try:
                one.sendall(b" ")
            except OSError:
                return True
            return is_closed(one)

        assert wait_for(is_closed_though_it_sends)


def test_more_connections_than_there_may_be_close_the_oldest_only() -> None:
    limits = Limits(connections=64)
    with listening(limits) as port, held(port, HELD["half a body"], 60) as old:
        assert wait_for(lambda: is_closed(old[0]))
        assert not is_closed(old[-1])
        with held(port, HELD["half a header"], 200):
            assert health(port) == 200


def test_bodies_that_are_not_whole_take_limited_room() -> None:
    begun = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n" + bytes(100_000)
    limits = Limits(body_bytes=1_000_000)
    with listening(limits) as port, held(port, begun, 30) as sockets:
        assert wait_for(lambda: sum(map(is_closed, sockets)) >= 20)
        assert not is_closed(sockets[-1])


def test_what_has_begun_is_answered_before_the_end() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def application(environ: Any, start_response: Any) -> list[bytes]:
        begun.set()
        assert go_on.wait(20)
        start_response("200 OK", [("Content-Length", "4")])
        return [b"done"]

    with listening(application=application) as port:
        answers: list[bytes] = []
        asking = threading.Thread(target=lambda: answers.append(send(port, b"GET / HTTP/1.0\r\n\r\n")))
        asking.start()
        assert begun.wait(20)
        threading.Timer(0.1, go_on.set).start()
    asking.join()
    assert answers[0].endswith(b"done")


def _request(body: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join((b"POST /predict HTTP/1.1", b"Host: a", b"Connection: close", *headers, b"", body))


def _sized(body: bytes) -> bytes:
    return _request(body, b"Content-Length: %d" % len(body))


MALFORMED = {
    "nested arrays": _sized(b"[" * 200_000),
    "nested objects": _sized(b'{"a":' * 100_000),
    "closed nesting": _sized(b'{"tasks":' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
    "a number of too many digits": _sized(b'{"tasks": ' + b"1" * 10_000 + b"}"),
    "not JSON": _sized(b"\xff\xfe"),
    "a length that is no number": _request(b"{}", b"Content-Length: two"),
    "a negative length": _request(b"{}", b"Content-Length: -2"),
    "a signed length": _request(b"{}", b"Content-Length: +2"),
    "a length of digits of another script": _request(b"{}", "Content-Length: ٢".encode()),
    "an endless length": _request(b"{}", b"Content-Length: " + b"9" * 5000),
    "two lengths": _request(b"{}", b"Content-Length: 2", b"Content-Length: 3"),
    "more than is taken": _request(b"{}", b"Content-Length: 99999999999"),
    "a chunk of no size": _request(b"zz\r\n{}\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"),
    "a chunk of negative size": _request(b"-2\r\n{}\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"),
    "a chunk without an end": _request(b"2\r\n{}xx0\r\n\r\n", b"Transfer-Encoding: chunked"),
    "a header without a name": _request(b"{}", b": 2"),
    "a long header": _request(b"{}", b"X: " + b"x" * 70_000)[: 64 << 10],
    "no request": b"\x16\x03\x01\x02\x00\r\n\r\n",
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_requests_are_refused(kind: str) -> None:
    with listening() as port:
        status = send(port, MALFORMED[kind]).split(b" ")[1]
        assert status.startswith(b"4")
        assert health(port) == 200
