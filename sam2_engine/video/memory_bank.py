"""Memories of one object, and which of them a frame attends to (paper, section 4, "Memory bank").

A memory is read in one of three roles: of a conditioning frame (one that the user prompted), of one
of the last frames before the current one, or as an object pointer.
"""

from collections.abc import Container, Set
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from sam2_engine.modeling.derived_weights import derived, saves_launches, stream_dtype
from sam2_engine.modeling.grid_window import GridWindow
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.memory_policies.policy import GIVEN, REACH, FrameNote, MemoryPolicy

__all__ = ["FrameMemory", "MemoryBank", "MemoryInput", "MemoryReading", "ReadMemory", "assemble"]

_STEPS_AT_ONCE = 256
"""Differences in time of pointers whose positions are made at once on a GPU: 64 KB."""

_Roles = tuple[tuple[int, GridWindow | None], ...]
"""Slot and window of each memory of an object."""


@dataclass(frozen=True)
class FrameMemory:
    """What one frame left behind for one object.

    Attributes
    ----------
    features
        (Cm, G, G) bfloat16, as the official predictor stores memories, channels last in memory, or (Cm, h, w)
        of a window, or latents (Cm, 2, L); None once only the pointer can still be read.
    pointer
        (C,) object pointer.
    low_res_logits
        (4 G, 4 G) float32 logits of the frame, fed back when it is corrected; None with ``features``.
    reverse
        Whether the frame was tracked backwards.
    window
        The part of the grid that the features show; None for all of it.
    note
        What the memory policy knows of the frame; None of one that takes no notes, and of prompted frames.
    """

    features: Tensor | None
    pointer: Tensor
    low_res_logits: Tensor | None
    reverse: bool = False
    window: GridWindow | None = None
    note: FrameNote | None = None

    def pointer_only(self) -> "FrameMemory":
        """Return the part that stays readable after the recent memories have moved on."""
        return FrameMemory(None, self.pointer, None, self.reverse, note=self.note)


class ReadMemory(NamedTuple):
    """A memory in the role in which a frame attends to it.

    Attributes
    ----------
    slot
        0: of a conditioning frame; t: of the t-th last frame.
    features
        (Cm, G, G), or (Cm, h, w) of a window.
    window
        That window; None for the whole grid.
    """

    slot: int
    features: Tensor
    window: GridWindow | None = None


@dataclass
class MemoryReading:
    """The memories that one frame attends to, for one object.

    Attributes
    ----------
    memories
        Each in its role.
    pointers
        Pairs of time difference in frames and (C,) object pointer.
    """

    memories: list[ReadMemory] = field(default_factory=list)
    pointers: list[tuple[int, Tensor]] = field(default_factory=list)

    @property
    def layout(self) -> tuple[tuple[tuple[int, ...], ...], int]:
        """Shapes of the memories, number of pointers: objects of equal layout are computed as one batch."""
        return tuple(memory.features.shape for memory in self.memories), len(self.pointers)

    @property
    def num_memory_tokens(self) -> int:
        """Tokens of the memories, one for each cell."""
        return sum(memory.features.shape[1:].numel() for memory in self.memories)


class MemoryInput(NamedTuple):
    """The memories of N objects as memory attention takes them.

    Attributes
    ----------
    tokens, positions
        (N, K, Cm): memory tokens, then pointer tokens, and their positions.
    num_pointer_tokens
        How many of the K tokens belong to pointers.
    cells
        (N, K - pointers) cells of the grid where memory tokens lie; None for whole grids.
    """

    tokens: Tensor
    positions: Tensor
    num_pointer_tokens: int
    cells: Tensor | None = None


def select_conditioning(frames: list[int], frame: int, limit: int | None) -> list[int]:
    """Choose at most ``limit`` conditioning frames: closest before, closest at or after, then the nearest."""
    if limit is None or len(frames) <= limit:
        return sorted(frames)
    before = max((f for f in frames if f < frame), default=None)
    after = min((f for f in frames if f >= frame), default=None)
    chosen = [f for f in (before, after) if f is not None][:limit]
    rest = sorted((f for f in frames if f not in chosen), key=lambda f: abs(f - frame))
    return sorted(chosen + rest[: limit - len(chosen)])


