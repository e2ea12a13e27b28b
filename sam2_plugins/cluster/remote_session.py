"""The engine's session on a worker elsewhere, as a session here: it is made again whenever it is lost."""

import weakref
from collections.abc import Iterable, Iterator
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
from sam2_engine.video.tracking_session import TrackingSession, check_frame, first_frame, require_object
from sam2_plugins.cluster.desk import Action, Reply, SessionSetup
from sam2_plugins.cluster.remote_device import RemoteDevice, value_of
from sam2_plugins.cluster.transport import FrameDescription, PackedArray, unpacked

__all__ = ["RemoteModel", "RemoteSession"]


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
    """What was asked of the session, and the frame that it needs."""

    name: str
    arguments: tuple[Any, ...]
    frame: int | None


class RemoteSession(TrackingSession):
    """A session whose engine runs on a worker; as :class:`TrackingSession`.

    Every frame travels once, when it is first needed. What was asked is remembered here, in order: on a new
    worker all of it is done again, so that the session goes on with the same memories.

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
        self._sent: set[int] = set()
        self._ended: list[int] = []
        self._done: list[_Call] = []
        self._prompted: dict[int, tuple[int, ...]] = {}
        self._num_bytes = 0
        weakref.finalize(self, device.forget, self._number)
        self.remembers_tracked_frames = bool(self._ask("open"))

    @classmethod
    def open(
        cls,
        device: RemoteDevice,
        model: str,
        frames: FrameSource,
        window: IntensityWindow | None,
        cache: FeatureCache,
        history: int | None,
        max_conditioning_frames: int | None,
        remove_small_components: bool | None,
    ) -> "RemoteSession":
        """Return a session on frames; as :func:`open_video_session`."""
        setup = SessionSetup(
            model,
            FrameDescription.of(frames),
            window,
            cache.max_bytes,
            history,
            max_conditioning_frames,
            remove_small_components,
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
    def add_prompt(self, frame: int, object_id: int, prompt: Prompt, *, replace: bool = False) -> FrameResult:
        prompt = prompt.on(self.frames.shape)
        check_frame(self.frames, frame)
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
        object_ids: Iterable[int] | None = None,
        start: int | None = None,
        stop: int | None = None,
        reverse: bool = False,
    ) -> Iterator[FrameResult]:
        chosen = None if object_ids is None else [int(i) for i in object_ids]
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
                if self._any_started(chosen, frame, reverse):
                    if not run:
                        run = self._device.new_number()
                        self._do("begin", run, chosen, frame, stop, reverse)
                    result = self._result("step", run, frame=frame)
                    is_last = frame == stop or frame + step in (-1, length)
                    if is_last and result.problem:
                        self._do("step", run)  # which says what was passed over
                    yield result
                else:  # as the engine's session passes over it, while a live stream moves on
                    run = self._end(run)
                    if length is None:
                        self.frames[frame]
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
        return 0

    def _any_started(self, chosen: list[int] | None, frame: int, reverse: bool) -> bool:
        """Whether an object is to be tracked on a frame: the worker passes over it otherwise."""
        prompted = (self._prompted.get(i, ()) for i in (self._prompted if chosen is None else chosen))
        return any((f >= frame if reverse else f <= frame) for frames in prompted for f in frames)

    # ------------------------------------------------------------------ calls

    def _result(self, name: str, *arguments: Any, frame: int) -> FrameResult:
        return unpacked(*self._perform(_Call(name, arguments, frame), recorded=True))

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
        return value_of(reply)

    def _make_again(self) -> None:
        """Bring a worker that does not know this session to where it was, if there is a new one."""
        epoch = self._device.ready()
        if epoch == self._epoch:
            return
        self._epoch = epoch
        self._sent.clear()
        try:
            value_of(self._send(_Call("open", (), None), setup=self._setup))
            for call in self._done:
                self._send(call, is_repeated=True)
        except BaseException:
            self._epoch = -1
            raise

    def _send(self, call: _Call, *, setup: SessionSetup | None = None, is_repeated: bool = False) -> Reply:
        pixels = None if call.frame is None or call.frame in self._sent else self._read(call.frame)
        ended = () if is_repeated else tuple(self._ended.pop() for _ in range(len(self._ended)))
        action = Action(call.name, call.arguments, setup, pixels, ended, is_repeated)
        reply: Reply = self._device.call("call", self._number, action, epoch=self._epoch)
        if pixels is not None and isinstance(pixels[1], PackedArray):
            self._sent.add(pixels[0])
        return reply

    def _read(self, frame: int) -> tuple[int, PackedArray | UnreadableFrameError]:
        try:
            return frame, PackedArray.of(self.frames[frame])
        except UnreadableFrameError as error:
            return frame, error
