"""The desk of one program on a worker: models and the engine's sessions, which it works with from afar."""

import asyncio
import time
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.frames import UnreadableFrameError
from sam2_engine.modeling.config import ModelConfig
from sam2_engine.preprocessing import IntensityWindow
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.open_session import open_video_session
from sam2_engine.video.tiled_session import TiledVideoSession
from sam2_engine.video.tracking_session import TrackingSession
from sam2_plugins.cluster.received_frames import Block, ReceivedFrames, Wish
from sam2_plugins.cluster.snapshots import restore_session, take_snapshot
from sam2_plugins.cluster.transport import FrameDescription, PackedArray, packed
from sam2_plugins.cluster.worker import WorkerState
from sam2_plugins.runtime.atomic_files import os_error_sentence
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.runtime.out_of_memory import translate_oom
from sam2_plugins.session.automatic_segmentation import AutomaticSettings, FoundObject, find_objects

__all__ = ["Action", "Desk", "Reply", "SessionSetup"]

_WISH_POLL_SECONDS = 0.005


@dataclass(frozen=True)
class SessionSetup:
    """What an engine session is made of.

    Attributes
    ----------
    model, frames, window, options
        As for :func:`open_video_session`.
    cache_bytes
        Cap of the encoded frames.
    """

    model: str
    frames: FrameDescription
    window: IntensityWindow | None
    cache_bytes: int
    options: dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What came of a call.

    Attributes
    ----------
    value
        What it returned.
    error
        Why it was refused, in place of a value.
    warnings
        Notes for users.
    prompted
        The session's objects and the frames on which each is prompted, after the call.
    num_bytes
        Of the session's memories.
    seconds
        For which it computed.
    """

    value: Any = None
    error: InputError | None = None
    warnings: tuple[str, ...] = ()
    prompted: dict[int, tuple[int, ...]] | None = None
    num_bytes: int = 0
    seconds: float = 0.0


class Desk:
    """Models and sessions of one program, on the worker where this object lives (an actor of dask).

    Parameters
    ----------
    dtype
        Type in which the program wants models to compute.
    """

    def __init__(self, dtype: str) -> None:
        from distributed import get_worker

        worker = get_worker()
        self._threads = worker.state.nthreads
        self._store: ModelStore = WorkerState.of(worker).store("auto", dtype)
        self._sessions: dict[int, _Session] = {}
        self._done: dict[int, int] = {}
        self._searches: dict[int, Generator[tuple[int, int], None, list[FoundObject]]] = {}

    def compute_dtype(self) -> str:
        """Return the type in which models compute here."""
        return self._store.compute_dtype

    def load(self, model: str) -> Reply:
        """Load a model and return its configuration."""

        def load() -> ModelConfig:
            return self._store.get(model).config

        return self._answer(load)

    def call(self, number: int, action: "Action", forgotten: tuple[int, ...] = ()) -> Reply:
        """Do something in a session, and forget others that are no longer used."""
        try:
            return self._call(number, action, forgotten)
        finally:
            self._done[number] = action.ticket

    async def wish(self, number: int, ticket: int) -> Wish | None:
        """Return what a call waits for, as soon as it does; None once it is done."""
        while self._done.get(number, 0) < ticket:
            session = self._sessions.get(number)
            if session is not None and session.received.wish is not None:
                return session.received.wish
            await asyncio.sleep(_WISH_POLL_SECONDS)
        return None

    async def receive(
        self, number: int, frame: int, blocks: dict[Block, PackedArray] | UnreadableFrameError
    ) -> None:
        """Take parts of a frame of a session, or why it cannot be read, whatever is being computed."""
        if (session := self._sessions.get(number)) is None:
            return
        if isinstance(blocks, UnreadableFrameError):
            session.received.receive(frame, None, blocks)
        else:
            for block, pixels in blocks.items():
                session.received.receive(frame, block, pixels)

    def _call(self, number: int, action: "Action", forgotten: tuple[int, ...]) -> Reply:
        for other in forgotten:
            self._done.pop(other, None)
            if (left := self._sessions.pop(other, None)) is not None:
                left.close()

        def act() -> Any:
            if action.setup is not None:
                self._sessions[number] = _Session(self._store, action.setup, action.snapshot)
            return self._sessions[number].do(action)

        reply = self._answer(act)
        return self._sessions[number].told(reply) if number in self._sessions else reply

    def search(
        self,
        number: int,
        model: str,
        image: PackedArray,
        window: IntensityWindow | None,
        settings: AutomaticSettings,
    ) -> None:
        """Begin to look for objects."""
        self._searches[number] = find_objects.steps(self._store, model, image.array(), window, settings)

    def search_on(self, number: int) -> Reply:
        """Do a step of a search: the value is (done, total), or at its end what was found."""

        def step() -> tuple[int, int] | list[FoundObject]:
            try:
                return next(self._searches[number])
            except StopIteration as end:
                found: list[FoundObject] = end.value
                return found

        reply = self._answer(step)
        if not isinstance(reply.value, tuple):
            del self._searches[number]
        return reply

    def _answer(self, act: Any) -> Reply:
        torch.set_num_threads(self._threads)  # dask lets libraries use one
        began = time.monotonic()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", InputWarning)
            try:
                value, error = act(), None
            except InputError as refused:
                value, error = None, refused
            except OSError as failed:  # of the file with the frames; a lost connection is one, too
                value, error = None, InputError(os_error_sentence(failed))
        notes = dict.fromkeys(str(one.message) for one in told if issubclass(one.category, InputWarning))
        return Reply(value, error, tuple(notes), seconds=time.monotonic() - began)


@dataclass(frozen=True)
class Action:
    """What is done in a session; done again in the same order, it gives the same session.

    Attributes
    ----------
    name, arguments
        Method of the session, and what it is given.
    ticket
        Its number; later ones are larger.
    setup, snapshot
        What the session is made of, and what it remembered on another worker, with the first action.
    ended
        Propagations that nobody goes on with.
    is_repeated
        Whether the value is known already.
    """

    name: str
    arguments: tuple[Any, ...]
    ticket: int
    setup: SessionSetup | None = None
    snapshot: bytes | None = None
    ended: tuple[int, ...] = ()
    is_repeated: bool = False


class _Session:
    """An engine session, the frames that it was sent, and the propagations in it."""

    def __init__(self, store: ModelStore, setup: SessionSetup, snapshot: bytes | None) -> None:
        self.received = ReceivedFrames(setup.frames)
        shared = setup.frames.open_shared()
        self._is_shared, self._frames = shared is not None, self.received if shared is None else shared
        model, cache = store.get(setup.model), FeatureCache(setup.cache_bytes)
        self._shared = {"model": model, "frames": self._frames, "cache": cache}
        self._device = str(model.device)
        self._session: TrackingSession = (
            open_video_session(model, self._frames, setup.window, cache, **setup.options)
            if snapshot is None
            else restore_session(snapshot, self._shared)
        )
        self.received.in_blocks = setup.frames.length != 1 and isinstance(self._session, TiledVideoSession)
        self._lock = store.lock
        self._runs: dict[int, Iterator[FrameResult]] = {}

    def close(self) -> None:
        self._runs.clear()
        self._frames.close()
        self.received.close()

    def told(self, reply: Reply) -> Reply:
        """Complete a reply with what the session is like now."""
        ids = self._session.object_ids
        prompted = {object_id: self._session.prompted_frames(object_id) for object_id in ids}
        return replace(reply, prompted=prompted, num_bytes=self._session.num_bytes)

    def do(self, action: Action) -> Any:
        for run in action.ended:
            self._runs.pop(run, None)
        with self._lock, translate_oom(self._device):
            own = getattr(self, f"_{action.name}", None)
            act = getattr(self._session, action.name) if own is None else own
            value = act(*action.arguments)
        if action.is_repeated:
            return None
        return packed(value) if isinstance(value, FrameResult) else value

    def _snapshot(self) -> bytes | None:
        """Return what it remembers; None if that cannot be packed."""
        try:
            return take_snapshot(self._session, self._shared)
        except Exception:  # whatever it is, the work goes on, and would be done again from the start
            return None

    def _open(self) -> tuple[bool, bool]:
        """Return whether it remembers tracked frames, and whether frames are sent before it asks for them."""
        return self._session.remembers_tracked_frames, not (self._is_shared or self.received.in_blocks)

    def _add_prompt(self, frame: int, object_id: int, prompt: Any, replace: bool) -> FrameResult:
        return self._session.add_prompt(frame, object_id, prompt, replace=replace)

    def _begin(self, run: int, ids: list[int] | None, first: int, stop: int | None, reverse: bool) -> None:
        self._runs[run] = iter(self._session.propagate(ids, first, stop, reverse))

    def _step(self, run: int) -> FrameResult | None:
        return next(self._runs[run], None)
