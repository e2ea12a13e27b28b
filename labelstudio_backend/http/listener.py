"""Listener for requests: one takes a thread only once it is whole, and has to be whole in time."""

import os
import select
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from waitress import create_server, wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import BaseWSGIServer

from labelstudio_backend.http.app import MAX_BODY_BYTES

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["Limits", "Listener"]

_DESCRIPTORS_FOR_FILES = 256
_WITHOUT_POLL = 400  # what ``select`` takes on Windows, and some for files


@dataclass(frozen=True)
class Limits:
    """What connections may take; times in seconds.

    Attributes
    ----------
    header, body
        Until a request's header, and all of it, has arrived.
    idle
        Without a byte in either direction, between requests and while a response is being fetched.
    connections
        Open at a time; the oldest without a whole request are closed for newer ones.
    body_bytes
        Of all requests together that are not whole yet.
    """

    header: float = 20
    body: float = 120
    idle: float = 60
    connections: int = 2000
    body_bytes: int = 1 << 30


class _Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress is not typed
    def parse_header(self, header_plus: bytes) -> None:
        """Refuse a length of more digits than Python reads as well."""
        try:
            super().parse_header(header_plus)
        except ValueError:
            raise ParsingError("A number in the header cannot be read.") from None


class _Channel(HTTPChannel):  # type: ignore[misc]
    parser_class = _Parser


class Listener:
    """Takes connections, however many wait, in one thread, and hands whole requests to others.

    Parameters
    ----------
    application
        Answers a request.
    threads
        How many are answered at a time.
    limits
        What is closed before it is whole.
    address
        Where to listen: ``host`` and ``port``, or ``sockets``.
    """

    def __init__(
        self, application: "WSGIApplication", threads: int, limits: Limits | None = None, **address: Any
    ) -> None:
        self._limits = limits or Limits()
        self._most = _connections_at_most(self._limits.connections)
        self._map: dict[int, Any] = {}
        self._seen: WeakKeyDictionary[Any, tuple[object, float]] = WeakKeyDictionary()
        self._next_check = 0.0
        self._server = create_server(
            application,
            map=self._map,
            threads=threads,
            ident=None,
            connection_limit=self._most,
            max_request_header_size=64 << 10,
            max_request_body_size=MAX_BODY_BYTES + 1,
            outbuf_high_watermark=1 << 30,  # no thread waits for who fetches a response slowly
            log_socket_errors=False,
            **address,
        )
        for server in self._servers():
            server.channel_class = _Channel

    @property
    def port(self) -> int:
        """Where it listens, which the system chooses for port 0."""
        return int(self._servers()[0].effective_port)

    def step(self, seconds: float = 1) -> None:
        """Read and write what is ready, waiting at most this long for it; close what took too long."""
        with_poll = hasattr(select, "poll")
        wasyncore.loop(timeout=seconds, use_poll=with_poll, map=self._map, count=1)
        now = time.monotonic()
        if now >= self._next_check or self._is_crowded(len(self._map)):
            self._next_check = now + min(1, self._limits.header / 4)
            self._close_late(now)

    def close(self, grace: float = 10) -> None:
        """Take no more connections, finish what has begun within ``grace`` seconds, and close all."""
        for server in self._servers():
            server.accepting = False
            server.del_channel()
            server.socket.close()
        end = time.monotonic() + grace
        while time.monotonic() < end and any(c.requests or c.total_outbufs_len for c in self._channels()):
            wasyncore.loop(timeout=0.2, use_poll=hasattr(select, "poll"), map=self._map, count=1)
        self._server.task_dispatcher.shutdown(timeout=0.1)
        wasyncore.close_all(self._map)

    def _servers(self) -> list[Any]:
        return [one for one in self._map.values() if isinstance(one, BaseWSGIServer)]

    def _channels(self) -> list[Any]:
        return [one for one in self._map.values() if isinstance(one, HTTPChannel)]

    def _close_late(self, now: float) -> None:
        """Close connections whose request does not become whole in time, and the oldest where many wait."""
        channels = self._channels()
        waiting = [one for one in channels if not one.requests and not one.will_close]
        begun = {one: self._begun(one, now) for one in waiting}
        waiting.sort(key=begun.__getitem__)
        too_many = len(channels) - self._most // 2 if self._is_crowded(len(channels)) else 0
        arrived = sum(map(_arrived, waiting))
        for position, channel in enumerate(waiting):
            too_large = arrived > self._limits.body_bytes and _arrived(channel) > 0
            if position < too_many or too_large or now - begun[channel] > self._allowed(channel):
                channel.will_close = True
                arrived -= _arrived(channel)

    def _is_crowded(self, count: int) -> bool:
        return count > self._most * 3 // 4

    def _begun(self, channel: Any, now: float) -> float:
        """Return when the arriving request was first seen; without one, when anything happened last."""
        arriving = channel.request
        mark = channel.last_activity if arriving is None else arriving
        if self._seen.get(channel, (None, 0.0))[0] != mark:
            self._seen[channel] = mark, now
        return self._seen[channel][1]

    def _allowed(self, channel: Any) -> float:
        if channel.request is None:
            return self._limits.idle
        return self._limits.body if channel.request.headers_finished else self._limits.header


def _arrived(channel: Any) -> int:
    """Return the bytes of a body that have arrived of a request that is not whole."""
    return 0 if channel.request is None else int(channel.request.body_bytes_received)


def _connections_at_most(wanted: int) -> int:
    """Let this process open as many files as it may; return how many of them may be connections."""
    if not hasattr(select, "poll") or os.name != "posix":
        return min(wanted, _WITHOUT_POLL)
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _DESCRIPTORS_FOR_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        with suppress(ValueError, OSError):  # the system may forbid it
            soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(16, min(wanted, soft - _DESCRIPTORS_FOR_FILES))
