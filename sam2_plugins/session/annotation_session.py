"""The session that every host drives: objects, prompts and masks on one sequence of frames.

The session owns the truth. The engine's ``VideoSession`` owns only what can be computed again, so it is
dropped whenever anything goes wrong in it, and rebuilt from frames, prompts and accepted masks.
"""

import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from sam2_engine.errors import InputError
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.frames import FrameSource, open_frames
from sam2_engine.masks import CompressedMask
from sam2_engine.preprocessing import IntensityWindow, estimate_window
from sam2_engine.prompts import Box, Mask, Points
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.open_session import AnyVideoSession, open_video_session
from sam2_engine.video.tiled_session import TiledVideoSession
from sam2_plugins.runtime.jobs import CancelToken
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.runtime.run_estimate import RunEstimate, RunSize
from sam2_plugins.session.annotations import Change, Prompt
from sam2_plugins.session.editable_annotations import EditableAnnotations
from sam2_plugins.session.engine_session import EngineSession, give_prompt
from sam2_plugins.session.history import DEFAULT_UNDO_BYTES, Action
from sam2_plugins.session.masks import MaskOrigin
from sam2_plugins.session.prefetch import prefetch
from sam2_plugins.session.propagation import propagate, store_result
from sam2_plugins.session.propagation_plan import PropagationPlan

__all__ = ["AnnotationSession"]

DEFAULT_HISTORY = 256 * 2**20


