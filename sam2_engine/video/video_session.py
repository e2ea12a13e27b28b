"""The session for a video, a time-lapse or a volume: prompts on any frame, at any time.

The session owns only what can be computed again from frames, weights and prompts. It is meant for
one thread, owns none itself, and keeps no more memories than propagation can still read.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from os import PathLike

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from sam2_engine.arguments import suggests_arguments
from sam2_engine.errors import InputError, InputWarning
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.frames import FrameIndexError, FrameSource, open_frames
from sam2_engine.frames.series import Series
from sam2_engine.image.small_components import remove_small_components
from sam2_engine.image.wide_view import encode_wide
from sam2_engine.malloc_trim import MASKS_BETWEEN_RELEASES, release_freed_memory
from sam2_engine.masks import CompressedMask
from sam2_engine.modeling.sam2 import MASK_STRIDE, ImageFeatures, Sam2
from sam2_engine.preprocessing import IntensityWindow, Region, check_region
from sam2_engine.prompts import Prompt, check_says_where
from sam2_engine.video.choosing import Chosen
from sam2_engine.video.frame_encoder import FrameEncoder
from sam2_engine.video.frame_result import GIVEN_LOGIT, FrameResult
from sam2_engine.video.frame_steps import track_frames
from sam2_engine.video.memory_bank import MemoryBank
from sam2_engine.video.memory_policies.policy import MemoryPolicy
from sam2_engine.video.memory_policies.registry import memory_policy_of
from sam2_engine.video.settlement import Overlapping
from sam2_engine.video.tracked_object import FramePrompts, ObjectOutput, TrackedObject
from sam2_engine.video.tracker import Offer, Tracker
from sam2_engine.video.tracking_session import (
    TrackingSession,
    check_frame,
    check_object_id,
    chosen_ids,
    first_frame,
    frames_to_clear,
    require_object,
)
from sam2_engine.weights.loading import as_model
from sam2_engine.weights.pixel_rules import window_of
from sam2_engine.wording import counted

__all__ = ["FrameOffer", "VideoSession"]

_FEW_FRAMES = 16 * 2**20
FIRST_STRIDE = 8
"""Distance of the first checkpoints; it doubles whenever they exceed their cap."""


@dataclass(frozen=True)
class FrameOffer:
    """What a session offers its objects on a frame.

    Attributes
    ----------
    seen
        What the model's input shows, in pixels.
    frame, reverse
        Which frame, tracked in which direction.
    ids, outputs
        All objects on the frame, and the outputs of those that are prompted there.
    offer
        Of those that are tracked; None if none is.
    """

    seen: Region
    frame: int
    reverse: bool
    ids: list[int]
    outputs: dict[int, ObjectOutput]
    offer: Offer | None


class VideoSession(TrackingSession):
    """Objects, prompts and propagation on one sequence of frames.

    Parameters
    ----------
    model
        A loaded model, or its name or path.
    frames
        A path, an array, a ``FrameSource`` or a live stream: whatever ``open_frames`` takes.
    contrast
        Intensity window as ``(low, high)``; None: as the model expects, once for all frames.
    region
        ``(x0, y0, x1, y1)`` in pixels, the last two exclusive: work on this part of the plane only.
        Prompts and masks stay in the coordinates of the whole frame.
    cache
        Encoded frames; may be shared between sessions. None caches a few: propagation meets each frame
        once. A larger one lets clicks on many frames cost only the decoder.
    history
        Bytes for checkpoints of tracked frames, so that a correction in the middle of a tracked
        video propagates on as if everything had been stored. None stores only what propagation itself
        reads again.
    max_object_pointers
        Object pointers that a frame reads, and the normalizer of their time (16).
    max_conditioning_frames
        How many prompted frames a frame attends to, the nearest first; None for all.
    remove_small_components
        Remove, from what clicks or a box give, components far smaller than what was clicked; None: as the
        model's configuration says (nano does, the official models do not).
    memory_policy
        What is remembered of tracked frames and read again: a name of ``POLICIES`` in
        ``sam2_engine.video.memory_policies.registry``, or an object; ``recent`` is SAM 2's own rule.
    overlapping
        Whether tracked objects may share pixels: True for all, False for none, or the pairs of ids that may
        (an organ and the lesion in it). What may not is settled before it is remembered. None: as the policy
        says; with ``recent`` all may, as in SAM 2.

    axes, channel, fixed, level, series
        How ``frames`` is read, as for ``open_frames``: ``axes="TZYX", fixed={"Z": 3}``.

    Raises
    ------
    InputError
        If the frames or an option cannot be used.

    See Also
    --------
    sam2_engine.video.open_session.open_video_session : the session that suits frames of any size.
    sam2_engine.ImagePredictor : prompts on one image, as in SAM.

    Examples
    --------
    >>> from sam2_engine import VideoSession, load_model
    >>> y, x = np.ogrid[:64, :80]
    >>> frames = np.uint8([200 * (np.hypot(x - 30 - 4 * t, y - 32) < 12) for t in range(3)])
    >>> session = VideoSession(load_model("nano", image_size=256), frames)
    >>> clicked = session.add_points(0, object_id=1, points=(30, 32))
    >>> clicked.masks[0, 32, [30, 70]].tolist()
    [True, False]
    >>> [result.frame for result in session.propagate()]
    [0, 1, 2]

    A correction on any frame goes on from there:

    >>> corrected = session.add_points(1, object_id=1, points=[(34, 32), (70, 50)], labels=[1, 0])
    >>> session.prompted_frames(1)
    (0, 1)
    >>> [result.frame for result in session.propagate(start=1)]
    [1, 2]
    """

    remembers_tracked_frames = True

    @suggests_arguments
    def __init__(
        self,
        model: Sam2 | str | PathLike[str],
        frames: object,
        contrast: tuple[float, float] | IntensityWindow | None = None,
        region: Region | None = None,
        cache: FeatureCache | None = None,
        history: int | None = None,
        max_object_pointers: int = 16,
        max_conditioning_frames: int | None = None,
        remove_small_components: bool | None = None,
        *,
        memory_policy: str | MemoryPolicy = "recent",
        overlapping: bool | Iterable[tuple[int, int]] | None = None,
        axes: str | None = None,
        channel: int | None = None,
        fixed: Mapping[str, int] | None = None,
        level: int = 0,
        series: Series = None,
    ) -> None:
        if max_object_pointers < 2:
            raise InputError("max_object_pointers must be at least 2.")
        if max_conditioning_frames is not None and max_conditioning_frames < 1:
            raise InputError("max_conditioning_frames must be at least 1, or None for all.")
        if isinstance(frames, Sam2):
            raise InputError("The model comes first: VideoSession(model, frames).")
        memory_policy_of(memory_policy)  # what is wrong with it is said before anything is opened
        self.model = model = as_model(model)
        self.frames: FrameSource = open_frames(
            frames, axes=axes, channel=channel, fixed=fixed, level=level, series=series
        )
        self.memory_policy = policy = memory_policy_of(memory_policy, self.frames)
        self.overlapping = Overlapping.of(policy.lets_overlap if overlapping is None else overlapping)
        self.window = window_of(self.frames, contrast, model.config.intensities)
        self.region = None if region is None else check_region(region, self.frames.shape)
        self.cache = FeatureCache(_FEW_FRAMES) if cache is None else cache
        self.max_object_pointers = max_object_pointers
        self.max_conditioning_frames = max_conditioning_frames
        self.remove_small_components = (
            model.config.removes_small_components
            if remove_small_components is None
            else remove_small_components
        )
        self._history = history
        self._stride = None if history is None else FIRST_STRIDE
        self._objects: dict[int, TrackedObject] = {}
        self._encoder = FrameEncoder(model, self.frames, self.window, self.region, self.cache)
        self._tracker = Tracker(
            model,
            self.encode,
            self._encode_wide,
            self._to_input,
            max_object_pointers,
            policy,
            self.overlapping,
        )

    @property
    @override
    def object_ids(self) -> tuple[int, ...]:
        return tuple(self._objects)

    @override
    def prompted_frames(self, object_id: int) -> tuple[int, ...]:
        return tuple(require_object(self._objects, object_id).prompts)

    @property
    @override
    def num_bytes(self) -> int:
        return sum(tracked.bank.num_bytes for tracked in self._objects.values())

    # ------------------------------------------------------------------ prompts

    @override
    def _add_prompt(self, frame: int, object_id: int, prompt: Prompt, replace: bool) -> FrameResult:
        prompt = prompt.on(self.frames.shape)
        check_says_where(
            prompt.says_where, annotated=object_id in self.object_ids or self.has_mask(frame, object_id)
        )
        prompts = self._prompts(frame, object_id)
        prompts.prompt = prompt if replace else Prompt.combined((prompts.prompt, prompt))
        prompts.mask = None if prompt.mask is None else self._mask_input(prompt.mask)
        prompts.mask_given = prompt.mask is not None or (prompts.mask_given and not replace)
        result = self._predict_prompted(frame, object_id)
        if prompt.mask is not None and not prompt.mask.is_empty:
            _warn_if_unseen(result, prompt.mask)
        return result

    @override
    def has_mask(self, frame: int, object_id: int) -> bool:
        tracked = self._objects.get(object_id)
        return tracked is not None and (frame in tracked.prompts or tracked.range_of(frame) is not None)

    def _mask_input(self, mask: CompressedMask) -> Tensor:
        """Return a mask at the model's input size, (1, 1, S, S), 0 or 1."""
        x0, y0, x1, y1 = self._seen
        height, width = self.frames.shape
        pixels = mask.decompress().within((slice(y0, min(y1, height)), slice(x0, min(x1, width))))
        pixels = np.pad(pixels, ((0, y1 - y0 - pixels.shape[0]), (0, x1 - x0 - pixels.shape[1])))
        size = (self.model.image_size, self.model.image_size)
        full = torch.from_numpy(pixels.astype(np.float32))[None, None].to(self.model.device)
        resized = F.interpolate(full, size=size, mode="bilinear", align_corners=False, antialias=True)
        return (resized >= 0.5).float()

    @override
    def clear_prompts(self, object_id: int, frame: int | None = None) -> None:
        tracked = require_object(self._objects, object_id)
        for f in frames_to_clear(object_id, tracked.prompts, frame):
            del tracked.prompts[f]
            tracked.bank.conditioning.pop(f, None)
        if not tracked.prompts:
            del self._objects[object_id]

    @override
    def remove_object(self, object_id: int) -> None:
        require_object(self._objects, object_id)
        del self._objects[object_id]

    @override
    def invalidate(self, object_id: int, from_frame: int) -> None:
        require_object(self._objects, object_id).forget(from_frame)

    @torch.inference_mode()
    def _prompts(self, frame: int, object_id: int) -> FramePrompts:
        """Return the prompts of an object on a frame, made if missing; a tracked frame is corrected."""
        check_object_id(object_id)
        check_frame(self.frames, frame)
        tracked = self._objects.get(object_id) or self._new_object()
        if frame not in tracked.prompts:
            tracked_range = tracked.range_of(frame)
            if tracked_range is not None and self._stride is not None:
                self._tracker.restore(tracked, frame)
            reverse = tracked_range is not None and tracked_range.reverse
            tracked.prompts[frame] = FramePrompts(tracked_range is not None, reverse)
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
            self.memory_policy,
        )
        return TrackedObject(bank)

    @torch.inference_mode()
    def _predict_prompted(self, frame: int, object_id: int) -> FrameResult:
        tracked = self._objects[object_id]
        output, prompts = self._tracker.predict(frame, tracked), tracked.prompts[frame]
        if self.remove_small_components and not prompts.mask_given:
            clicks = self._to_input(prompts.positive_clicks) / MASK_STRIDE
            cleaned = remove_small_components(output.low_res_logits, clicks)
            (output,) = ObjectOutput.of(
                cleaned[None], output.iou[None], output.presence_logit[None], output.pointer[None]
            )
        prompts.output = output
        # The memory is encoded when it is needed: after most prompts comes another one.
        prompts.memory_encoded = False
        if prompts.with_memory:
            # What was tracked again for this correction goes, but for what the next click reads.
            tracked.bank.prune(frame + 1 if prompts.reverse else frame - 1, prompts.reverse)
        return self._result(frame, {object_id: output})

    # ------------------------------------------------------------------ propagation

    @override
    @suggests_arguments
    def propagate(
        self,
        object_ids: Iterable[int] | int | None = None,
        start: int | None = None,
        stop: int | None = None,
        reverse: bool = False,
    ) -> Iterator[FrameResult]:
        chosen = chosen_ids(object_ids)
        first = first_frame(self.frames, self._objects, chosen, start, stop, reverse)
        stop = None if stop is None else int(stop)
        masks_since_release = 0

        def track(frame: int) -> FrameResult:
            nonlocal masks_since_release
            next_frame = None if frame == stop else frame - 1 if reverse else frame + 1
            result = self.track_frame(frame, chosen, reverse, next_frame)
            masks_since_release += len(result.object_ids)
            if self.model.device.type == "cpu" and masks_since_release >= MASKS_BETWEEN_RELEASES:
                release_freed_memory()
                masks_since_release = 0
            return result

        return track_frames(self.frames, track, first, stop, reverse)

    @torch.inference_mode()
    def track_frame(
        self, frame: int, object_ids: list[int] | None, reverse: bool, next_frame: int | None = None
    ) -> FrameResult:
        """Track some objects, or all, on one frame, where they have no prompt.

        ``next_frame`` is the one that will be tracked afterwards, if it is known.

        Raises
        ------
        FrameIndexError
            If there is no such frame.
        UnreadableFrameError
            If it, or a prompted one, cannot be read.
        """
        ids, outputs, to_track = self._begin_frame(frame, object_ids, reverse)
        if to_track:
            given = {i: output.low_res_logits for i, output in outputs.items()}
            outputs |= self._tracker.track(frame, to_track, reverse, given=given)
            self._thin_out_checkpoints()
        elif not ids:
            # Nobody needs the pixels, but a live stream must move on.
            self._advance(frame)
        if to_track and next_frame is not None:
            self._encoder.look_ahead(next_frame)
        return self._frame_result(frame, reverse, {i: outputs[i] for i in ids}, to_track)

    @torch.inference_mode()
    def offer_frame(self, frame: int, object_ids: list[int], reverse: bool) -> "FrameOffer":
        """Return what objects are offered on a frame, of which :meth:`take_frame` lets them take something.

        In between, others may be asked who see another part of the frame.

        Raises
        ------
        FrameIndexError, UnreadableFrameError
            As :meth:`track_frame`.
        """
        ids, outputs, to_track = self._begin_frame(frame, object_ids, reverse)
        given = {i: output.low_res_logits for i, output in outputs.items()}
        offer = self._tracker.offer(frame, to_track, reverse, given=given) if to_track else None
        return FrameOffer(self._seen, frame, reverse, ids, outputs, offer)

    @torch.inference_mode()
    def take_frame(self, offered: "FrameOffer", chosen: Chosen | None) -> FrameResult:
        """Let objects have what was chosen of an offer, and return the frame's result."""
        outputs, to_track = dict(offered.outputs), {}
        if offered.offer is not None and chosen is not None:
            to_track = {i: self._objects[i] for i in offered.offer.pasts}
            outputs |= self._tracker.take(offered.offer, chosen, to_track)
        found = {i: outputs[i] for i in offered.ids}
        return self._frame_result(offered.frame, offered.reverse, found, to_track)

    def _begin_frame(
        self, frame: int, object_ids: list[int] | None, reverse: bool
    ) -> tuple[list[int], dict[int, ObjectOutput], dict[int, TrackedObject]]:
        """Return the objects that are on a frame, the outputs of prompted ones, and those to be tracked."""
        self._check_end(frame)
        ids = [i for i in self._objects if object_ids is None or i in object_ids]
        ids = [i for i in ids if self._objects[i].started(frame, reverse)]
        outputs: dict[int, ObjectOutput] = {}
        to_track: dict[int, TrackedObject] = {}
        self._tracker.encode_prompted(self._objects[i] for i in ids)
        for object_id in ids:
            tracked = self._objects[object_id]
            prompts = tracked.prompts.get(frame)
            if prompts is not None and prompts.output is not None:
                outputs[object_id] = prompts.output
            else:
                if self._stride is not None:
                    self._tracker.restore_window(tracked, frame, reverse)
                to_track[object_id] = tracked
        return ids, outputs, to_track

    def _frame_result(
        self,
        frame: int,
        reverse: bool,
        outputs: dict[int, ObjectOutput],
        tracked: Mapping[int, TrackedObject],
    ) -> FrameResult:
        result = self._result(frame, outputs)
        if not tracked:
            return result
        memories = [tracked[i].bank.tracked.get(frame) if i in tracked else None for i in outputs]
        notes = tuple(None if one is None else one.note for one in memories)
        change = self._tracker.scenes.found(frame, reverse)
        return replace(result, scene_change=change, notes=notes if any(notes) else ())

    def _check_end(self, frame: int) -> None:
        if self.frames.length is not None and frame >= self.frames.length:
            raise FrameIndexError(f"{self.frames.name} has no frame {frame}.")

    def _advance(self, frame: int) -> None:
        if self.frames.length is None:
            self.frames[frame]

    # ------------------------------------------------------------------ history

    def _thin_out_checkpoints(self) -> None:
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

    @override
    def encode(self, frame: int) -> ImageFeatures:
        return self._encoder.encode(frame)

    def _encode_wide(self, frame: int) -> ImageFeatures:
        """Return the wider view of a frame, encoded."""
        return encode_wide(self.model, self.cache, self.frames[frame], self.window, self.region)

    @property
    def _seen(self) -> Region:
        """What the model's input shows, in pixels; beyond the frame where it is padded."""
        x0, y0, x1, y1 = self.region or (0, 0, self.frames.shape[1], self.frames.shape[0])
        height, width = self.model.config.extent((y1 - y0, x1 - x0))
        return x0, y0, x0 + width, y0 + height

    @property
    def _sees_other_than_all(self) -> bool:
        return self._seen != (0, 0, self.frames.shape[1], self.frames.shape[0])

    def _to_input(self, coordinates: NDArray[np.float32]) -> NDArray[np.float32]:
        x0, y0, x1, y1 = self._seen
        scale = np.array([self.model.image_size / (x1 - x0), self.model.image_size / (y1 - y0)], np.float32)
        return (coordinates - np.array([x0, y0], np.float32)) * scale

    def _result(self, frame: int, outputs: dict[int, ObjectOutput]) -> FrameResult:
        if not outputs:
            return FrameResult.without_objects(frame, self.frames.shape)
        # All objects are fetched at once, as a GPU's work has to be waited for each time.
        values = torch.stack([output.values for output in outputs.values()]).cpu().numpy()
        side = self.model.low_res_size
        prompts = [self._objects[object_id].prompts.get(frame) for object_id in outputs]
        given = tuple(None if one is None else one.prompt.mask for one in prompts)
        presence_logits = values[:, -1].copy()
        for index, mask in enumerate(given):
            if mask is not None:  # a person says so, even of a mask that the model's input is too coarse for
                presence_logits[index] = -GIVEN_LOGIT if mask.is_empty else GIVEN_LOGIT
        return FrameResult(
            frame=frame,
            object_ids=tuple(outputs),
            low_res_logits=values[:, :-2].reshape(-1, side, side),
            presence=(1 / (1 + np.exp(-presence_logits))).astype(np.float32),
            predicted_iou=values[:, -2].copy(),
            shape=self.frames.shape,
            regions=(self._seen,) * len(outputs) if self._sees_other_than_all else (),
            given_masks=given if any(given) else (),
        )


def _warn_if_unseen(result: FrameResult, mask: CompressedMask) -> None:
    """Say that a given mask is too small for the model to see, if it is."""
    if (result.low_res_logits[0] > 0).any():
        return
    size, object_id = counted(int(mask.crop().sum()), "pixel"), result.object_ids[0]
    warnings.warn(
        f"The mask of object {object_id} on frame {result.frame} ({size}) is too small or too thin for the "
        "model to see: it stays as it was given, but the object cannot be tracked from it; draw it larger, "
        "or crop the frames around it.",
        InputWarning,
        stacklevel=3,
    )
