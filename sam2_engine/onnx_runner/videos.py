"""Objects through a video: the memories that each frame attends to, as the official model has them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .models import ExportedModel, Features, ModelFolderError, Prediction
from .pixels import resize_logits
from .prompts import encode_prompt

__all__ = ["VideoTracker"]

Floats = NDArray[np.float32]


class Frames(Protocol):
    """Frames of a video, (H, W) or (H, W, 3) of 8 bits each."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> NDArray[Any]: ...


@dataclass
class _Prompts:
    """Clicks and the box on a frame, as the model takes them, and what it made of them."""

    places: Floats
    kinds: NDArray[np.int64]
    prediction: Prediction


@dataclass
class _Object:
    """What is known of one object, by frame.

    Attributes
    ----------
    prompts
        Of prompted frames.
    memories
        (T, Cm) of prompted frames, and of the last tracked ones.
    pointers
        (C,) of the same, for longer.
    """

    prompts: dict[int, _Prompts] = field(default_factory=dict)
    memories: dict[int, Floats] = field(default_factory=dict)
    pointers: dict[int, Floats] = field(default_factory=dict)


class VideoTracker:
    """Objects that are prompted on some frames, and tracked from there on.

    Parameters
    ----------
    model
        An exported model with its parts for video.
    frames
        An array or a list of them, or whatever reads one at a time.
    """

    def __init__(self, model: ExportedModel, frames: Frames) -> None:
        if not model.tracks:
            raise ModelFolderError(f"{model.folder} was exported for images alone: export it with video.")
        self.model = model
        self.frames = frames
        self._objects: dict[int, _Object] = {}
        self._encoded: tuple[int, Features] | None = None
        self._size: tuple[int, ...] | None = None

    def add_prompt(
        self,
        frame: int,
        object_id: int,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
    ) -> NDArray[np.bool_]:
        """Click on an object, or box it, on a frame that was not tracked yet; return its (H, W) mask there.

        Clicks are added to those that were given on the frame.

        Raises
        ------
        ValueError
            If there is no such frame, it was tracked already, or the prompt cannot be meant.
        """
        if not 0 <= frame < len(self.frames):
            raise ValueError(f"There is no frame {frame}: there are {len(self.frames)}, counted from 0.")
        known = self._objects.get(object_id, _Object())
        if frame in known.pointers and frame not in known.prompts:
            raise ValueError(f"Frame {frame} was tracked already: give all prompts first, then track.")
        earlier, shape = known.prompts.get(frame), self._shape(frame)
        places, kinds = encode_prompt(
            shape, self.model.image_size, points, labels, box, corrects=earlier is not None
        )
        if earlier is not None:
            places, kinds = _added(earlier, places, kinds)
        features = self._encode(frame)
        several = self.model.card["masks"]["several_for_one_click"] and len(kinds) <= 1
        logits = None if earlier is None else earlier.prediction.logits[0]
        predicted = self.model.predict(
            features.without_memory, features, places, kinds, logits, several=several
        )
        known.prompts[frame] = _Prompts(places, kinds, self._shown(predicted))
        known.memories.pop(frame, None)
        self._objects[object_id] = known
        return resize_logits(known.prompts[frame].prediction.logits[0], shape) > 0

    def propagate(self) -> Iterator[tuple[int, dict[int, Floats]]]:
        """Track all objects from the first prompted frame to the end.

        Yields
        ------
        int
            The frame.
        dict
            By object, its (4 G, 4 G) logits; ``masks`` makes (H, W) masks of them.
        """
        if not self._objects:
            raise ValueError("Prompt an object first.")
        for frame in range(min(min(one.prompts) for one in self._objects.values()), len(self.frames)):
            started = {i: one for i, one in self._objects.items() if min(one.prompts) <= frame}
            self._remember_prompts(started)
            yield frame, {i: self._predict(frame, one).logits[0] for i, one in started.items()}

    def masks(self, frame: int, logits: dict[int, Floats]) -> dict[int, NDArray[np.bool_]]:
        """Return the (H, W) masks that logits on a frame mean."""
        shape = self._shape(frame)
        return {object_id: resize_logits(one, shape) > 0 for object_id, one in logits.items()}

    def _shape(self, frame: int) -> tuple[int, int]:
        height, width = self._read(frame).shape[:2]
        return height, width

    def _read(self, frame: int) -> NDArray[Any]:
        """Return a frame, which must be as large as the first one that was read."""
        read = self.frames[frame]
        self._size = self._size or read.shape[:2]
        if read.shape[:2] != self._size:
            raise ValueError(
                f"Frame {frame} is {read.shape[1]} wide and {read.shape[0]} high, others are {self._size[1]} "
                f"and {self._size[0]}: all frames of a video have one size."
            )
        return read

    def _encode(self, frame: int) -> Features:
        if self._encoded is None or self._encoded[0] != frame:
            self._encoded = frame, self.model.encode(self._read(frame))
        return self._encoded[1]

    def _shown(self, predicted: Prediction) -> Prediction:
        """Return the best mask, empty where the object is absent."""
        best = predicted.best()
        if best.presence_logit > 0:
            return best
        return best._replace(logits=np.full_like(best.logits, self.model.card["masks"]["no_object_logit"]))

    def _remember_prompts(self, objects: dict[int, _Object]) -> None:
        """Make the memories of prompted frames, those to come as well."""
        for one in objects.values():
            for frame, prompts in one.prompts.items():
                if frame not in one.memories:
                    self._remember(one, frame, prompts.prediction, is_prompted=True)

    def _remember(self, one: _Object, frame: int, predicted: Prediction, is_prompted: bool) -> None:
        memory = self.model.run(
            "memory_encoder",
            embedding=self._encode(frame).embedding,
            mask_logits=predicted.logits[None],
            presence_logit=np.array([[predicted.presence_logit]], np.float32),
            is_prompted=np.array([is_prompted], np.float32),
        )["memory"]
        one.memories[frame] = _as_bfloat16(memory[0])
        one.pointers[frame] = predicted.pointers[0]

    def _predict(self, frame: int, one: _Object) -> Prediction:
        if frame in one.prompts:
            return one.prompts[frame].prediction
        features = self._encode(frame)
        conditioned = self._attend(frame, one, features)
        several = self.model.card["masks"]["several_for_one_click"]
        predicted = self._shown(self.model.predict(conditioned, features, several=several))
        self._remember(one, frame, predicted, is_prompted=False)
        self._forget(one, frame)
        return predicted

    def _attend(self, frame: int, one: _Object, features: Features) -> Floats:
        """Return what an object sees of a frame: prompted frames, the last ones, and pointers to more."""
        rule = self.model.card["memory"]
        prompted = sorted(one.prompts)
        recent = [(slot, frame - slot) for slot in range(rule["recent"], 0, -1)]
        read = [(0, f) for f in prompted]
        read += [(slot, f) for slot, f in recent if f in one.memories and f not in one.prompts]
        pointed = [f for f in prompted if f <= frame]
        pointed += [
            frame - age
            for age in range(1, rule["pointers"])
            if frame - age in one.pointers and frame - age not in one.prompts
        ]
        # Where memories are pooled, a single one is not, and has a program of its own.
        alone = len(read) == 1 and "memory_attention_to_one" in self.model.card["parts"]
        return self.model.run(
            "memory_attention_to_one" if alone else "memory_attention",
            embedding=features.embedding,
            memories=np.stack([one.memories[f] for _, f in read])[None],
            slots=np.array([[slot for slot, _ in read]], np.int64),
            pointers=np.stack([one.pointers[f] for f in pointed])[None],
            pointer_ages=np.array([[frame - f for f in pointed]], np.float32),
        )["conditioned_embedding"]

    def _forget(self, one: _Object, frame: int) -> None:
        """Forget what no later frame reads."""
        rule = self.model.card["memory"]
        for kept, age in ((one.memories, rule["recent"]), (one.pointers, rule["pointers"] - 1)):
            for f in [f for f in kept if f not in one.prompts and f <= frame - age]:
                del kept[f]


def _added(earlier: _Prompts, places: Floats, kinds: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64]]:
    """Return earlier prompts with new ones, a box first; a new box takes the place of an earlier one."""
    kept = earlier.kinds < 2 if (kinds >= 2).any() else np.ones(len(earlier.kinds), bool)
    places, kinds = (
        np.concatenate([earlier.places[kept], places]),
        np.concatenate([earlier.kinds[kept], kinds]),
    )
    order = np.argsort(kinds < 2, kind="stable")
    return places[order], kinds[order]


def _as_bfloat16(values: Floats) -> Floats:
    """Round to the 8 bits of bfloat16, in which official sessions store memories."""
    bits = values.view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))
    return (rounded & np.uint32(0xFFFF0000)).view(np.float32)
