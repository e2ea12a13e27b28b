"""Follow objects through a video, a time-lapse or a volume: prompts on any frame, at any time.

The session owns only what can be computed again from frames, weights and prompts. It is meant for
one thread, owns none itself, and keeps no more memories than propagation can still read.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.nn import functional as F

from sam2_engine.errors import InputError
from sam2_engine.feature_cache import FeatureCache, feature_key
from sam2_engine.frames import FrameIndexError, FrameSource, open_frames
from sam2_engine.malloc_trim import MASKS_BETWEEN_RELEASES, release_freed_memory
from sam2_engine.modeling.sam2 import ImageFeatures, Sam2
from sam2_engine.preprocessing import IntensityWindow, Region, check_region, estimate_window, to_model_input
from sam2_engine.prompts import Box, Mask, Points
from sam2_engine.video.frame_result import FrameResult
from sam2_engine.video.memory_bank import MemoryBank
from sam2_engine.video.tracked_object import FramePrompts, ObjectOutput, TrackedObject
from sam2_engine.video.tracker import Tracker

__all__ = ["VideoSession"]

_FEW_FRAMES = 16 * 2**20
FIRST_STRIDE = 8
"""Distance of the first checkpoints; it doubles whenever they exceed their cap."""


class VideoSession:
    """Objects, prompts and propagation on one sequence of frames.

    Parameters
    ----------
    model
        A loaded model.
    frames
        A path, an array, a ``FrameSource`` or a live stream: whatever ``open_frames`` takes.
    contrast
        Intensity window as ``(low, high)``; None lets DESIGN's rule decide once for all frames.
    region
        ``(x0, y0, x1, y1)`` in pixels, the last two exclusive: work on this part of the plane only.
        Prompts and masks stay in the coordinates of the whole frame.
    cache
        Encoded frames; may be shared between sessions. None keeps a few: propagation meets each frame
        once. A larger one lets clicks on many frames cost only the decoder.
    history
        Bytes for checkpoints of tracked frames, so that a correction in the middle of a tracked
        video propagates on as if everything had been kept. None keeps only what propagation itself
        reads again.
    max_object_pointers
        Object pointers that a frame reads, and the normalizer of their time (16).
    max_conditioning_frames
        How many prompted frames a frame attends to, the nearest first; None for all.

    Raises
    ------
    InputError
        If the frames or an option cannot be used.
    """

    def __init__(
        self,
        model: Sam2,
        frames: object,
        contrast: tuple[float, float] | IntensityWindow | None = None,
        region: Region | None = None,
        cache: FeatureCache | None = None,
        history: int | None = None,
        max_object_pointers: int = 16,
        max_conditioning_frames: int | None = None,
    ) -> None:
        if max_object_pointers < 2:
            raise InputError("max_object_pointers must be at least 2.")
        if max_conditioning_frames is not None and max_conditioning_frames < 1:
            raise InputError("max_conditioning_frames must be at least 1, or None for all.")
        self.model = model
        self.frames: FrameSource = open_frames(frames)
        self.window = IntensityWindow.of(contrast) if contrast is not None else estimate_window(self.frames)
        self.region = None if region is None else check_region(region, self.frames.shape)
        self.cache = FeatureCache(_FEW_FRAMES) if cache is None else cache
        self.max_object_pointers = max_object_pointers
        self.max_conditioning_frames = max_conditioning_frames
        self._history = history
        self._stride = None if history is None else FIRST_STRIDE
        self._objects: dict[int, TrackedObject] = {}
        self._tracker = Tracker(model, self.encode, self._to_input, max_object_pointers)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids of all objects, in the order in which they were first prompted."""
        return tuple(self._objects)

    def prompted_frames(self, object_id: int) -> tuple[int, ...]:
        """Frames on which an object has a prompt, in the order in which they were given."""
        return tuple(self._known(object_id).prompts)

    @property
    def num_bytes(self) -> int:
        """Bytes held by the memories of tracked frames."""
        return sum(tracked.bank.num_bytes for tracked in self._objects.values())

    # ------------------------------------------------------------------ prompts

    def add_points(
        self,
        frame: int,
        object_id: int,
        points: ArrayLike,
        labels: ArrayLike | None = None,
        *,
        box: ArrayLike | None = None,
        replace: bool = False,
    ) -> FrameResult:
        """Add clicks to an object on a frame and return its mask there.

        Parameters
        ----------
        frame
            Any frame, tracked or not.
        object_id
            A positive number; an unknown one starts a new object.
        points
            (P, 2) ``(x, y)`` in pixels, or one ``(x, y)``.
        labels
            (P,), 1 inside (default), 0 outside.
        box
            A box ``(x0, y0, x1, y1)`` that goes with the clicks.
        replace
            Drop the clicks and the box placed on this frame before.

        Raises
        ------
        InputError
            If the frame does not exist or a point is not valid on it.
        """
        clicks = Points.of(points, labels, self.frames.shape)
        checked = None if box is None else Box.of(box, self.frames.shape)
        prompts = self._prompts(frame, object_id)
        if replace:
            prompts.points = prompts.box = None
        prompts.box = checked or prompts.box
        prompts.add_points(clicks)
        return self._predict_prompted(frame, object_id)

    def add_box(self, frame: int, object_id: int, box: ArrayLike, *, replace: bool = False) -> FrameResult:
        """Place a box ``(x0, y0, x1, y1)`` around an object on a frame, instead of an earlier one.

        With ``replace``, the clicks placed on this frame before are dropped as well.
        """
        checked = Box.of(box, self.frames.shape)
        prompts = self._prompts(frame, object_id)
        if replace:
            prompts.points = None
        prompts.box, prompts.mask = checked, None
        return self._predict_prompted(frame, object_id)

    def add_mask(self, frame: int, object_id: int, mask: ArrayLike) -> FrameResult:
        """Give an object's (H, W) mask on a frame; it is taken as it is, instead of other prompts there."""
        pixels = Mask.of(mask, self.frames.shape).pixels
        prompts = self._prompts(frame, object_id)
        prompts.points = prompts.box = None
        if self.region is not None:
            x0, y0, x1, y1 = self.region
            pixels = pixels[y0:y1, x0:x1]
        size = (self.model.image_size, self.model.image_size)
        full = torch.from_numpy(pixels.astype(np.float32))[None, None].to(self.model.device)
        resized = F.interpolate(full, size=size, mode="bilinear", align_corners=False, antialias=True)
        prompts.mask = (resized >= 0.5).float()
        return self._predict_prompted(frame, object_id)

    def clear_prompts(self, object_id: int, frame: int | None = None) -> None:
        """Remove an object's prompts from one frame, or from all; an object without any is forgotten."""
        tracked = self._known(object_id)
        if frame is not None and frame not in tracked.prompts:
            raise InputError(f"Object {object_id} has no prompt on frame {frame}.")
        for f in [frame] if frame is not None else list(tracked.prompts):
            del tracked.prompts[f]
            tracked.bank.conditioning.pop(f, None)
        if not tracked.prompts:
            del self._objects[object_id]

    def remove_object(self, object_id: int) -> None:
        """Forget an object, its prompts and its memories."""
        self._known(object_id)
        del self._objects[object_id]

    def invalidate(self, object_id: int, from_frame: int) -> None:
        """Forget what was tracked of an object at and after ``from_frame``; its prompts stay."""
        self._known(object_id).forget(from_frame)

    def _known(self, object_id: int) -> TrackedObject:
        if object_id not in self._objects:
            known = ", ".join(map(str, self._objects)) or "none yet"
            raise InputError(f"There is no object {object_id} here; the known ones are: {known}.")
        return self._objects[object_id]

    @torch.inference_mode()
    def _prompts(self, frame: int, object_id: int) -> FramePrompts:
        """Return the prompts of an object on a frame, made if missing; a tracked frame is corrected."""
        if not isinstance(object_id, (int, np.integer)) or object_id <= 0:
            raise InputError(f"An object's id is a positive whole number, not {object_id!r}.")
        self._check_frame(frame)
        tracked = self._objects.get(object_id) or self._new_object()
        if frame not in tracked.prompts:
            run = tracked.range_of(frame)
            if run is not None and self._stride is not None:
                self._tracker.restore(tracked, frame)
            tracked.prompts[frame] = FramePrompts(run is not None, run is not None and run.reverse)
        prompts = tracked.prompts[frame]
        if prompts.with_memory and self._stride is not None:
            self._tracker.restore_window(tracked, frame, prompts.reverse)
        self._objects[int(object_id)] = tracked
        return prompts

    def _new_object(self) -> TrackedObject:
        bank = MemoryBank(
            self.model.config.num_recent_memories,
            self.max_object_pointers,
            self.max_conditioning_frames,
            self._stride,
        )
        return TrackedObject(bank)

    def _check_frame(self, frame: int) -> None:
        length = self.frames.length
        if frame < 0 or (length is not None and frame >= length):
            known = "" if length is None else f"; its frames are 0 to {length - 1}"
            raise InputError(f"There is no frame {frame} in {self.frames.name}{known}.")

    @torch.inference_mode()
    def _predict_prompted(self, frame: int, object_id: int) -> FrameResult:
        tracked = self._objects[object_id]
        output = self._tracker.predict(frame, tracked)
        tracked.prompts[frame].output = output
        # The memory is encoded when it is needed: most prompts are followed by another one.
        prompts = tracked.prompts[frame]
        prompts.memory_encoded = False
        if prompts.with_memory:
            # What was tracked again for this correction goes, but for what the next click reads.
            tracked.bank.prune(frame + 1 if prompts.reverse else frame - 1, prompts.reverse)
        return self._result(frame, {object_id: output})

    # ------------------------------------------------------------------ propagation

    def propagate(
        self,
        object_ids: Iterable[int] | None = None,
        start: int | None = None,
        stop: int | None = None,
        reverse: bool = False,
    ) -> Iterator[FrameResult]:
        """Follow objects from frame to frame.

        Closing the iterator, or prompting while it is suspended, is legal and loses nothing.

        Parameters
        ----------
        object_ids
            Which objects; None for all, including those that are added meanwhile.
        start
            First frame; None for the earliest prompted frame (reverse: the latest).
        stop
            Last frame, inclusive, in the direction of travel; None for the end.
        reverse
            Go backwards.

        Yields
        ------
        FrameResult
            One per frame. An object appears from its first prompted frame on.

        Raises
        ------
        InputError
            If nothing is prompted yet, or an id or a frame is unknown.
        """
        chosen = None if object_ids is None else [int(i) for i in object_ids]
        tracked = [self._known(i) for i in (self._objects if chosen is None else chosen)]
        prompted = [frame for one in tracked for frame in one.prompts]
        if not prompted:
            raise InputError("There is nothing to follow yet; give an object a click, a box or a mask first.")
        first = (max(prompted) if reverse else min(prompted)) if start is None else start
        for frame in (first, stop):
            if frame is not None:
                self._check_frame(frame)
        if stop is not None and (stop > first if reverse else stop < first):
            raise InputError(
                f"Propagation {'backwards ' if reverse else ''}from frame {first} never reaches "
                f"frame {stop}; {'drop' if reverse else 'set'} reverse, or exchange start and stop."
            )
        return self._travel(chosen, first, stop, reverse)

    def _travel(
        self, chosen: list[int] | None, first: int, stop: int | None, reverse: bool
    ) -> Iterator[FrameResult]:
        frame, step = first, -1 if reverse else 1
        masks_since_release = 0
        while frame >= 0:
            try:
                result = self._visit(frame, chosen, reverse)
            except FrameIndexError:
                return
            masks_since_release += len(result.object_ids)
            if self.model.device.type == "cpu" and masks_since_release >= MASKS_BETWEEN_RELEASES:
                release_freed_memory()
                masks_since_release = 0
            if result.object_ids:
                yield result
            if frame == stop:
                return
            frame += step

    @torch.inference_mode()
    def _visit(self, frame: int, chosen: list[int] | None, reverse: bool) -> FrameResult:
        """Track the chosen objects on one frame."""
        self._check_end(frame)
        ids = [i for i in self._objects if chosen is None or i in chosen]
        ids = [i for i in ids if self._objects[i].started(frame, reverse)]
        outputs: dict[int, ObjectOutput] = {}
        to_track: list[int] = []
        for object_id in ids:
            tracked = self._objects[object_id]
            self._tracker.encode_prompted(tracked)
            prompts = tracked.prompts.get(frame)
            if prompts is not None and prompts.output is not None:
                outputs[object_id] = prompts.output
            else:
                if self._stride is not None:
                    self._tracker.restore_window(tracked, frame, reverse)
                to_track.append(object_id)
        if to_track:
            outputs |= self._tracker.track(frame, {i: self._objects[i] for i in to_track}, reverse)
            self._keep_within_history()
        elif not ids:
            # Nobody needs the pixels, but a live stream must move on.
            self._advance(frame)
        return self._result(frame, {i: outputs[i] for i in ids})

    def _check_end(self, frame: int) -> None:
        if self.frames.length is not None and frame >= self.frames.length:
            raise FrameIndexError(f"There is no frame {frame} in {self.frames.name}.")

    def _advance(self, frame: int) -> None:
        if self.frames.length is None:
            self.frames[frame]

    # ------------------------------------------------------------------ history

    def _keep_within_history(self) -> None:
        """Double the distance of the checkpoints for as long as they exceed their cap."""
        if self._history is None or self._stride is None:
            return
        length = 1 << 40
        while self.num_bytes > self._history and self._stride < length:
            self._stride *= 2
            for tracked in self._objects.values():
                tracked.bank.stride = self._stride
                if tracked.tracked_ranges:
                    tracked.bank.prune(tracked.tracked_ranges[-1].last, tracked.tracked_ranges[-1].reverse)

    # ------------------------------------------------------------------ frames and results

    @torch.inference_mode()
    def encode(self, frame: int) -> ImageFeatures:
        """Return a frame as the encoder sees it; from then on a prompt there costs only the decoder."""
        x0, y0, x1, y1 = self.region or (0, 0, self.frames.shape[1], self.frames.shape[0])
        pixels, model = self.frames[frame][y0:y1, x0:x1], self.model

        def encode() -> ImageFeatures:
            inputs = to_model_input(pixels, self.window, model.image_size, device=model.device)
            with model.autocast():
                return model.encode_image(inputs)

        return self.cache.get_or_encode(feature_key(model, pixels, self.window, self.region), model, encode)

    def _to_input(self, coordinates: NDArray[np.float32]) -> NDArray[np.float32]:
        x0, y0, x1, y1 = self.region or (0, 0, self.frames.shape[1], self.frames.shape[0])
        scale = np.array([self.model.image_size / (x1 - x0), self.model.image_size / (y1 - y0)], np.float32)
        return (coordinates - np.array([x0, y0], np.float32)) * scale

    def _result(self, frame: int, outputs: dict[int, ObjectOutput]) -> FrameResult:
        side = self.model.low_res_size
        logits = np.zeros((len(outputs), side, side), np.float32)
        for row, output in zip(logits, outputs.values(), strict=True):
            row[:] = output.low_res_logits.float().cpu().numpy()
        presence_logits = np.array([output.presence_logit for output in outputs.values()], np.float32)
        return FrameResult(
            frame=frame,
            object_ids=tuple(outputs),
            low_res_logits=logits,
            presence=(1 / (1 + np.exp(-presence_logits))).astype(np.float32),
            predicted_iou=np.array([output.iou for output in outputs.values()], np.float32),
            shape=self.frames.shape,
            regions=() if self.region is None else (self.region,) * len(outputs),
        )
