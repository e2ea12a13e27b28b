"""The connection to a dask scheduler: found within seconds, and with workers that suit this program."""

import asyncio
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.frames.source import explain

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["Versions", "connect", "connected", "is_address"]

CONNECT_SECONDS = 5.0
"""After which a scheduler that does not answer is not there."""


@dataclass(frozen=True)
class Versions:
    """Versions that a program and the workers it uses should share.

    Attributes
    ----------
    python
        Major and minor.
    package
        Of sam2-plugins.
    """

    python: str
    package: str

    @classmethod
    def here(cls) -> "Versions":
        """Return those of this process."""
        return cls(f"{sys.version_info.major}.{sys.version_info.minor}", version("sam2-plugins"))


def is_address(device: str) -> bool:
    """Whether a device is the address of a dask scheduler or worker.

    Examples
    --------
    >>> is_address("tcp://gpu-node:8786"), is_address("tls://gpu-node:8786"), is_address("cuda:1")
    (True, True, False)
    """
    return "://" in device


@contextmanager
def connected(address: str) -> Iterator["Client"]:
    """Give a client of a scheduler for a ``with`` block; see :func:`connect`."""
    client = connect(address)
    try:
        yield client
    finally:
        client.close(timeout=2)


def connect(address: str) -> "Client":
    """Return a client of a scheduler, or of that of a worker whose address is given.

    Encryption and certificates are those of dask's configuration (``distributed.comm.tls``).

    Raises
    ------
    InputError
        If dask is not installed, nothing answers, or a worker has another version of sam2-plugins.

    Warns
    -----
    InputWarning
        If a worker has another Python.
    """
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            'Work on a cluster needs dask; install it with `pip install "sam2-plugins[cluster]"`.'
        ) from None
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # what it says, is said in a sentence
    try:
        with ThreadPoolExecutor(1) as executor:  # here, an event loop may be running
            who = executor.submit(asyncio.run, _identify(address)).result()
        scheduler = who["scheduler"] if who["type"] == "Worker" else address
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ImportError):  # dask's TimeoutError is an OSError
        raise InputError(
            f"No dask scheduler answers at {address}; start one there with `dask scheduler`, or check the "
            "address, the firewall and the tunnel."
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{address} is no address of a dask scheduler ({explain(error)}); it is like tcp://host:8786."
        ) from None
    try:
        _check_workers(client)
    except BaseException:
        client.close(timeout=2)
        raise
    return client


async def _identify(address: str) -> Mapping[str, str]:
    """Return what a scheduler or worker says of itself; whoever is silent for some seconds is none."""
    from distributed import Security
    from distributed.core import rpc

    arguments = Security().get_connection_args("client")
    async with asyncio.timeout(CONNECT_SECONDS), rpc(address, connection_args=arguments) as asked:
        identity: Mapping[str, str] = await asked.identity()
        return identity


def _check_workers(client: "Client") -> None:
    """Refuse workers of another sam2-plugins, or without it; warn of those of another Python."""
    answers: Mapping[str, object] = client.run(Versions.here, on_error="return")
    here = Versions.here()
    for worker, there in answers.items():
        if not isinstance(there, Versions):
            raise InputError(
                f"The worker {worker} cannot use sam2-plugins ({there}); install sam2-plugins "
                f"{here.package} there."
            )
        if there.package != here.package:
            raise InputError(
                f"The worker {worker} has sam2-plugins {there.package}, this program {here.package}; "
                "install the same version in both places."
            )
        if there.python != here.python:
            warnings.warn(
                f"The worker {worker} runs Python {there.python}, this program {here.python}; if something "
                "is not understood there, use the same.",
                InputWarning,
                stacklevel=3,
            )
