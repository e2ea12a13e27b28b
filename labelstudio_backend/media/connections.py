"""Connections for media, to allowed addresses only and with a deadline."""

import ipaddress
import socket
import ssl
import time
from http.client import HTTPConnection, HTTPSConnection
from typing import Any

from sam2_engine.errors import InputError

__all__ = ["connect"]

_WAIT_SECONDS = 15.0
"""How long to wait for a server that sends nothing at all."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def connect(scheme: str, host: str, port: int, *, private: bool, deadline: float) -> HTTPConnection:
    """Return an open connection, whose later reads end at the deadline, too.

    The address that is checked is the one that is connected to, so a name that is looked up differently
    the next time (DNS rebinding) gains nothing. Proxies of the environment are not used, for they would
    look it up again.

    Parameters
    ----------
    private
        Whether the host may lie in a private network, or on this machine.
    deadline
        The time (``time.monotonic``) at which it all ends.

    Raises
    ------
    InputError
        If the host lies where media may not come from.
    OSError
        If it cannot be reached.
    """
    failure = OSError("its name is not known")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not private and not _is_public(str(address[0])):
            raise InputError(
                f"{host} is a private address, from which media is not fetched; if that is intended, set "
                "ALLOW_PRIVATE_ADDRESSES=1 where the server is started."
            )
        sock = _Socket(family, kind, protocol)
        sock.deadline = deadline
        try:
            sock.wait_until_deadline()
            sock.connect(address)
            return _http_connection(sock, scheme, host, port, deadline)
        except OSError as error:
            sock.close()
            failure = error
    raise failure


def _http_connection(sock: "_Socket", scheme: str, host: str, port: int, deadline: float) -> HTTPConnection:
    if scheme == "http":
        connection = HTTPConnection(host, port)
        connection.sock = sock
        return connection
    context = ssl.create_default_context()
    context.sslsocket_class = _SecureSocket
    secure = context.wrap_socket(sock, server_hostname=host)
    assert isinstance(secure, _SecureSocket)
    secure.deadline = deadline
    connection = HTTPSConnection(host, port)
    connection.sock = secure
    return connection


def _is_public(written: str) -> bool:
    """Whether an address, and the one that it may carry, belongs to the public internet."""
    address = ipaddress.ip_address(written.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        carried = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            carried = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if carried is not None:
            return _is_public(str(carried))
    return address.is_global and not address.is_multicast


class _ReadDeadline:
    """Socket reads that wait until a deadline at most, however slowly the bytes come."""

    deadline = float("inf")

    def wait_until_deadline(self: Any) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("it took too long")
        self.settimeout(min(_WAIT_SECONDS, left))

    def recv_into(self: Any, *args: Any, **kwargs: Any) -> int:
        self.wait_until_deadline()
        return int(super().recv_into(*args, **kwargs))  # type: ignore[misc]  # a mixin of sockets


class _Socket(_ReadDeadline, socket.socket):
    pass


class _SecureSocket(_ReadDeadline, ssl.SSLSocket):
    pass
