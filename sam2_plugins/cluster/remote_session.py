"""The engine's session on a worker elsewhere, as a session here: it is made again whenever it is lost."""

import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from sam2_engine.errors import InputError
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.frames import FrameIndexError, FrameSource, UnreadableFrameError
from sam2_engine.modeling.config import ModelConfig
from sam2_engine.modeling.sam2 import ImageFeatures
from sam2_engine.preprocessing import IntensityWindow
from sam2_engine.prompts import Prompt
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.tracking_session import (
    TrackingSession,
    check_frame,
    chosen_ids,
    first_frame,
    require_object,
)
from sam2_plugins.cluster.desk import Action, Reply, SessionSetup
from sam2_plugins.cluster.received_frames import Block, Wish, block_of
from sam2_plugins.cluster.remote_device import ConnectionLost, RemoteDevice, named_there, value_of
from sam2_plugins.cluster.transport import FrameDescription, PackedArray, unpacked

__all__ = ["RemoteModel", "RemoteSession"]


SNAPSHOT_SECONDS = 60.0
"""Work after which the engine's memories are fetched, so that no more than this is done again."""
SNAPSHOT_SHARE = 0.05
"""Of the time that may go into fetching them, where they are large or the network is slow."""


@dataclass(frozen=True)
class RemoteModel:
    """What is known here of a model that is loaded elsewhere.

    Attributes
    ----------
    device
        The address.
    config
        Its configuration.
    """

    device: str
    config: ModelConfig


@dataclass(frozen=True)
class _Prompted:
    prompts: dict[int, None]


@dataclass(frozen=True)
class _Call:
    """What was asked of the session, the frame that it needs, and the one that will be needed next."""

    name: str
    arguments: tuple[Any, ...]
    frame: int | None
    next_frame: int | None = None


