"""A device elsewhere: a worker of dask on which models run, found again when the connection is lost."""

import itertools
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import NDArray

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.frames import UnreadableFrameError
from sam2_engine.modeling.config import ModelConfig
from sam2_engine.preprocessing import IntensityWindow
from sam2_engine.wording import counted
from sam2_plugins.cluster.connection import connect
from sam2_plugins.cluster.desk import Action, Desk, Reply
from sam2_plugins.cluster.received_frames import Block, Wish
from sam2_plugins.cluster.transport import PackedArray
from sam2_plugins.runtime.jobs import DeviceLock, Priority

if TYPE_CHECKING:
    from distributed import Client

    from sam2_plugins.session.automatic_segmentation import AutomaticSettings, FoundObject

__all__ = ["ConnectionLost", "RemoteDevice"]

RECONNECT_SECONDS = 60.0
"""For which a lost worker is looked for: one that was killed is there again within half of it."""
ATTEMPTS = 3
"""How often something is done that workers die of."""
_SERVE_SECONDS = 0.02
"""After which a call that has not been answered is asked what it waits for."""
_LOOK_SECONDS = 1.0
"""After which a call that has not been answered asks whether anybody is there."""

T = TypeVar("T")


class ConnectionLost(Exception):  # noqa: N818  (told to people as an InputError, if nobody answers any more)
    """A worker that is no longer there, with all that it held."""


