"""The model's work on one frame of a session: prediction from prompts, tracking, and tracking again."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam2_engine.image.wide_view import EncodedPrompt, predict_in_views
from sam2_engine.modeling.approximations import WINDOWS
from sam2_engine.modeling.grid_window import GridWindow, crop_windows
from sam2_engine.modeling.sam2 import LOGIT_CLAMP, NO_OBJECT_LOGIT, ImageFeatures, MaskPrediction, Sam2
from sam2_engine.video.choosing import Chosen, Past, choose_all
from sam2_engine.video.memory_bank import FrameMemory, MemoryInput, MemoryReading, assemble
from sam2_engine.video.memory_policies.policy import FrameNote, MemoryPolicy
from sam2_engine.video.object_window import is_whole_turn, is_within, paste, window_around
from sam2_engine.video.scene_changes import SceneChange, SceneWatch
from sam2_engine.video.settlement import Overlapping
from sam2_engine.video.tracked_object import (
    FramePrompts,
    ObjectOutput,
    TrackedObject,
    TrackedRange,
    exchange_back,
)
from sam2_engine.video.weak_call import WeakCall

__all__ = ["Offer", "Tracker"]

T = TypeVar("T")
R = TypeVar("R")

_CPU_TOKENS = 2**13
"""Memory tokens attended to in one batch of objects; more would cost memory and gain no time."""
_GPU_BYTES = 2**31
"""For what a batch computes of its memory tokens on a GPU: launches are saved by few batches, up to here."""
_TOKEN_BYTES = 5 * 2
"""Per channel and token: projected, exchanged and rotated keys, values, and one more in passing."""
_LARGEST_MPS_TENSOR = 2**32 - 1
"""In bytes. Attention weights are written out there, and wrong beyond this (pytorch issue 149261)."""


class _Found(NamedTuple):
    """An object on a frame, the memory of it, the window that this shows (None for all), and the note."""

    output: ObjectOutput
    memory: Tensor
    window: GridWindow | None
    note: FrameNote | None = None


def _weak(method: Callable[[T], R]) -> Callable[[T], R]:
    """Return a function that calls a method as long as its object lives."""
    return WeakCall(method)


class Offer(NamedTuple):
    """What the model offers the objects of a session on a frame, before it is settled what each gets.

    Attributes
    ----------
    frame, reverse, conditioning
        As for ``Tracker.track``.
    embedding
        Of the frame.
    prediction
        The candidates of all objects.
    pasts
        What is known of each before the frame, by id, in the order of the candidates.
    windows
        The window of each that it was found in, or None.
    given
        Logits of other objects that are prompted on the frame, by id.
    """

    frame: int
    reverse: bool
    conditioning: frozenset[int] | None
    embedding: Tensor
    prediction: MaskPrediction
    pasts: dict[int, Past]
    windows: list[GridWindow | None]
    given: dict[int, Tensor]


class Tracker:
    """Runs the model for the objects of one session.

    Parameters
    ----------
    model
        A loaded model.
    features
        The session's method that returns the encoded frame of a number. No method keeps the session
        alive: without a cycle, its memories are freed as soon as nobody uses it.
    wide_features
        Its method that returns the wider view of a frame, encoded.
    to_input
        Its method that maps (P, 2) frame coordinates to input pixels.
    max_object_pointers
        Object pointers that a frame reads, and the normalizer of their time.
    policy
        What is remembered.
    overlapping
        Which objects may share pixels.
    """

    def __init__(
        self,
        model: Sam2,
        features: Callable[[int], ImageFeatures],
        wide_features: Callable[[int], ImageFeatures],
        to_input: Callable[[NDArray[np.float32]], NDArray[np.float32]],
        max_object_pointers: int,
        policy: MemoryPolicy,
        overlapping: Overlapping,
    ) -> None:
        self.model = model
        self.policy = policy
        self.overlapping = overlapping
        self.scenes = SceneWatch()
        self.takes_notes = policy.takes_notes or not overlapping.everything
        self.features = _weak(features)
        self.wide_features = _weak(wide_features)
        self.to_input = _weak(to_input)
        self.max_object_pointers = max_object_pointers

    def predict(self, frame: int, tracked: TrackedObject) -> ObjectOutput:
        """Predict one object on a frame from its prompts there."""
        prompts = tracked.prompts[frame]
        features = self.features(frame)
        with self.model.autocast():
            if prompts.mask is not None:
                prediction, pointer = self.model.mask_as_output(features, prompts.mask)
            else:
                prediction = self._decode_prompts(frame, tracked, prompts, features)
                pointer = self.model.object_pointer(prediction.tokens[:, 0], prediction.presence_logit)
        return _outputs(prediction, pointer)[0]

    def _decode_prompts(
        self, frame: int, tracked: TrackedObject, prompts: FramePrompts, features: ImageFeatures
    ) -> MaskPrediction:
        model = self.model
        encoded = prompts.encoded_points()
        assert encoded is not None
        coordinates, labels = encoded
        previous = tracked.logits_on(frame)
        prompt = EncodedPrompt(
            points=torch.from_numpy(self.to_input(coordinates))[None].to(model.device),
            labels=torch.from_numpy(labels)[None].to(model.device),
            mask_logits=None if previous is None else previous.clamp(-LOGIT_CLAMP, LOGIT_CLAMP)[None, None],
            multimask=model.config.multimask_output_in_sam and len(labels) <= 1,
        )
        conditioned = self._conditioned(frame, tracked, prompts, features)
        if conditioned is not None:
            prediction = prompt.predict(model, conditioned, features.high_res)
        else:
            # The memory shows the mask in the usual view, as all memories do, whichever view it is from.
            prediction = predict_in_views(model, features, lambda: self.wide_features(frame), prompt)
        return _empty_absent(prediction.best())

    def _conditioned(
        self, frame: int, tracked: TrackedObject, prompts: FramePrompts, features: ImageFeatures
    ) -> Tensor | None:
        """Return the embedding of a tracked frame that attends to memory; None of any other."""
        if not prompts.with_memory:
            return None
        # What was prompted since the last propagation is not read yet, as in the official predictor.
        reading = tracked.bank.read(frame, prompts.reverse)
        if not reading.memories:
            return None
        inputs = assemble(self.model, [reading], self.max_object_pointers)
        return self.model.attend_to_memory(features.embedding, *inputs)

    def encode_prompted(self, objects: Iterable[TrackedObject]) -> None:
        """Make conditioning memories of the frames that were prompted since the last time."""
        prompted: dict[int, list[TrackedObject]] = {}
        for tracked in objects:
            for frame, prompts in tracked.prompts.items():
                if prompts.output is not None and not prompts.memory_encoded:
                    prompted.setdefault(frame, []).append(tracked)
        size = self._batch_size(self.model.grid**2, 0)
        for frame, members in prompted.items():
            for part in (members[i : i + size] for i in range(0, len(members), size)):
                self._encode_batch(frame, part)

    def _encode_batch(self, frame: int, objects: list[TrackedObject]) -> None:
        """Make conditioning memories of the objects that were prompted on a frame."""
        outputs = [tracked.prompts[frame].output for tracked in objects]
        values = torch.stack([output.values for output in outputs if output is not None])
        side, features = self.model.low_res_size, self.features(frame)
        for reverse in (False, True):
            self.scenes.notice(frame, reverse, features.embedding)
        with self.model.autocast():
            memories = self.model.encode_memory(
                features.embedding,
                values[:, :-2].view(-1, 1, side, side),
                values[:, -1:],
                binarize=True,
            )
        for tracked, memory in zip(objects, _channels_last(memories), strict=True):
            prompts = tracked.prompts[frame]
            assert prompts.output is not None
            tracked.bank.conditioning[frame] = FrameMemory(
                memory.bfloat16(), prompts.output.pointer, None, prompts.reverse
            )
            tracked.bank.tracked.pop(frame, None)
            prompts.memory_encoded = True

    def track(
        self,
        frame: int,
        objects: dict[int, TrackedObject],
        reverse: bool,
        conditioning: frozenset[int] | None = None,
        given: dict[int, Tensor] | None = None,
    ) -> dict[int, ObjectOutput]:
        """Track objects on one frame, those of equal memory layout as one batch, and store their memories.

        Parameters
        ----------
        frame, objects, reverse
            Where, which, by id, and in which direction.
        conditioning
            To track a frame again: the conditioning frames of then.
        given
            Logits of other objects that are prompted on the frame, by id.
        """
        if self.takes_notes:
            offer = self.offer(frame, objects, reverse, conditioning, given)
            chosen = choose_all(self.policy, offer.prediction, offer.pasts, self.overlapping, offer.given)
            return self.take(offer, chosen, objects)
        features = self.features(frame)
        readings = {i: tracked.bank.read(frame, reverse, conditioning) for i, tracked in objects.items()}
        with self.model.autocast():
            frame_tokens = self.model.begin_attention(features.embedding)
            windows = {i: self._window(frame, tracked, reverse) for i, tracked in objects.items()}
            found = self._track_all(features, frame_tokens, readings, windows)
            # What left its window is looked for on the whole frame.
            missed = {i: reading for i, reading in readings.items() if i not in found}
            found |= self._track_all(features, frame_tokens, missed, dict.fromkeys(missed))
        return self._remember(frame, objects, reverse, conditioning, features.embedding, found)

    def offer(
        self,
        frame: int,
        objects: dict[int, TrackedObject],
        reverse: bool,
        conditioning: frozenset[int] | None = None,
        given: dict[int, Tensor] | None = None,
    ) -> Offer:
        """Return what the model offers objects on a frame; parameters as for :meth:`track`."""
        features = self.features(frame)
        readings = {i: tracked.bank.read(frame, reverse, conditioning) for i, tracked in objects.items()}
        pasts = {i: tracked.past(frame, reverse, conditioning) for i, tracked in objects.items()}
        with self.model.autocast():
            frame_tokens = self.model.begin_attention(features.embedding)
            windows = {i: self._window(frame, tracked, reverse) for i, tracked in objects.items()}
            offered = list(self._candidates(features, frame_tokens, readings, windows))
            found = {object_id for part, _ in offered for object_id in part}
            missed = {i: reading for i, reading in readings.items() if i not in found}
            offered += self._candidates(features, frame_tokens, missed, dict.fromkeys(missed))
        ids = [object_id for part, _ in offered for object_id in part]
        prediction = MaskPrediction.joined([one for _, one in offered])
        earlier = [None if i in missed else windows[i] for i in ids]
        pasts = {i: pasts[i] for i in ids}
        return Offer(
            frame, reverse, conditioning, features.embedding, prediction, pasts, earlier, given or {}
        )

    def take(
        self, offer: Offer, chosen: Chosen, objects: dict[int, TrackedObject]
    ) -> dict[int, ObjectOutput]:
        """Let objects have what was chosen of an offer, and store their memories; return their outputs."""
        notes, pasts = chosen.notes, offer.pasts
        present = chosen.prediction.presence_logit - self.policy.presence_threshold
        are_anchors = [
            past.position in note.anchors for past, note in zip(pasts.values(), notes, strict=True)
        ]
        with self.model.autocast():
            pointers = self.model.object_pointer(chosen.prediction.tokens[:, 0], present)
            memories = self._encode(
                offer.embedding,
                chosen.prediction.low_res_logits,
                chosen.prediction.presence_logit,
                offer.windows,
                are_anchors,
            )
        outputs = _outputs(chosen.prediction, pointers)
        found = {
            i: _Found(output, memory, window, note)
            for i, output, (memory, window), note in zip(pasts, outputs, memories, notes, strict=True)
        }
        return self._remember(offer.frame, objects, offer.reverse, offer.conditioning, offer.embedding, found)

    def _remember(
        self,
        frame: int,
        objects: dict[int, TrackedObject],
        reverse: bool,
        conditioning: frozenset[int] | None,
        embedding: Tensor,
        found: dict[int, _Found],
    ) -> dict[int, ObjectOutput]:
        """Store what was found of objects on a frame; return their outputs."""
        if conditioning is None:
            self.scenes.notice(frame, reverse, embedding)
        # Only whoever forgets by it has to wait for what was noticed.
        change = self.scenes.found(frame, reverse) if self.policy.takes_notes else SceneChange.NONE
        forgets = bool(change)
        for object_id, tracked in objects.items():
            output, memory, window, note = found[object_id]
            if note is not None and forgets:
                note = note.forgotten(-frame if reverse else frame, change is SceneChange.BLANK)
            if conditioning is None:
                tracked.record(frame, reverse, note)
            kept = None if forgets else memory.bfloat16()
            tracked.bank.tracked[frame] = FrameMemory(
                kept, output.pointer, output.low_res_logits, reverse, window, note
            )
        if conditioning is not None:
            return {i: found[i].output for i in objects}
        taken = exchange_back(objects, frame, reverse)
        for tracked in objects.values():
            tracked.bank.prune(frame, reverse)
        return {i: found[taken.get(i, i)].output for i in objects}

    def _window(self, frame: int, tracked: TrackedObject, reverse: bool) -> GridWindow | None:
        """Return the part of a frame that an object is looked for in; None for all of it."""
        if WINDOWS not in self.model.approximations or is_whole_turn(frame):
            return None
        before = frame + 1 if reverse else frame - 1
        memory = tracked.bank.tracked.get(before)
        if memory is not None and memory.window is not None:
            return memory.window
        logits = tracked.logits_on(before)
        return None if logits is None else window_around(logits)

    def _track_all(
        self,
        features: ImageFeatures,
        frame_tokens: Tensor,
        readings: dict[int, MemoryReading],
        windows: dict[int, GridWindow | None],
    ) -> dict[int, _Found]:
        """Track objects on a frame, as many at once as there is room for; those that left a window miss."""
        found: dict[int, _Found] = {}
        for part in self._batches(readings, windows):
            inputs = assemble(self.model, [readings[i] for i in part], self.max_object_pointers)
            parts_windows = [window for i in part if (window := windows[i]) is not None]
            batch = self._track_batch(features, frame_tokens, inputs, parts_windows or None)
            found |= {part[index]: one for index, one in batch.items()}
        return found

    def _batches(
        self, readings: dict[int, MemoryReading], windows: Mapping[int, GridWindow | None]
    ) -> Iterator[list[int]]:
        """Yield objects that are computed together: of equal layout, as many as there is room for."""
        groups: dict[object, list[int]] = {}
        for object_id, reading in readings.items():
            window = windows.get(object_id)
            groups.setdefault((reading.layout, window and window.size), []).append(object_id)
        for members in groups.values():
            reading = readings[members[0]]
            size = self._batch_size(reading.num_memory_tokens, len(reading.pointers))
            yield from (members[i : i + size] for i in range(0, len(members), size))

    def _candidates(
        self,
        features: ImageFeatures,
        frame_tokens: Tensor,
        readings: dict[int, MemoryReading],
        windows: Mapping[int, GridWindow | None],
    ) -> Iterator[tuple[list[int], MaskPrediction]]:
        """Yield objects with their candidates on the whole frame; those that left a window miss."""
        for part in self._batches(readings, windows):
            inputs = assemble(self.model, [readings[i] for i in part], self.max_object_pointers)
            within = [window for i in part if (window := windows[i]) is not None]
            prediction = self._predict_batch(features, frame_tokens, inputs, within or None)
            if not within:
                yield part, prediction
                continue
            best, grid = _empty_absent(prediction.best()).low_res_logits[:, 0], self.model.grid
            rows = [n for n, window in enumerate(within) if is_within(best[n], window, grid)]
            if rows:
                masks = [
                    torch.stack([paste(one, within[n], grid) for one in prediction.low_res_logits[n].float()])
                    for n in rows
                ]
                yield [part[n] for n in rows], replace(prediction.of(rows), low_res_logits=torch.stack(masks))

    def _encode(
        self,
        embedding: Tensor,
        logits: Tensor,
        presence_logit: Tensor,
        earlier: Sequence[GridWindow | None],
        are_anchors: Sequence[bool],
    ) -> list[tuple[Tensor, GridWindow | None]]:
        """Return memories of masks (N, 1, 4 G, 4 G), each of the window that it shows, if it shows one.

        Those of anchors count as certain, as of prompted frames.
        """
        windowed = WINDOWS in self.model.approximations
        windows = [
            window_around(one, before) if windowed else None for (one,), before in zip(logits, earlier)
        ]
        groups: dict[tuple[tuple[int, int] | None, bool], list[int]] = {}
        for row, (window, is_anchor) in enumerate(zip(windows, are_anchors, strict=True)):
            groups.setdefault((window and window.size, is_anchor), []).append(row)
        memories: dict[int, Tensor] = {}
        size = self._batch_size(self.model.grid**2, 0)
        for (_, binarize), members in groups.items():
            for part in (members[i : i + size] for i in range(0, len(members), size)):
                within = [window for row in part if (window := windows[row]) is not None] or None
                encoded = self.model.encode_memory(
                    embedding,
                    logits[part] if within is None else crop_windows(logits[part], within, 4),
                    presence_logit[part],
                    binarize=binarize,
                    windows=within,
                )
                memories |= zip(part, _channels_last(encoded), strict=True)
        return [(memories[row], window) for row, window in enumerate(windows)]

    def _batch_size(self, memory_tokens: int, pointers: int) -> int:
        """Return how many objects with so many tokens of memories, and pointers, are computed together."""
        config, queries = self.model.config, self.model.grid**2
        tokens = max(memory_tokens, queries)
        if self.model.device.type == "cpu":
            return max(1, _CPU_TOKENS // tokens)
        tokens += pointers * (config.hidden_dim // config.memory_dim)
        size = _GPU_BYTES // (tokens * config.hidden_dim * _TOKEN_BYTES)
        if self.model.device.type == "mps":
            size = min(size, _LARGEST_MPS_TENSOR // (4 * queries * tokens))
        return max(1, size)

    def _track_batch(
        self,
        features: ImageFeatures,
        frame_tokens: Tensor,
        memories: MemoryInput,
        windows: list[GridWindow] | None,
    ) -> dict[int, _Found]:
        """Track objects of one layout, on the frame or in windows of one size; those found, by index."""
        model = self.model
        prediction = _empty_absent(self._predict_batch(features, frame_tokens, memories, windows).best())
        pointer = model.object_pointer(prediction.tokens[:, 0], prediction.presence_logit)
        outputs = _outputs(prediction, pointer)
        if WINDOWS not in model.approximations:
            encoded = model.encode_memory(
                features.embedding, prediction.low_res_logits, prediction.presence_logit, binarize=False
            )
            remembered = zip(outputs, _channels_last(encoded), strict=True)
            return {i: _Found(output, memory, None) for i, (output, memory) in enumerate(remembered)}
        if windows is None:
            return self._with_memories(features, dict(enumerate(outputs)), None)
        within = {
            i: output.pasted(windows[i], model.grid)
            for i, output in enumerate(outputs)
            if is_within(output.low_res_logits, windows[i], model.grid)
        }
        return self._with_memories(features, within, windows)

    def _predict_batch(
        self,
        features: ImageFeatures,
        frame_tokens: Tensor,
        memories: MemoryInput,
        windows: list[GridWindow] | None,
    ) -> MaskPrediction:
        """Return the candidates of objects of one layout."""
        embedding = self.model.attend_to_memory(
            features.embedding, *memories, frame_tokens=frame_tokens, windows=windows
        )
        return self.model.predict_masks(
            embedding,
            features.high_res,
            pad_empty=True,
            multimask=self.model.config.multimask_output_in_sam,
            windows=windows,
        )

    def _with_memories(
        self, features: ImageFeatures, outputs: dict[int, ObjectOutput], earlier: list[GridWindow] | None
    ) -> dict[int, _Found]:
        """Encode the memories of a frame's outputs, each in the window around its object."""
        if not outputs:
            return {}
        logits = torch.stack([output.low_res_logits for output in outputs.values()])[:, None]
        presence = torch.stack([output.presence_logit for output in outputs.values()])[:, None]
        before = [earlier[i] if earlier else None for i in outputs]
        memories = self._encode(features.embedding, logits, presence, before, [False] * len(outputs))
        found = zip(outputs.items(), memories, strict=True)
        return {i: _Found(output, memory, window) for (i, output), (memory, window) in found}

    def restore(self, tracked: TrackedObject, frame: int) -> None:
        """Compute a tracked frame's memory again, by tracking on from a checkpoint."""
        if self.policy.takes_notes:
            self._restore_noted(tracked, frame)
            return
        pending: list[tuple[int, TrackedRange]] = []
        seen: set[int] = set()
        wanted = [frame]
        while wanted:
            f = wanted.pop()
            tracked_range = tracked.range_of(f)
            if f in seen or tracked_range is None or self._has_memory(tracked, f):
                continue
            seen.add(f)
            pending.append((f, tracked_range))
            wanted += self._window_before(f, tracked_range.reverse)
        for f, tracked_range in sorted(pending, key=lambda item: -item[0] if item[1].reverse else item[0]):
            self.track(f, {0: tracked}, tracked_range.reverse, tracked_range.conditioning)

    def restore_window(self, tracked: TrackedObject, frame: int, reverse: bool) -> None:
        """Compute the memories again that ``frame`` reads."""
        if self.policy.takes_notes:
            self._restore_before(tracked, frame, reverse)
            return
        for f in self._window_before(frame, reverse):
            self.restore(tracked, f)

    def _restore_noted(self, tracked: TrackedObject, frame: int) -> None:
        """Compute a frame's memory again where the policy chooses what is read."""
        tracked_range = tracked.range_of(frame)
        if tracked_range is not None and not self._has_memory(tracked, frame):
            self._restore_before(tracked, frame, tracked_range.reverse)
            self.track(frame, {0: tracked}, tracked_range.reverse, tracked_range.conditioning)

    def _restore_before(self, tracked: TrackedObject, frame: int, reverse: bool) -> None:
        """Track on from the last checkpoint, so that nothing is missing that the policy reads on a frame."""
        step, bank = -1 if reverse else 1, tracked.bank
        first = bank.complete_before(frame, reverse)
        if first is None:
            ends = [end for one in tracked.tracked_ranges for end in (one.first, one.last)]
            first = min((end * step for end in ends), default=frame * step) * step - step
        for f in range(first + step, frame, step):
            tracked_range = tracked.range_of(f)
            if f not in tracked.prompts and tracked_range is not None and tracked_range.reverse == reverse:
                self.track(f, {0: tracked}, reverse, tracked_range.conditioning)
        bank.complete = (frame - step, reverse)

    def _window_before(self, frame: int, reverse: bool) -> list[int]:
        step = -1 if reverse else 1
        return [frame - step * slot for slot in range(1, self.model.config.num_recent_memories + 1)]

    @staticmethod
    def _has_memory(tracked: TrackedObject, frame: int) -> bool:
        memory = tracked.bank.tracked.get(frame)
        return frame in tracked.prompts or (memory is not None and memory.features is not None)


def _empty_absent(prediction: MaskPrediction) -> MaskPrediction:
    """Empty the masks of objects that are not on the frame."""
    absent = (prediction.presence_logit <= 0)[..., None, None]
    logits = torch.where(absent, NO_OBJECT_LOGIT, prediction.low_res_logits.float())
    return MaskPrediction(logits, prediction.iou, prediction.presence_logit, prediction.tokens)


def _outputs(prediction: MaskPrediction, pointers: Tensor) -> list[ObjectOutput]:
    return ObjectOutput.of(
        prediction.low_res_logits[:, 0], prediction.iou[:, 0], prediction.presence_logit[:, 0], pointers
    )


def _channels_last(memories: Tensor) -> Tensor:
    """Return (N, Cm, G, G) laid out token by token, as they are read."""
    return memories.contiguous(memory_format=torch.channels_last)
