"""A device elsewhere: a worker of dask on which models run, found again when the connection is lost."""

import itertools
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import NDArray

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.frames.source import explain
from sam2_engine.modeling.config import ModelConfig
from sam2_engine.preprocessing import IntensityWindow
from sam2_engine.wording import counted
from sam2_plugins.cluster.connection import connect
from sam2_plugins.cluster.desk import Action, Desk, Reply
from sam2_plugins.cluster.received_frames import Wish
from sam2_plugins.cluster.transport import PackedArray
from sam2_plugins.runtime.jobs import DeviceLock, Priority
from sam2_plugins.runtime.model_name import ModelName

if TYPE_CHECKING:
    from distributed import Client

    from sam2_plugins.session.automatic_segmentation import AutomaticSettings, FoundObject

__all__ = ["ConnectionLost", "RemoteDevice", "named_there", "value_of"]

RECONNECT_SECONDS = 60.0
"""For which a lost worker is looked for: one that was killed is there again within half of it."""
ATTEMPTS = 3
"""How often something is done that workers die of."""
_SERVE_SECONDS = 0.02
"""After which a call that has not been answered is asked what it waits for."""
_LOOK_SECONDS = 1.0
"""After which a call that has not been answered asks whether anybody is there."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class _Connection:
    """A client, and the desk that it has on a worker: an actor, and the future that keeps it alive."""

    client: "Client"
    desk: Any
    future: Any
    worker: str
    epoch: int

    @property
    def is_alive(self) -> bool:
        """Whether the worker with the desk still answers to its scheduler."""
        if self.client.status != "running" or self.future.status != "finished":
            return False
        return self.worker in self.client.scheduler_info(n_workers=-1).get("workers", {})

    def begin(self, method: str, *arguments: Any) -> Any:
        """Return the future of a call of the desk's method."""
        try:
            return getattr(self.desk, method)(*arguments)
        except RuntimeError:  # dask's, who knows already
            raise ConnectionLost(self) from None

    def wait(self, answer: Any, between: Callable[[], None] | None = None) -> Any:
        """Return what a call returns; meanwhile look now and then whether the worker is there."""
        looked = time.monotonic()
        while True:
            try:
                return answer.result(timeout=_LOOK_SECONDS if between is None else _SERVE_SECONDS)
            except TimeoutError:
                if time.monotonic() - looked > _LOOK_SECONDS:
                    if not self.is_alive:
                        raise ConnectionLost(self) from None
                    looked = time.monotonic()
                if between is not None:
                    between()
            except OSError:
                raise ConnectionLost(self) from None


class ConnectionLost(Exception):  # noqa: N818  (told to people as an InputError, if nobody answers any more)
    """A worker that is no longer there, with all that it held."""

    def __init__(self, connection: _Connection | None) -> None:
        super().__init__("lost")
        self.connection = connection


class RemoteDevice:
    """A worker on which models run, behind the address of its scheduler or its own.

    Threads may share it; an engine session there is for one at a time, as one here.

    Parameters
    ----------
    address
        ``tcp://host:port`` or ``tls://host:port``.
    dtype
        Type in which models compute; "auto" for what suits the worker.
    """

    def __init__(self, address: str, dtype: str = "auto") -> None:
        self.address, self._dtype = address, dtype
        self._connection: _Connection | None = None
        self._connecting = threading.RLock()
        self._epochs = itertools.count(1)
        self._numbers = itertools.count(1)
        self._forgotten: list[int] = []

    def new_number(self) -> int:
        """Return a number that nothing else here has."""
        return next(self._numbers)

    def forget(self, number: int) -> None:
        """Let the worker forget a session, with the next call."""
        self._forgotten.append(number)

    def ready(self) -> int:
        """Return the number of the connection, made if there is none: what an earlier one held is gone."""
        return self._connected().epoch

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
        connection = self._connected() if epoch is None else self._of(epoch)
        return connection.wait(connection.begin(method, *arguments))

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
            ``receive`` of the desk.

        Raises
        ------
        ConnectionLost
            If the worker is gone, or goes meanwhile.
        """
        connection = self._of(epoch)
        forgotten = tuple(self._forgotten.pop() for _ in range(len(self._forgotten)))
        answer = connection.begin("call", number, action, forgotten)
        serve(None)
        wish: Any = None

        def between() -> None:
            nonlocal wish
            if wish is None:
                wish = connection.begin("wish", number, action.ticket)
            elif wish.done():
                if (wanted := connection.wait(wish)) is not None:
                    serve(wanted)
                wish = None

        reply: Reply = connection.wait(answer, between)
        return reply

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
            except ConnectionLost as lost:
                self._reconnect(lost.connection)
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
        there = named_there(model)
        config: ModelConfig = self.persistently(lambda: value_of(self.call("load", there)))
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
        there = named_there(model)

        def step() -> Any:
            nonlocal epoch
            if epoch != self.ready():
                epoch = self.ready()
                self.call("search", number, there, pixels, window, settings, epoch=epoch)
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
            if self._connection is not None:
                self._connection.client.close(timeout=2)
            self._connection = None

    # ------------------------------------------------------------------ the connection

    def _of(self, epoch: int) -> _Connection:
        connection = self._connection
        if connection is None or connection.epoch != epoch:
            raise ConnectionLost(None)
        return connection

    def _connected(self) -> _Connection:
        """Return the connection, with a desk on a worker; made if there is none."""
        with self._connecting:
            if self._connection is None:
                client = connect(self.address)
                try:
                    self._connection = self._take_desk(client)
                except BaseException:
                    client.close(timeout=2)
                    raise
            return self._connection

    def _take_desk(self, client: "Client") -> _Connection:
        """Make a desk on the worker that was named, or on the one with the fewest.

        Raises
        ------
        InputError
            If there is no worker, or none can be used.
        """
        from distributed import Actor

        workers = client.scheduler_info(n_workers=-1)["workers"]
        if not workers:
            raise InputError(f"{self.address} has no worker; start one with `dask worker {self.address}`.")
        own = [self.address] if self.address in workers else None
        key = f"desk-{uuid.uuid4().hex}"
        future = client.submit(Desk, self._dtype, actor=True, pure=False, workers=own, key=key)
        try:
            worker = future.result(timeout=RECONNECT_SECONDS)._address
        except TimeoutError:
            raise InputError(
                f"The workers of {self.address} are busy with other work; wait, or start one more."
            ) from None
        except Exception as error:  # of a worker that dies, or cannot load what it needs
            raise InputError(f"No worker of {self.address} can be used ({explain(error)}).") from error
        with client.as_current():  # an actor speaks through the client that is current when it is made
            desk = Actor(Desk, worker, key)
        return _Connection(client, desk, future, worker, next(self._epochs))

    def _reconnect(self, lost: _Connection | None) -> None:
        """Find a worker again, for a minute, unless somebody else has.

        Raises
        ------
        InputError
            If there is none.
        """
        with self._connecting:
            if self._connection is not None and self._connection is not lost:
                return
            warnings.warn(
                f"The connection to {self.address} was lost; connecting again.", InputWarning, stacklevel=4
            )
            self.close()
            until = time.monotonic() + RECONNECT_SECONDS
            while True:
                try:
                    self._connected()
                    return
                except InputError as error:
                    if time.monotonic() > until:
                        raise InputError(
                            f"The connection to {self.address} was lost, and nobody answers there. What was "
                            "annotated is here: go on when it is back, or choose another device."
                        ) from error
                time.sleep(_LOOK_SECONDS)


def named_there(model: str) -> str:
    """Return a model's name for a worker, whose working directory is another."""
    return str(ModelName.parse(model).absolute())


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