class RemoteDevice:
    """A worker on which models run, behind the address of its scheduler or its own.

    Parameters
    ----------
    address
        ``tcp://host:port`` or ``tls://host:port``.
    dtype
        Type in which models compute; "auto" for what suits the worker.

    Attributes
    ----------
    address
        As given.
    epoch
        Number of the connection: what was made on an earlier one is gone.
    """

    def __init__(self, address: str, dtype: str = "auto") -> None:
        self.address, self._dtype = address, dtype
        self.epoch = 0
        self._client: Client | None = None
        self._desk: Any = None
        self._future: Any = None
        self._worker = ""
        self._connecting = threading.RLock()
        self._numbers = itertools.count(1)
        self._forgotten: list[int] = []

    def new_number(self) -> int:
        """Return a number that nothing else here has."""
        return next(self._numbers)

    def forget(self, number: int) -> None:
        """Let the worker forget a session, with the next call."""
        self._forgotten.append(number)

    def ready(self) -> int:
        """Return the number of the connection, made if there is none."""
        with self._connecting:
            self._connect_once()
            return self.epoch

    def call(self, method: str, *arguments: Any, epoch: int | None = None) -> Any:
        """Call a method of the desk once and return what it returns.

        Parameters
        ----------
        method, arguments
            Of :class:`Desk`.
        epoch
            The connection that it holds for; None for any.

        Raises
        ------
        ConnectionLost
            If the worker is gone, or goes meanwhile.
        """
        with self._connecting:
            if epoch is None:
                self._connect_once()
            elif self._desk is None or epoch != self.epoch:
                raise ConnectionLost
            desk, future = self._desk, self._future
        return self._wait(self._begin(desk, method, *arguments), future)

    def call_session(
        self, number: int, action: Action, epoch: int, serve: Callable[[Wish | None], None]
    ) -> Reply:
        """Do something in a session there, and serve what it needs meanwhile.

        Parameters
        ----------
        number, action
            As for :meth:`Desk.call`.
        epoch
            The connection that it holds for.
        serve
            Called at first with None, and with what the worker waits for whenever it does. It may call
            :meth:`send`.

        Raises
        ------
        ConnectionLost
            If the worker is gone, or goes meanwhile.
        """
        with self._connecting:
            if self._desk is None or epoch != self.epoch:
                raise ConnectionLost
            desk, future = self._desk, self._future
        forgotten = tuple(self._forgotten.pop() for _ in range(len(self._forgotten)))
        answer = self._begin(desk, "call", number, action, forgotten)
        serve(None)
        wish: Any = None

        def between() -> None:
            nonlocal wish
            if wish is None:
                wish = self._begin(desk, "wish", number, action.ticket)
            elif wish.done():
                if (wanted := self._wait(wish, future)) is not None:
                    serve(wanted)
                wish = None

        reply: Reply = self._wait(answer, future, between)
        return reply

    def send(
        self, number: int, frame: int, blocks: dict[Block, PackedArray] | UnreadableFrameError, epoch: int
    ) -> None:
        """Send parts of a frame to a session there, while that computes.

        Raises
        ------
        ConnectionLost
            If the worker is gone, or goes meanwhile.
        """
        self.call("receive", number, frame, blocks, epoch=epoch)

    def _begin(self, desk: Any, method: str, *arguments: Any) -> Any:
        """Return the future of a call."""
        try:
            return getattr(desk, method)(*arguments)
        except RuntimeError:  # dask's, who knows already
            raise ConnectionLost from None

    def _wait(self, answer: Any, future: Any, between: Callable[[], None] | None = None) -> Any:
        """Return what a call returns; meanwhile look now and then whether the worker is there."""
        looked = time.monotonic()
        while True:
            try:
                return answer.result(timeout=_LOOK_SECONDS if between is None else _SERVE_SECONDS)
            except TimeoutError:
                if time.monotonic() - looked > _LOOK_SECONDS:
                    if not self._is_there(future):
                        raise ConnectionLost from None
                    looked = time.monotonic()
                if between is not None:
                    between()
            except OSError:
                raise ConnectionLost from None

    def persistently(self, act: Callable[[], T]) -> T:
        """Do what calls the desk, from the start if the connection is lost meanwhile.

        Raises
        ------
        InputError
            If nobody answers any more, or workers die of it.
        """
        for _ in range(ATTEMPTS):
            try:
                return act()
            except ConnectionLost:
                self._reconnect()
        raise InputError(
            f"{counted(ATTEMPTS, 'worker')} of {self.address} died one after the other; often there is not "
            "enough memory: see their logs, or choose a smaller model."
        )

    def load(self, model: str) -> ModelConfig:
        """Load a model there and return its configuration.

        Raises
        ------
        InputError
            If there is none of that name on the worker.
        """
        config: ModelConfig = self.persistently(lambda: value_of(self.call("load", model)))
        return config

    @property
    def compute_dtype(self) -> str:
        """Type in which models compute there; as was asked for, while nobody answers."""
        try:
            dtype: str = self.persistently(lambda: self.call("compute_dtype"))
        except InputError:
            return self._dtype
        return dtype

    def find_objects(
        self,
        lock: DeviceLock,
        model: str,
        image: NDArray[Any],
        window: IntensityWindow | None,
        settings: "AutomaticSettings",
    ) -> Generator[tuple[int, int], None, "list[FoundObject]"]:
        """Find objects there, step by step; as :func:`find_objects`."""
        pixels, number, epoch = PackedArray.of(image), self.new_number(), -1

        def step() -> Any:
            nonlocal epoch
            if epoch != self.ready():
                epoch = self.ready()
                self.call("search", number, model, pixels, window, settings, epoch=epoch)
            return value_of(self.call("search_on", number, epoch=epoch))

        while True:
            with lock.held(Priority.BACKGROUND):
                told = self.persistently(step)
            if isinstance(told, list):
                return told
            yield told

    def close(self) -> None:
        """Leave the worker; the next call comes back."""
        with self._connecting:
            client, self._client = self._client, None
            self._desk = self._future = None
            if client is not None:
                client.close(timeout=2)

    # ------------------------------------------------------------------ the connection

    def _connect_once(self) -> None:
        """Make a desk on a worker, if there is none."""
        if self._desk is not None:
            return
        client = connect(self.address)
        from distributed import Actor

        try:
            workers = client.scheduler_info(n_workers=-1)["workers"]
            if not workers:
                raise InputError(
                    f"{self.address} has no worker; start one with `dask worker {self.address}`."
                )
            own = [self.address] if self.address in workers else None
            key = f"desk-{uuid.uuid4().hex}"
            future = client.submit(Desk, self._dtype, actor=True, pure=False, workers=own, key=key)
            address = future.result(timeout=RECONNECT_SECONDS)._address
            with client.as_current():  # an actor speaks through the client that is current when it is made
                desk = Actor(Desk, address, key)
        except BaseException:
            client.close(timeout=2)
            raise
        self._client, self._future, self._desk, self._worker = client, future, desk, address
        self.epoch += 1

    def _is_there(self, future: Any) -> bool:
        """Whether the worker with the desk still answers to its scheduler."""
        client = self._client
        if client is None or future is not self._future or client.status != "running":
            return False
        workers = client.scheduler_info(n_workers=-1).get("workers", {})
        return future.status == "finished" and self._worker in workers

    def _reconnect(self) -> None:
        """Find a worker again, for a minute.

        Raises
        ------
        InputError
            If there is none.
        """
        warnings.warn(
            f"The connection to {self.address} was lost; connecting again.", InputWarning, stacklevel=4
        )
        until = time.monotonic() + RECONNECT_SECONDS
        while True:
            self.close()
            try:
                self._connect_once()
                return
            except (InputError, OSError, RuntimeError):  # also a worker that dies meanwhile
                if time.monotonic() > until:
                    raise InputError(
                        f"The connection to {self.address} was lost, and nobody answers there. What was "
                        "annotated is here: go on when it is back, or choose another device."
                    ) from None
            time.sleep(_LOOK_SECONDS)


def value_of(reply: Reply) -> Any:
    """Return what came of a call; what it warned of, is warned of here.

    Raises
    ------
    InputError
        If it was refused.
    """
    for sentence in reply.warnings:
        warnings.warn(sentence, InputWarning, stacklevel=4)
    if reply.error is not None:
        raise reply.error
    return reply.value