class AnnotationSession(EditableAnnotations):
    """Objects, prompts and masks on one sequence of frames.

    Methods may be called from any thread. Those that compute wait for the device, clicks ahead of the next
    frame of a propagation; those that read never wait.

    Parameters
    ----------
    frames
        Whatever :func:`sam2_engine.open_frames` takes: a path, an array, a ``FrameSource``, a live stream.
    store
        The host's models and its device's lock.
    model
        A variant's name or a checkpoint's path.
    axes, channel
        As for ``open_frames``, where the frames do not tell.
    contrast
        Intensity window ``(low, high)``; None decides once for all frames. ``set_window`` changes it.
    max_conditioning_frames
        How many prompted frames, the nearest ones, a frame attends to; None for all.
    history
        Bytes for checkpoints of tracked frames, so that corrections in the middle carry on exactly;
        None for work without corrections.
    cache
        Where encoded frames are kept, shared with other sessions of the same store; None for one of its own.
    undo_bytes
        Cap of what undo keeps.

    Attributes
    ----------
    frames
        What is annotated.

    Raises
    ------
    InputError
        If the frames, the model or an option cannot be used.
    """

    def __init__(
        self,
        frames: object,
        store: ModelStore,
        model: str | Path = "nano",
        *,
        axes: str | None = None,
        channel: int | None = None,
        contrast: tuple[float, float] | IntensityWindow | None = None,
        max_conditioning_frames: int | None = 8,
        history: int | None = DEFAULT_HISTORY,
        cache: FeatureCache | None = None,
        undo_bytes: int = DEFAULT_UNDO_BYTES,
    ) -> None:
        self.frames: FrameSource = open_frames(frames, axes=axes, channel=channel)
        try:
            window = estimate_window(self.frames) if contrast is None else IntensityWindow.of(contrast)
        except BaseException:
            if self.frames is not frames:
                self.frames.close()
            raise
        self.model_name = str(model)
        self._store = store
        self._max_conditioning_frames = max_conditioning_frames
        self._checkpoint_bytes = history
        self._cache = FeatureCache(store.encoded_bytes) if cache is None else cache
        super().__init__(self.frames.shape, store.lock, undo_bytes, window)
        me = weakref.proxy(self)  # so that a session that nobody uses is freed at once, with its frames
        self._video = EngineSession(lambda: me._make_video(me.window), self.annotations)

    def __len__(self) -> int:
        return len(self.frames)

    # ------------------------------------------------------------------ prompts

    def add_points(
        self,
        frame: int,
        object_id: int,
        points: ArrayLike,
        labels: ArrayLike | None = None,
        replace: bool = False,
        *,
        box: ArrayLike | None = None,
    ) -> FrameResult:
        """Add clicks, perhaps with a box, to an object on a frame and return its mask there.

        Parameters
        ----------
        frame
            Any frame, tracked or not.
        object_id
            A known object.
        points
            (N, 2) ``(x, y)`` in pixels, or one ``(x, y)``.
        labels
            (N,), 1 inside (default), 0 outside.
        replace
            Drop the prompts that the object has on this frame.
        box
            As for :meth:`add_box`; looked at together with the clicks.

        Raises
        ------
        InputError
            If the object or the frame is unknown, or a point is not valid on the frame.
        """
        corners = None if box is None else Box.of(box, self.shape)
        prompt = Prompt(points=Points.of(points, labels, self.shape), box=corners)
        return self.add_prompt(frame, object_id, prompt, replace)

    def add_box(self, frame: int, object_id: int, box: ArrayLike, replace: bool = False) -> FrameResult:
        """Place a box ``(x0, y0, x1, y1)`` (inclusive pixels) around an object and return its mask.

        It takes the place of an earlier box or mask on the frame; with ``replace``, of its clicks as well.

        Raises
        ------
        InputError
            If the object or the frame is unknown, or the box has no area or lies outside.
        """
        return self.add_prompt(frame, object_id, Prompt(box=Box.of(box, self.shape)), replace)

    def add_mask(self, frame: int, object_id: int, mask: ArrayLike, undo_group: object = None) -> FrameResult:
        """Give an object's (H, W) mask on a frame; it is kept to the pixel, instead of other prompts there.

        Calls one after the other with the same ``undo_group`` are undone as one.

        Raises
        ------
        InputError
            If the object or the frame is unknown, or the mask has another size.
        """
        painted = CompressedMask.from_array(Mask.of(mask, self.shape).pixels)
        return self.add_prompt(frame, object_id, Prompt(mask=painted), undo_group=undo_group)

    def add_prompt(
        self, frame: int, object_id: int, prompt: Prompt, replace: bool = False, undo_group: object = None
    ) -> FrameResult:
        """Give one prompt as it is kept, for example one of :meth:`prompts_of`; see the methods above.

        Raises
        ------
        InputError
            If the object or the frame is unknown, or its mask is verified.
        """
        call = {"do": "add_prompt", "frame": frame, "object_id": object_id, "prompt": prompt}
        with self._lock:
            self.annotations.require(object_id)
            self._check_frame(frame)
            if self.annotations.is_verified(object_id, frame):
                raise InputError(
                    f"Object {object_id} is verified on frame {frame}; unlock it there to change its mask."
                )
            earlier = () if replace else self.annotations.prompts_of(object_id).get(frame, ())
            accepted = self.annotations.mask(object_id, frame)
            with self._video.acquire() as video:
                self._video.remove_temporary_prompt(object_id, frame)
                if accepted and not earlier and not replace:
                    before = Prompt(mask=accepted.mask)
                    if accepted.origin is MaskOrigin.PAINTED:
                        earlier = (before,)  # another tool's mask is what is being corrected
                    # Tiles remember nothing of frames far behind, so there a mask stands for that.
                    if earlier or (isinstance(video, TiledVideoSession) and not accepted.mask.is_empty):
                        give_prompt(video, frame, object_id, before)
                result = give_prompt(video, frame, object_id, prompt, replace)
            kind = "mask" if prompt.mask is not None else "box" if prompt.points is None else "click"
            with self._history.action(
                f"{kind} on object {object_id}", {**call, "replace": replace}, undo_group
            ):
                if object_id in self.annotations.objects():  # it may have been undone while this was waiting
                    self.annotations.set_prompts(object_id, frame, prompt.after(earlier))
                    store_result(self.annotations, result, prompted=True)
            return result

    # ------------------------------------------------------------------ propagation

    def frames_to_visit(
        self,
        object_ids: Iterable[int] | None = None,
        start: int | None = None,
        stop: int | None = None,
        reverse: bool = False,
        missing_only: bool = False,
    ) -> list[int] | None:
        """Return the frames that :meth:`propagate` would visit, in order; None for an endless live stream.

        Raises
        ------
        InputError
            If an object or a frame is unknown, or there is nothing to follow from ``start`` to ``stop``.
        """
        return self._plan(object_ids, start, stop, reverse, missing_only).frames()

    def propagate(
        self,
        object_ids: Iterable[int] | None = None,
        start: int | None = None,
        stop: int | None = None,
        reverse: bool = False,
        cancel: CancelToken | None = None,
        missing_only: bool = False,
    ) -> Iterator[FrameResult]:
        """Follow objects from frame to frame; every frame is kept as soon as it is there.

        The device is held for one frame at a time. Cancelling or closing the iterator keeps the finished
        frames; prompts may be given between two frames. Masks of prompted and of verified frames stay as
        they are. Undo ends it.

        Parameters
        ----------
        object_ids
            Which objects; None for all, including those added meanwhile.
        start
            First frame; None for the earliest prompted one (reverse: the latest).
        stop
            Last frame, inclusive, in the direction of travel; None for the end or, if ``start`` is given, for
            the next verified frame of each object.
        reverse
            Go backwards.
        cancel
            Looked at before every frame.
        missing_only
            Pass over what has a mask already: to continue what was stopped.

        Yields
        ------
        FrameResult
            One per frame on which an object is followed.

        Raises
        ------
        InputError
            As :meth:`frames_to_visit`, at the first frame; or if a frame cannot be read.
        """
        plan = self._plan(object_ids, start, stop, reverse, missing_only)
        steps = propagate(plan, self._lock, self._video, self._history, cancel)
        yield from self._store.measurements.measured(
            self._measured_with, steps, lambda: self._video.num_bytes
        )

    def estimate(self, runs: Iterable[Mapping[str, Any]]) -> RunEstimate:
        """Estimate time and memory of some runs, each the arguments of :meth:`propagate`.

        Raises
        ------
        InputError
            As :meth:`frames_to_visit`.
        """
        size = sum((self._plan(**run).size() for run in runs), RunSize(0, 0))
        masks = self.annotations.mean_mask_bytes()
        return self._store.measurements.estimate(self._measured_with, size, masks, self._checkpoint_bytes)

    @property
    def _measured_with(self) -> tuple[str, str]:
        return self.model_name, self._store.device_name

    def _plan(
        self,
        object_ids: Iterable[int] | None = None,
        start: int | None = None,
        stop: int | None = None,
        reverse: bool = False,
        missing_only: bool = False,
    ) -> PropagationPlan:
        chosen = None if object_ids is None else tuple(self.annotations.require(i) for i in object_ids)
        for frame in (start, stop):
            if frame is not None:
                self._check_frame(frame)
        return PropagationPlan(
            self.annotations, self.frames.length, chosen, start, stop, reverse, missing_only
        )

    # ------------------------------------------------------------------ the model

    def prefetch(self, frames: Iterable[int]) -> Iterator[int]:
        """Make frames ready for prompts, as many as the cache holds at once; yield each when it is ready."""
        return prefetch(lambda: self._make_video(self.window), self._lock, frames)

    def use_model(self, model: str | Path) -> None:
        """Compute with another model from now on; objects, prompts, masks, locks and undo stay as they are.

        Masks of the earlier model stay until something predicts them again: :meth:`repredict`, a prompt,
        a propagation. It is written down, but nothing that undo takes back.

        Parameters
        ----------
        model
            A variant's name or a checkpoint's path.

        Raises
        ------
        InputError
            If it cannot be loaded; the session then goes on with the earlier one.
        """
        self._store.get(model)
        with self._lock, self.annotations.lock:
            self.model_name = str(model)
            self._video.drop()
            self._history.notify(Action(f"model {model}", {"do": "use_model", "model": str(model)}, ()))

    def set_window(self, window: IntensityWindow | tuple[float, float] | None) -> None:
        """Let the model see other intensities from now on, undone as one action.

        Masks that come of clicks or a box alone (:meth:`single_frame_prompts`) are predicted anew. All others
        stay as they are until they are corrected or tracked again.

        Raises
        ------
        InputError
            If it is no window.
        """
        given = None if window is None else IntensityWindow.of(window)
        with self._lock:
            places = [] if given == self.window else self.single_frame_prompts()
            results = self._video.predict_prompts_with(places, lambda: self._make_video(given))
            with self._edit("contrast", {"do": "set_window", "window": given}):
                self.annotations.set_window(given)
                for result in results:
                    store_result(self.annotations, result, prompted=True)

    def repredict(self, places: Iterable[tuple[int, int]]) -> Iterator[FrameResult]:
        """Predict masks from their prompts anew, as after a change of model; all are undone as one.

        Parameters
        ----------
        places
            (object id, frame), for example :meth:`single_frame_prompts`. Whatever is verified or no longer
            prompted when its turn comes is passed over.

        Yields
        ------
        FrameResult
            One per place; the device is held for one at a time.
        """
        undo_group = object()
        for object_id, frame in places:
            with self._lock:
                unlocked = not self.annotations.is_verified(object_id, frame)
                if not (unlocked and frame in self.annotations.prompts_of(object_id)):
                    continue
                result = self._video.predict_prompts(object_id, frame)
                call = {"do": "answer_again", "places": [[object_id, frame]]}
                with self._history.action(f"masks by {self.model_name}", call, undo_group):
                    store_result(self.annotations, result, prompted=True)
            yield result

    def drop_engine(self) -> None:
        """Free the engine's memories and all of the cache; they are computed again when they are needed."""
        with self._lock, self.annotations.lock:
            self._video.drop()
            self._cache.clear()
            self._history.notify(Action("drop engine", {"do": "drop_engine"}, ()))

    def _make_video(self, window: IntensityWindow | None) -> AnyVideoSession:
        model, nearest = self._store.get(self.model_name), self._max_conditioning_frames
        return open_video_session(model, self.frames, window, self._cache, self._checkpoint_bytes, nearest)

    def _check_frame(self, frame: int) -> None:
        length = self.frames.length
        if frame < 0 or (length is not None and frame >= length):
            there = "" if length is None else f"; its frames are 0 to {length - 1}"
            raise InputError(f"{self.frames.name} has no frame {frame}{there}.")

    def _reconcile(self, changes: Iterable[Change]) -> None:
        self._video.reconcile(changes)
