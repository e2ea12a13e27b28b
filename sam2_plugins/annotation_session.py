"""The session that every host drives: objects, prompts and masks on one sequence of frames.

The session owns the truth. The engine's ``VideoSession`` owns only what can be computed again, so it is
dropped whenever anything goes wrong in it, and rebuilt from frames, prompts and accepted masks.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam2_engine.errors import InputError
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.frame_result import FrameResult
from sam2_engine.frames import FrameSource, open_frames
from sam2_engine.preprocessing import IntensityWindow, estimate_window
from sam2_engine.prompts import Box, Mask, Points
from sam2_engine.video_session import VideoSession
from sam2_plugins.accepted_mask import AcceptedMask, CompressedMask, MaskOrigin, MaskScores
from sam2_plugins.annotations import AnnotatedObject, Annotations, Prompt
from sam2_plugins.jobs import CancelToken, Priority
from sam2_plugins.label_image import compose_labels
from sam2_plugins.model_store import ModelStore
from sam2_plugins.rebuildable_video import RebuildableVideo, give_prompt

__all__ = ["AnnotationSession"]

DEFAULT_HISTORY = 256 * 2**20


class AnnotationSession:
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
        Intensity window ``(low, high)``; None decides once for all frames.
    max_conditioning_frames
        How many prompted frames, the nearest ones, a frame attends to; None for all.
    history
        Bytes for checkpoints of tracked frames, so that corrections in the middle carry on exactly;
        None for work without corrections.
    cache
        Where encoded frames are kept, shared with other sessions of the same store; None for one of its own.

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
    ) -> None:
        self.frames: FrameSource = open_frames(frames, axes=axes, channel=channel)
        try:
            self.window = estimate_window(self.frames) if contrast is None else IntensityWindow.of(contrast)
        except BaseException:
            if self.frames is not frames:
                self.frames.close()
            raise
        self.model_name = str(model)
        self._store = store
        self._max_conditioning_frames = max_conditioning_frames
        self._history = history
        self._cache = FeatureCache() if cache is None else cache
        self._truth = Annotations()
        self._video = RebuildableVideo(self._make_video, self._truth)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of every frame in pixels."""
        return self.frames.shape

    # ------------------------------------------------------------------ objects

    @property
    def objects(self) -> Mapping[int, AnnotatedObject]:
        """All objects of now by id, in the order in which they were made."""
        return self._truth.objects()

    def add_object(
        self, name: str | None = None, label: str | None = None, *, object_id: int | None = None
    ) -> int:
        """Make an object and return its id.

        Parameters
        ----------
        name
            What people call it; None for "object 3".
        label
            Its class.
        object_id
            An id that was never used in this session; None for the next one.

        Raises
        ------
        InputError
            If the id was used before or is not positive.
        """
        return self._truth.new_object(name, label, object_id).id

    def remove_object(self, object_id: int) -> None:
        """Remove an object with its prompts and masks; its id is not used again.

        Raises
        ------
        InputError
            If there is no such object.
        """
        with self._store.lock:
            self._truth.require(object_id)
            if object_id in self._video.knows:
                with self._video.driving() as video:
                    video.remove_object(object_id)
            self._truth.set_object(object_id, None)

    # ------------------------------------------------------------------ prompts

    def prompts_of(self, object_id: int) -> dict[int, tuple[Prompt, ...]]:
        """Return an object's prompts by frame, each in the order in which they were given."""
        self._truth.require(object_id)
        return self._truth.prompts_of(object_id)

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
        return self._prompt(frame, object_id, prompt, replace)

    def add_box(self, frame: int, object_id: int, box: ArrayLike, replace: bool = False) -> FrameResult:
        """Place a box ``(x0, y0, x1, y1)`` (inclusive pixels) around an object and return its mask.

        It takes the place of an earlier box or mask on the frame; with ``replace``, of its clicks as well.

        Raises
        ------
        InputError
            If the object or the frame is unknown, or the box has no area or lies outside.
        """
        return self._prompt(frame, object_id, Prompt(box=Box.of(box, self.shape)), replace)

    def add_mask(self, frame: int, object_id: int, mask: ArrayLike) -> FrameResult:
        """Give an object's (H, W) mask on a frame; it is kept to the pixel, instead of other prompts there.

        Raises
        ------
        InputError
            If the object or the frame is unknown, or the mask has another size.
        """
        painted = CompressedMask.of(Mask.of(mask, self.shape).pixels)
        return self._prompt(frame, object_id, Prompt(mask=painted))

    def clear_prompts(self, object_id: int, frame: int | None = None) -> None:
        """Remove an object's prompts, and the masks made from them, from one frame or from all.

        Masks that were tracked from them on other frames stay until the next propagation.

        Raises
        ------
        InputError
            If the object is unknown or has no prompt on the frame.
        """
        with self._store.lock:
            self._truth.require(object_id)
            prompted = self._truth.prompts_of(object_id)
            if frame is not None and frame not in prompted:
                raise InputError(f"Object {object_id} has no prompt on frame {frame}.")
            if object_id in self._video.knows:
                with self._video.driving() as video:
                    video.clear_prompts(object_id, frame)
            for one in prompted if frame is None else (frame,):
                self._truth.set_prompts(object_id, one, ())
                self._truth.set_mask(object_id, one, None)

    def _prompt(self, frame: int, object_id: int, prompt: Prompt, replace: bool = False) -> FrameResult:
        with self._store.lock:
            self._truth.require(object_id)
            self._check_frame(frame)
            earlier = () if replace else self._truth.prompts_of(object_id).get(frame, ())
            with self._video.driving() as video:
                result = give_prompt(video, frame, object_id, prompt, replace)
            self._truth.set_prompts(object_id, frame, prompt.after(earlier))
            self._accept(result, prompted=True)
            return result

    # ------------------------------------------------------------------ masks

    def mask(self, object_id: int, frame: int) -> NDArray[np.bool_] | None:
        """Return an object's (H, W) mask, empty where it is absent, None where nothing is known yet."""
        accepted = self._truth.mask(object_id, frame)
        return None if accepted is None else accepted.mask.pixels()

    def accepted(self, object_id: int, frame: int) -> AcceptedMask | None:
        """Return an object's mask as it is kept: packed, with its origin and scores."""
        return self._truth.mask(object_id, frame)

    def score(self, object_id: int, frame: int) -> MaskScores | None:
        """Return what the model said of an object's mask, or None where nothing is known yet."""
        accepted = self._truth.mask(object_id, frame)
        return None if accepted is None else accepted.scores

    def frames_of(self, object_id: int) -> list[int]:
        """Return the frames on which something is known of an object, sorted; it may be absent there."""
        return self._truth.frames_of(object_id)

    def label_image(self, frame: int) -> NDArray[Any]:
        """Return the (H, W) label image of a frame: object ids, 0 is background.

        Where masks overlap, painted ones win over those from clicks, and these over tracked ones; among
        equals the higher logit wins, and last the newer object. uint16, or uint32 if an id needs it.
        """
        return compose_labels(self.shape, self._truth.masks_on(frame), max(self._truth.objects(), default=0))

    def _accept(self, result: FrameResult, prompted: bool = False) -> None:
        """Keep what the engine says of a frame, but never instead of what a person prompted there."""
        known = self._truth.objects()
        for index, object_id in enumerate(result.object_ids):
            if object_id not in known:
                continue
            prompts = self._truth.prompts_of(object_id).get(result.frame, ())
            if not prompts:
                accepted = AcceptedMask.predicted(result, index, MaskOrigin.TRACKED)
            elif not prompted:
                continue
            elif prompts[-1].mask is not None:
                accepted = AcceptedMask.painted(prompts[-1].mask)
            else:
                accepted = AcceptedMask.predicted(result, index, MaskOrigin.PROMPTED)
            self._truth.set_mask(object_id, result.frame, accepted)

    # ------------------------------------------------------------------ propagation

    def frames_to_visit(
        self,
        object_ids: Iterable[int] | None = None,
        start: int | None = None,
        stop: int | None = None,
        reverse: bool = False,
    ) -> range | None:
        """Return the frames that :meth:`propagate` would visit, in order; None for an endless live stream.

        Raises
        ------
        InputError
            If an object or a frame is unknown, or there is nothing to follow from ``start`` to ``stop``.
        """
        chosen = self._truth.objects() if object_ids is None else [self._truth.require(i) for i in object_ids]
        prompted = [frame for object_id in chosen for frame in self._truth.prompts_of(object_id)]
        if not prompted:
            raise InputError("There is nothing to follow yet; give an object a click, a box or a mask first.")
        end = 0 if reverse else None if self.frames.length is None else self.frames.length - 1
        for frame in (start, stop):
            if frame is not None:
                self._check_frame(frame)
        first = max(prompted) if reverse else min(prompted)
        if start is not None:  # before an object's first prompt there is nothing to follow
            first = min(first, start) if reverse else max(first, start)
        last = end if stop is None else stop
        if last is None:
            return None
        if (last > first) if reverse else (last < first):
            raise InputError(
                f"There is nothing to follow {'backwards ' if reverse else ''}from frame {first} "
                f"to frame {last}; exchange start and stop, or change the direction."
            )
        return range(first, last - 1, -1) if reverse else range(first, last + 1)

    def propagate(
        self,
        object_ids: Iterable[int] | None = None,
        start: int | None = None,
        stop: int | None = None,
        reverse: bool = False,
        cancel: CancelToken | None = None,
    ) -> Iterator[FrameResult]:
        """Follow objects from frame to frame; every frame is kept as soon as it is there.

        The device is held for one frame at a time. Cancelling or closing the iterator keeps the finished
        frames; prompts may be given between two frames. Masks of prompted frames stay as they are.

        Parameters
        ----------
        object_ids
            Which objects; None for all, including those added meanwhile.
        start
            First frame; None for the earliest prompted one (reverse: the latest).
        stop
            Last frame, inclusive, in the direction of travel; None for the end.
        reverse
            Go backwards.
        cancel
            Looked at before every frame.

        Yields
        ------
        FrameResult
            One per frame on which an object is followed.

        Raises
        ------
        InputError
            As :meth:`frames_to_visit`, at the first frame; or if a frame cannot be read.
        """
        chosen = None if object_ids is None else list(object_ids)
        visits = self.frames_to_visit(chosen, start, stop, reverse)
        frame, last = (start, stop) if visits is None else (visits[0], visits[-1])
        driven: VideoSession | None = None
        steps: Iterator[FrameResult] = iter(())
        while cancel is None or not cancel.cancelled:
            with self._store.lock.held(Priority.BACKGROUND), self._video.driving() as video:
                if video is not driven:  # at first, and if the engine was dropped: go on with its successor
                    ids = None if chosen is None else [i for i in chosen if i in video.object_ids]
                    driven, steps = video, video.propagate(ids, frame, stop, reverse)
                result = next(steps, None)
                if result is None:
                    return
                self._accept(result)
            yield result
            if result.frame == last:
                return
            frame = result.frame + (-1 if reverse else 1)

    def drop_engine(self) -> None:
        """Free the engine's memories and all of the cache; they are computed again when they are needed."""
        with self._store.lock:
            self._video.drop()
            self._cache.clear()

    def _make_video(self) -> VideoSession:
        return VideoSession(
            self._store.get(self.model_name),
            self.frames,
            contrast=self.window,
            cache=self._cache,
            history=self._history,
            max_conditioning_frames=self._max_conditioning_frames,
        )

    def _check_frame(self, frame: int) -> None:
        length = self.frames.length
        if frame < 0 or (length is not None and frame >= length):
            there = "" if length is None else f"; its frames are 0 to {length - 1}"
            raise InputError(f"{self.frames.name} has no frame {frame}{there}.")