class RemoteSession(TrackingSession):
    """A session whose engine runs on a worker; as :class:`TrackingSession`.

    Every frame travels once, when it is first needed. What was asked is remembered here, in order, since the
    last snapshot of the engine's memories: on a new worker all of it is done again from there, so that the
    session goes on with the same memories.

    Parameters
    ----------
    device
        Where the engine runs.
    frames
        What is tracked in; read here.
    setup
        What the session is made of.
    cache
        Whose limit holds for the worker's cache of encoded frames.
    """

    def __init__(
        self, device: RemoteDevice, frames: FrameSource, setup: SessionSetup, cache: FeatureCache
    ) -> None:
        self.model: Any = RemoteModel(device.address, device.load(setup.model))
        self.frames, self.window, self.cache = frames, setup.window, cache
        self._device, self._setup = device, setup
        self._number = device.new_number()
        self._epoch = -1
        self._sent: set[tuple[int, Block]] = set()
        self._sends_ahead = False
        self._ended: list[int] = []
        self._runs: dict[int, tuple[Any, ...]] = {}
        self._snapshot: bytes | None = None
        self._done: list[_Call] = []
        self._spent = self._snapshot_seconds = 0.0
        self._prompted: dict[int, tuple[int, ...]] = {}
        self._num_bytes = 0
        weakref.finalize(self, device.forget, self._number)
        self.remembers_tracked_frames, self._sends_ahead = self._ask("open")

    @classmethod
    def open(
        cls,
        device: RemoteDevice,
        model: str,
        frames: FrameSource,
        window: IntensityWindow | None,
        cache: FeatureCache,
        **options: Any,
    ) -> "RemoteSession":
        """Return a session on frames; as :func:`open_video_session`."""
        setup = SessionSetup(
            named_there(model), FrameDescription.of(frames), window, cache.max_bytes, options
        )
        return cls(device, frames, setup, cache)

    @property
    @override
    def object_ids(self) -> tuple[int, ...]:
        return tuple(self._prompted)

    @override
    def prompted_frames(self, object_id: int) -> tuple[int, ...]:
        return require_object(self._prompted, object_id)

    @property
    @override
    def num_bytes(self) -> int:
        return self._num_bytes

    @override
    def has_mask(self, frame: int, object_id: int) -> bool:
        return bool(self._ask("has_mask", frame, object_id))

    @override
    def encode(self, frame: int) -> ImageFeatures:
        raise InputError(f"Encoded frames stay on {self._device.address}; prepare() makes them ready there.")

    @override
    def prepare(self, frame: int) -> int:
        check_frame(self.frames, frame)
        return int(self._ask("prepare", frame, frame=frame))

    @override
    def _add_prompt(self, frame: int, object_id: int, prompt: Prompt, replace: bool) -> FrameResult:
        prompt = prompt.on(self.frames.shape)
        return self._result("add_prompt", frame, object_id, prompt, replace, frame=int(frame))

    @override
    def clear_prompts(self, object_id: int, frame: int | None = None) -> None:
        self._do("clear_prompts", object_id, frame)

    @override
    def remove_object(self, object_id: int) -> None:
        self._do("remove_object", object_id)

    @override
    def invalidate(self, object_id: int, from_frame: int) -> None:
        self._do("invalidate", object_id, from_frame)

    @override
    def propagate(
        self,
        object_ids: Iterable[int] | int | None = None,
        start: int | None = None,
        stop: int | None = None,
        reverse: bool = False,
    ) -> Iterator[FrameResult]:
        chosen = chosen_ids(object_ids)
        known = {i: _Prompted(dict.fromkeys(frames)) for i, frames in self._prompted.items()}
        first = first_frame(self.frames, known, chosen, start, stop, reverse)
        return self._propagate_frames(chosen, first, stop, reverse)

    def _propagate_frames(
        self, chosen: list[int] | None, first: int, stop: int | None, reverse: bool
    ) -> Iterator[FrameResult]:
        frame, step, length = first, -1 if reverse else 1, self.frames.length
        run = 0
        try:
            while frame >= 0 and (length is None or frame < length):
                if length is None:
                    self.frames[frame]  # a live stream moves on, or ends here
                if self._any_started(chosen, frame, reverse):
                    if not run:
                        run = self._device.new_number()
                        self._runs[run] = run, chosen, frame, stop, reverse
                        self._do("begin", *self._runs[run])
                    is_last = frame == stop or frame + step in (-1, length)
                    ahead = None if is_last or length is None else frame + step
                    self._runs[run] = run, chosen, frame + step, stop, reverse
                    result = self._result("step", run, frame=frame, next_frame=ahead)
                    if is_last and result.problem:
                        self._do("step", run)  # which says what was passed over
                    yield result
                else:  # as the engine's session passes over it
                    run = self._end(run)
                if frame == stop:
                    break
                frame += step
        except FrameIndexError:  # the end of a live stream
            return
        finally:
            self._end(run)

    def _end(self, run: int) -> int:
        """Let the worker end a propagation, with the next call; return that there is none."""
        if run:
            self._ended.append(run)
            del self._runs[run]
        return 0

    def _any_started(self, chosen: list[int] | None, frame: int, reverse: bool) -> bool:
        """Whether an object is to be tracked on a frame: the worker passes over it otherwise."""
        prompted = (self._prompted.get(i, ()) for i in (self._prompted if chosen is None else chosen))
        return any((f >= frame if reverse else f <= frame) for frames in prompted for f in frames)

    # ------------------------------------------------------------------ calls

    def _result(self, name: str, *arguments: Any, frame: int, next_frame: int | None = None) -> FrameResult:
        return unpacked(*self._perform(_Call(name, arguments, frame, next_frame), recorded=True))

    def _do(self, name: str, *arguments: Any) -> None:
        self._perform(_Call(name, arguments, None), recorded=True)

    def _ask(self, name: str, *arguments: Any, frame: int | None = None) -> Any:
        return self._perform(_Call(name, arguments, frame), recorded=False)

    def _perform(self, call: _Call, *, recorded: bool) -> Any:
        """Do something on the worker, on a new one if need be; what is recorded is done again on later ones.

        Raises
        ------
        InputError
            If the session refuses it, or no worker answers any more.
        """

        def act() -> Reply:
            self._make_again()
            return self._send(call)

        reply = self._device.persistently(act)
        if recorded:
            self._done.append(call)
        if reply.prompted is not None:
            self._prompted, self._num_bytes = reply.prompted, reply.num_bytes
        value = value_of(reply)
        if recorded:
            self._spent += reply.seconds
            if self._spent >= max(SNAPSHOT_SECONDS, self._snapshot_seconds / SNAPSHOT_SHARE):
                self._take_snapshot()
        return value

    def _take_snapshot(self) -> None:
        """Fetch what the engine remembers, if it can be had; what was done until then need not be again."""
        began = time.monotonic()
        try:
            reply = self._send(_Call("snapshot", (), None))
        except ConnectionLost:
            return  # the next call will see to it
        self._snapshot_seconds = time.monotonic() - began
        self._spent = 0.0
        if reply.value is not None:
            self._snapshot = reply.value
            self._done = [_Call("begin", arguments, None) for arguments in self._runs.values()]

    def _make_again(self) -> None:
        """Bring a worker that does not know this session to where it was, if there is a new one."""
        epoch = self._device.ready()
        if epoch == self._epoch:
            return
        self._epoch = epoch
        self._sent.clear()
        try:
            _, self._sends_ahead = value_of(self._send(_Call("open", (), None), new=True))
            for call in self._done:
                self._send(call, is_repeated=True)
        except BaseException:
            self._epoch = -1
            raise

    def _send(self, call: _Call, *, new: bool = False, is_repeated: bool = False) -> Reply:
        """Do something on the worker, and send it the frames that it needs meanwhile."""
        ended = () if is_repeated else tuple(self._ended.pop() for _ in range(len(self._ended)))
        ticket = self._device.new_number()
        action = Action(
            call.name,
            call.arguments,
            ticket,
            self._setup if new else None,
            self._snapshot if new else None,
            ended,
            is_repeated,
        )

        def serve(wish: Wish | None) -> None:
            if wish is not None:
                self._send_frame(wish.frame, wish.blocks)
            elif self._sends_ahead:
                for frame in (call.frame, call.next_frame):  # the next one while this one is computed
                    if frame is not None:
                        self._send_frame(frame, (None,), even_why_not=frame == call.frame)

        return self._device.call_session(self._number, action, self._epoch, serve)

    def _send_frame(self, frame: int, blocks: Sequence[Block], *, even_why_not: bool = True) -> None:
        """Send parts of a frame that the worker does not have; if it cannot be read, perhaps why not."""
        new = [block for block in blocks if (frame, block) not in self._sent]
        if not new:
            return
        parts: dict[Block, PackedArray] | UnreadableFrameError
        try:
            pixels = self.frames[frame]
            parts = {block: PackedArray.of(block_of(pixels, block)) for block in new}
        except InputError as error:
            parts = UnreadableFrameError(str(error), frame)
        if isinstance(parts, dict) or even_why_not:
            self._device.call("receive", self._number, frame, parts, epoch=self._epoch)
        if isinstance(parts, dict):
            self._sent.update((frame, block) for block in new)