class MemoryBank:
    """The memories of one object.

    Parameters
    ----------
    num_recent
        Recent memories that a frame reads (6 in the released models).
    max_pointers
        Object pointers that a frame reads beside those of conditioning frames, plus one (16).
    max_conditioning
        Conditioning frames that a frame reads; None for all.
    stride
        Distance of the checkpoints, each with the full window; None stores only what propagation
        reads again.
    policy
        Which memories are read beside those of conditioning frames.

    Attributes
    ----------
    conditioning, tracked
        Memories by frame.
    complete
        Last frame, and direction of tracking, after which nothing is missing that could be read; None if
        that is not known.
    """

    def __init__(
        self,
        num_recent: int,
        max_pointers: int = 16,
        max_conditioning: int | None = None,
        stride: int | None = None,
        policy: MemoryPolicy | None = None,
    ) -> None:
        self.policy = policy or MemoryPolicy()
        self.num_recent = num_recent
        self.max_pointers = max_pointers
        self.max_conditioning = max_conditioning
        self.stride = stride
        self.conditioning: dict[int, FrameMemory] = {}
        self.tracked: dict[int, FrameMemory] = {}
        self.complete: tuple[int, bool] | None = None
        self._checkpoints: dict[tuple[int, bool], frozenset[int]] = {}

    def read(self, frame: int, reverse: bool, conditioning: Set[int] | None = None) -> MemoryReading:
        """Return what ``frame`` attends to, forwards or in reverse.

        Parameters
        ----------
        frame
            The current frame.
        reverse
            Direction of the propagation.
        conditioning
            Restrict to these conditioning frames (those known when the frame was first tracked).
        """
        readable = [f for f in self.conditioning if conditioning is None or f in conditioning]
        chosen = select_conditioning(readable, frame, self.max_conditioning)
        step = -1 if reverse else 1
        reading = MemoryReading()
        for f in chosen:
            memory = self.conditioning[f]
            assert memory.features is not None
            reading.memories.append(ReadMemory(0, memory.features, memory.window))
            if (frame - f) * step >= 0:
                reading.pointers.append(((frame - f) * step, memory.pointer))
        if self.policy.takes_notes:
            self._recall(reading, frame, step, readable, chosen)
            return reading
        passed_over = {f: self.conditioning[f] for f in readable if f not in chosen}
        for slot in range(self.num_recent, 0, -1):
            recent = self._recent(frame - slot * step, passed_over)
            if recent is not None and recent.features is not None:
                reading.memories.append(ReadMemory(slot, recent.features, recent.window))
        for difference in range(1, self.max_pointers):
            recent = self._recent(frame - difference * step, passed_over)
            if recent is not None:
                reading.pointers.append((difference, recent.pointer))
        return reading

    def _recent(self, frame: int, passed_over: dict[int, FrameMemory]) -> FrameMemory | None:
        """A frame's memory in the role of a recent one; conditioning frames left out count here too."""
        return self.tracked.get(frame) or passed_over.get(frame)

    def _recall(
        self, reading: MemoryReading, frame: int, step: int, readable: list[int], chosen: list[int]
    ) -> None:
        """Add to a reading what the policy reads of the frames before, in the propagation's direction."""
        position, start = frame * step, min((f * step for f in readable), default=0)
        anchors, recents = self._select(frame, step, readable, chosen)
        for p in anchors:
            memory = self.tracked[p * step]
            assert memory.features is not None
            reading.memories.append(ReadMemory(0, memory.features, memory.window))
            reading.pointers.append((position - p, memory.pointer))
        for slot, p in sorted(recents, reverse=True):
            past = self._before(p, step, readable)
            assert past is not None
            assert past.features is not None
            reading.memories.append(ReadMemory(slot, past.features, past.window))
        for difference in range(1, self.max_pointers):
            p = position - difference
            if p < start or p in anchors or p * step in chosen:
                continue
            recent = self._before(p, step, readable)
            if recent is not None and self.policy.reads_pointer(recent.note or GIVEN):
                reading.pointers.append((difference, recent.pointer))

    def _select(
        self, frame: int, step: int, readable: list[int], chosen: list[int]
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the positions that the policy reads: anchors, and recent ones with their slots."""
        policy, position = self.policy, frame * step
        start = min((f * step for f in readable), default=position)
        before = self.note_before(frame, step < 0, readable)
        anchors = policy.read_anchors(position, before.anchors, len(chosen)) if before is not None else []
        anchors = [p for p in anchors if self._has_features(p * step)]
        notes: dict[int, FrameNote] = {}
        for p in range(max(start, position - 1 - REACH), position):
            memory = None if p in anchors or p * step in chosen else self._before(p, step, readable)
            if memory is not None and memory.features is not None:
                notes[p] = memory.note or GIVEN
        return anchors, policy.recents(position, notes, self.num_recent, len(chosen) + len(anchors), start)

    def _before(self, position: int, step: int, readable: list[int]) -> FrameMemory | None:
        """Return the memory of a position, if it was tracked in this direction or is a prompted one."""
        frame = position * step
        memory = self.tracked.get(frame)
        if memory is not None and memory.reverse == (step < 0):
            return memory if memory.note is None or memory.note.is_remembered else None
        return self.conditioning[frame] if frame in readable else None

    def _has_features(self, frame: int) -> bool:
        return frame in self.tracked and self.tracked[frame].features is not None

    def note_before(
        self, frame: int, reverse: bool, prompted: Container[int] | None = None
    ) -> FrameNote | None:
        """Return the note of the last tracked frame before one; None if the object was prompted since."""
        last = self.last_before(frame, reverse, prompted)
        return None if last is None else self.tracked[last].note

    def last_before(self, frame: int, reverse: bool, prompted: Container[int] | None = None) -> int | None:
        """Return the last frame tracked before one in a direction; None if the object was prompted since."""
        step = -1 if reverse else 1
        prompted = self.conditioning if prompted is None else prompted
        for f in range(frame - step, frame - step * (REACH + 1), -step):
            if f in prompted:
                return None
            memory = self.tracked.get(f)
            if memory is not None and memory.reverse == reverse:
                return f
        return None

    def _held(self, frame: int, reverse: bool) -> frozenset[int]:
        """Return the tracked frames that the policy may read after ``frame``: no later one reads others."""
        step = -1 if reverse else 1
        readable = list(self.conditioning)
        chosen = select_conditioning(readable, frame + step, self.max_conditioning)
        anchors, recents = self._select(frame + step, step, readable, chosen)
        before = self.note_before(frame + step, reverse)
        kept = {*anchors, *(p for _, p in recents), *(() if before is None else before.anchors)}
        return frozenset(p * step for p in kept if p * step in self.tracked)

    def complete_before(self, frame: int, reverse: bool) -> int | None:
        """Return the last frame before one after which nothing is missing: the end, or a checkpoint."""
        step = -1 if reverse else 1
        known = [*self._checkpoints, *(() if self.complete is None else (self.complete,))]
        frames = [f * step for f, r in known if r == reverse and f * step < frame * step]
        return max(frames) * step if frames else None

    def prune(self, frame: int, reverse: bool) -> None:
        """Forget the tracked frames that no frame after ``frame`` reads and nothing else needs."""
        held: frozenset[int] = frozenset()
        if self.policy.takes_notes:
            held = self._held(frame, reverse)
            if self._has_features(frame):  # not where the bank went back to an earlier frame meanwhile
                self.complete = (frame, reverse)
                self._checkpoints[self.complete] = held
            self._checkpoints = {at: kept for at, kept in self._checkpoints.items() if self._is_kept(*at)}
            held = held.union(*self._checkpoints.values())
        for f, memory in list(self.tracked.items()):
            if f in held:
                continue
            age = frame - f if not reverse else f - frame
            if self._needed(f, age, self.num_recent, memory.reverse):
                continue
            if not self._needed(f, age, self.max_pointers - 1, memory.reverse):
                del self.tracked[f]
            elif memory.features is not None:
                self.tracked[f] = memory.pointer_only()

    def _needed(self, frame: int, age: int, window: int, reverse: bool) -> bool:
        """Whether a window of so many frames, read later on, has ``frame`` in it."""
        if 0 <= age < window:
            return True
        # Propagation starts again from the first prompted frame, or backwards from the last.
        if self.conditioning and not self.policy.takes_notes:
            first, last = min(self.conditioning), max(self.conditioning)
            if 0 < first - frame <= window or 0 < frame - last <= window:
                return True
        # The last frames before a checkpoint, in the direction of the propagation.
        return self.stride is not None and self._since_checkpoint(frame, reverse) < window

    def _since_checkpoint(self, frame: int, reverse: bool) -> int:
        """Frames from one to the next checkpoint, in the direction of the propagation."""
        assert self.stride is not None
        return (frame if reverse else -frame - 1) % self.stride

    def _is_kept(self, frame: int, reverse: bool) -> bool:
        """Whether a frame is a checkpoint."""
        return self.stride is not None and self._since_checkpoint(frame, reverse) == 0

    def forget(self, from_frame: int) -> None:
        """Forget every tracked frame from ``from_frame`` on."""
        self.tracked = {f: memory for f, memory in self.tracked.items() if f < from_frame}
        self.complete = None
        self._checkpoints = {
            at: kept
            for at, kept in self._checkpoints.items()
            if at[0] < from_frame and all(f < from_frame for f in kept)
        }

    def exchange(self, other: "MemoryBank", since: int, frame: int, reverse: bool) -> None:
        """Exchange the memories of frames tracked since one, up to another, with those of another object.

        Anchors of before stay; that they were exchanged is noted of the objects that they are now.
        """
        low, high = sorted((since, frame))
        banks, kept = (self, other), []
        ranges = [
            {f: m for f, m in bank.tracked.items() if low <= f <= high and m.reverse == reverse}
            for bank in banks
        ]
        for bank in banks:
            last = bank.note_before(since, reverse)
            kept.append(() if last is None else last.anchors)
        for bank, mine, theirs, anchors in zip(banks, ranges, ranges[::-1], kept, strict=True):
            bank.tracked = {f: memory for f, memory in bank.tracked.items() if f not in mine}
            for f, memory in theirs.items():
                own = mine[f].note if f in mine else None
                exchanged = None if own is None else own.exchanged
                note = memory.note and replace(memory.note, anchors=anchors, exchanged=exchanged)
                bank.tracked[f] = replace(memory, note=note)

    @property
    def num_bytes(self) -> int:
        """Bytes held by tracked frames."""
        tensors = (t for m in self.tracked.values() for t in (m.features, m.pointer, m.low_res_logits))
        return sum(t.numel() * t.element_size() for t in tensors if t is not None)


def assemble(model: Sam2, readings: list[MemoryReading], max_pointers: int = 16) -> MemoryInput:
    """Stack the readings of N objects of equal layout as the input of memory attention.

    Parameters
    ----------
    model
        The model, for its position encodings.
    readings
        One per object; memories and pointers without a batch axis.
    max_pointers
        Normalizer of the pointers' time differences (differences are divided by this minus one).
    """
    tokens = [
        part
        for reading in readings
        for part in (
            *(memory.features.flatten(1).T for memory in reading.memories),
            *(pointer.view(-1, model.config.memory_dim) for _, pointer in reading.pointers),
        )
    ]
    memory = torch.cat(tokens)
    # Official sessions store memories in bfloat16, whatever is computed in.
    dtype = stream_dtype(memory) if torch.is_autocast_enabled(memory.device.type) else model.dtype
    memory = memory.to(dtype).view(len(readings), -1, model.config.memory_dim)
    # Objects that were prompted on the same frames have the same positions, which are made once.
    layouts = [
        (tuple((m.slot, m.window) for m in r.memories), tuple(step for step, _ in r.pointers))
        for r in readings
    ]
    positions = {layout: _positions(model, *layout, max_pointers, memory) for layout in layouts}
    if len(positions) == 1:
        memory_pos = positions[layouts[0]].expand(len(readings), -1, -1)
    else:
        memory_pos = torch.stack([positions[layout] for layout in layouts])
    per_pointer = model.config.hidden_dim // model.config.memory_dim
    windowed = any(window is not None for roles, _ in layouts for _, window in roles)
    cells = torch.stack([_cells(model, roles) for roles, _ in layouts]) if windowed else None
    return MemoryInput(memory, memory_pos, len(readings[0].pointers) * per_pointer, cells)


def _positions(
    model: Sam2, roles: _Roles, steps: tuple[int, ...], max_pointers: int, memory: Tensor
) -> Tensor:
    """Return the positions of one object's memory tokens, (K, Cm), in the type of the ``memory``."""
    parts = [model.memory_position(slot, memory.dtype) for slot, _ in roles]
    parts = [
        part if window is None else part[window.cells(model.grid, memory.device)]
        for part, (_, window) in zip(parts, roles, strict=True)
    ]
    per_pointer = model.config.hidden_dim // model.config.memory_dim
    if saves_launches(memory):
        pointers = (_pointer_position(model, step, max_pointers, memory.dtype) for step in steps)
        return torch.cat([*parts, *(one.expand(per_pointer, -1) for one in pointers)])
    if steps:
        differences = torch.tensor(steps, dtype=torch.float32, device=model.device) / (max_pointers - 1)
        parts.append(model.pointer_position(differences).repeat_interleave(per_pointer, dim=0))
    return torch.cat(parts)


def _pointer_position(model: Sam2, step: int, max_pointers: int, dtype: torch.dtype) -> Tensor:
    """Return the position of a pointer, (1, Cm), of a block that is made once for many frames to come."""
    first = step // _STEPS_AT_ONCE * _STEPS_AT_ONCE
    projection = [*model.obj_ptr_tpos_proj.parameters()] if model.config.signed_pointer_time else []

    def make() -> Tensor:
        steps = torch.arange(first, first + _STEPS_AT_ONCE, dtype=torch.float32, device=model.device)
        return model.pointer_position(steps / (max_pointers - 1)).to(dtype)

    made = derived(model, ("pointer positions", first, max_pointers, dtype), projection, make)
    return made[step - first, None]


def _cells(model: Sam2, roles: _Roles) -> Tensor:
    """Return the cells of the grid where one object's memory tokens lie."""
    whole = GridWindow(0, 0, model.grid, model.grid)
    return torch.cat([(window or whole).cells(model.grid, model.device) for _, window in roles])
