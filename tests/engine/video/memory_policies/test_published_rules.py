"""The memories, slots and pointers of policies, beside the published rules written down once more."""

import numpy as np
import pytest
import torch

from sam2_engine.video.memory_bank import FrameMemory, MemoryBank
from sam2_engine.video.memory_policies.distractors import DistractorAware
from sam2_engine.video.memory_policies.motion import Motion
from sam2_engine.video.memory_policies.policy import Candidates, FrameNote, MemoryPolicy

FRAMES = 90
Read = tuple[list[tuple[int, int]], list[tuple[int, int]]]
"""Slots and frames of memories, time differences and frames of pointers."""


def memory(frame: int, note: FrameNote | None, reverse: bool) -> FrameMemory:
    return FrameMemory(
        torch.full((1, 1, 1), frame), torch.full((1,), frame), torch.zeros(4, 4), reverse, None, note
    )


def as_read(bank: MemoryBank, frame: int, reverse: bool) -> Read:
    reading = bank.read(frame, reverse)
    memories = [(one.slot, int(one.features)) for one in reading.memories]
    return sorted(memories), sorted((step, int(pointer)) for step, pointer in reading.pointers)


def drawn(seed: int) -> dict[str, np.ndarray]:
    """Numbers as they are recorded: good stretches, bad ones, absences, another object seen now and then."""
    rng = np.random.default_rng(seed)
    bad = np.repeat(rng.random(FRAMES // 6 + 1) < 0.35, 6)[:FRAMES]
    iou = np.where(bad, rng.uniform(0.1, 0.7, FRAMES), rng.uniform(0.6, 0.99, FRAMES))
    presence = np.where(bad, rng.normal(0, 2, FRAMES), rng.uniform(1, 9, FRAMES))
    kappa = np.where(rng.random(FRAMES) < 0.2, 0.0, rng.uniform(0.1, 1, FRAMES))
    size = np.where(presence > 0, rng.integers(70, 130, FRAMES), 0)
    return {"iou": iou, "presence": presence, "kappa": kappa, "size": size, "other": rng.random(FRAMES) < 0.5}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_motion_reads_what_samurai_reads(seed: int, reverse: bool) -> None:
    given = drawn(seed)
    a, s = given["iou"], given["presence"]
    kappa = [None if f < 16 else float(k) for f, k in enumerate(given["kappa"])]
    bank, turn = MemoryBank(6, policy=Motion()), FRAMES if reverse else 0
    bank.conditioning[turn] = memory(turn, None, reverse)

    def number(f: int) -> int:
        return FRAMES - f if reverse else f

    for f in range(1, FRAMES):
        memories, pointers = samurai_reads(f, a, s, kappa)
        expected = sorted((slot, number(g)) for slot, g in memories), [(d, number(g)) for d, g in pointers]
        assert as_read(bank, number(f), reverse) == expected, f
        note = FrameNote(float(a[f]), float(s[f]), 1, (0, 0, 1, 1), motion_iou=kappa[f])
        bank.tracked[number(f)] = memory(number(f), note, reverse)
        bank.prune(number(f), reverse)
    with_features = [one for one in bank.tracked.values() if one.features is not None]
    assert len(with_features) <= 6 + 5


def samurai_reads(f: int, a: np.ndarray, s: np.ndarray, kappa: list[float | None]) -> Read:
    """Walk back as SAMURAI does, over everything that there ever was."""
    good = []
    for i in range(f - 1, 1, -1):
        k = kappa[i]
        if a[i] > 0.5 and s[i] > 0 and (k is None or k > 0):
            good.append(i)
        if len(good) == 15:
            break
    if f > 1 and f - 1 not in good:
        good = [f - 1, *good]
    memories = [(0, 0), *((slot, i) for slot, i in enumerate(good[:6], start=1))]
    pointers = [(d, f - d) for d in range(1, 16) if f - d >= 1]
    return memories, sorted([*pointers, (f, 0)])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_distractor_aware_reads_what_its_paper_says(seed: int, reverse: bool) -> None:
    given = drawn(seed + 10)
    policy, turn = DistractorAware(), FRAMES if reverse else 0
    bank, paper = MemoryBank(6, policy=policy), PaperMemory()
    bank.conditioning[turn] = memory(turn, None, reverse)

    def number(f: int) -> int:
        return FRAMES - f if reverse else f

    for f in range(1, FRAMES):
        memories, pointers = paper.reads(f)
        if reverse:
            memories = [(slot, number(g)) for slot, g in memories]
            pointers = [(d, number(g)) for d, g in pointers]
        assert as_read(bank, number(f), reverse) == (sorted(memories), sorted(pointers)), f
        size, iou = int(given["size"][f]), float(given["iou"][f])
        paper.track(f, size, iou, bool(given["other"][f]))
        before, position = bank.note_before(number(f), reverse), -number(f) if reverse else f
        areas = (*(before.areas if before else ()), size)[-10:] if size else before.areas if before else ()
        note = FrameNote(iou, float(given["presence"][f]), size, (0, 0, 1, 1), areas=areas)
        offered = candidates(iou, bool(given["other"][f]))
        anchors = policy.anchors(position, offered, note, before, -FRAMES if reverse else 0)
        note = FrameNote(iou, note.presence_logit, size, note.box, areas=areas, anchors=anchors)
        bank.tracked[number(f)] = memory(number(f), note, reverse)
        bank.prune(number(f), reverse)
    assert len(paper.added) > 3
    assert len([one for one in bank.tracked.values() if one.features is not None]) <= 6 + 6 + 4


class PaperMemory:
    """What DAM4SAM holds, over everything that there ever was; frame 0 is prompted."""

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}
        self.added: list[int] = []

    def track(self, f: int, size: int, iou: float, sees_another: bool) -> None:
        is_first = not self.sizes
        self.sizes[f] = size
        last = [n for n in self.sizes.values() if n][-10:]
        ratio = size / np.median(last) if last else 0
        waited = not self.added or f - self.added[-1] > 5
        if iou > 0.8 and 0.8 <= ratio <= 1.2 and size and not is_first and waited and sees_another:
            self.added.append(f)

    def reads(self, f: int) -> Read:
        conditioning = [0, *self.added]
        drm = {0}
        older = [c for c in conditioning if c < f - 1]
        if older:
            drm.add(max(older))
        for c in sorted(conditioning, key=lambda c: f - c):
            if len(drm) < 4 and c != f - 1:
                drm.add(c)
        tracked = [g for g in self.sizes if g not in self.added]
        ram: list[int] = []

        def usable(g: int, first: bool) -> bool:
            there = g in tracked or (first and g == f - 1 and g in self.sizes)
            return there and self.sizes[g] > 0 and g not in drm

        g = f - 1
        while g > 0 and not usable(g, True):
            g -= 1
        while g > 0 and len(ram) < 7 - len(drm):
            ram.append(g)
            g = 5 * ((g - 1) // 5)
            while g > 0 and not usable(g, False):
                g -= 5
        memories = [*((0, c) for c in drm), *((slot, g) for slot, g in enumerate(ram, start=1))]
        seen = [f - d for d in range(1, 16) if self.sizes.get(f - d, 0) and f - d not in drm]
        return memories, [*((f - c, c) for c in drm if c < f), *((f - g, g) for g in seen)]


def candidates(iou: float, sees_another: bool) -> Candidates:
    masks = np.zeros((3, 32, 32), bool)
    masks[:, 4:8, 4:8] = True
    if sees_another:
        masks[2, 20:26, 20:26] = True
    numbers = np.full(3, iou, np.float32)
    return Candidates(numbers, 5.0, np.zeros((3, 4), np.float32), np.full(3, 16), lambda: masks)


def test_a_policy_is_found_by_its_rules_alone() -> None:
    assert Motion() == Motion()
    assert Motion() != Motion(weight=0.15)
    assert MemoryPolicy() != DistractorAware()


def seen_at(x: float, iou: float = 0.9, presence: float = 5.0) -> Candidates:
    """Two places offered: x, and one far from it that looks better."""
    boxes = np.float32([[x, 40, x + 20, 60], [200, 40, 220, 60]])
    return Candidates(
        np.float32([iou, iou + 0.05]), presence, boxes, np.array([25, 25]), lambda: np.zeros((2, 8, 8), bool)
    )


def test_motion_stays_with_what_moves_on_where_another_looks_better() -> None:
    policy, note = Motion(), None
    for t in range(20):
        alone = seen_at(20 + 4 * t)
        offered = (
            alone if t >= 16 else Candidates(alone.predicted_iou[:1], 5.0, alone.boxes[:1], *alone_rest())
        )
        choice = policy.choose(offered, note)
        note = FrameNote(0.9, 5.0, 25, (0, 0, 0, 0), motion=choice.motion, motion_iou=choice.motion_iou)
        assert choice.index == 0, t
    assert note is not None
    assert note.motion is not None
    assert note.motion_iou is not None
    assert note.motion_iou > 0.8
    np.testing.assert_allclose(note.motion.mean[0], [20 + 4 * 19 + 10, 4], atol=1)

    # Hidden, it keeps its course, and it is where it was going to be.
    for _ in range(5):
        choice = policy.choose(seen_at(0, iou=0.1, presence=-6.0), note)
        note = FrameNote(0.1, -6.0, 0, (0, 0, 0, 0), motion=choice.motion)
    assert policy.choose(seen_at(20 + 4 * 25), note).index == 0
    assert policy.choose(seen_at(20 + 4 * 25), None).index == 1


def alone_rest() -> tuple[np.ndarray, object]:
    return np.array([25]), lambda: np.zeros((1, 8, 8), bool)


def test_the_filter_is_samurais() -> None:
    """One filter of eight values that depend on each other gives what four of two do."""
    rng, policy, note = np.random.default_rng(3), Motion(), None
    mean = covariance = None
    transition = np.eye(8) + np.eye(8, k=4)
    for t in range(30):
        x, y, w, h = 40 + 3 * t + rng.normal(), 50 + rng.normal(), 20 + rng.normal(), 30 + rng.normal()
        box = np.float32([[x, y, x + w, y + h]])
        offered = Candidates(np.float32([0.9]), 5.0, box, np.array([9]), lambda: np.zeros((1, 8, 8), bool))
        choice = policy.choose(offered, note)
        note = FrameNote(0.9, 5.0, 9, (0, 0, 0, 0), motion=choice.motion)
        x0, y0, x1, y1 = box[0].astype(float)
        z = np.array([(x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / (y1 - y0), y1 - y0])
        if mean is None:
            p, v = z[3] / 20, z[3] / 160
            mean = np.r_[z, np.zeros(4)]
            covariance = np.diag([2 * p, 2 * p, 1e-2, 2 * p, 10 * v, 10 * v, 1e-5, 10 * v]) ** 2
        else:
            p, v = mean[3] / 20, mean[3] / 160
            mean = transition @ mean
            noise = np.diag([p, p, 1e-2, p, v, v, 1e-5, v]) ** 2
            covariance = transition @ covariance @ transition.T + noise
            p = mean[3] / 20
            spread = covariance[:4, :4] + np.diag([p, p, 1e-1, p]) ** 2
            gain = covariance[:, :4] @ np.linalg.inv(spread)
            mean, covariance = mean + gain @ (z - mean[:4]), covariance - gain @ spread @ gain.T
        assert choice.motion is not None
        np.testing.assert_allclose(choice.motion.mean.T.ravel(), mean, rtol=1e-9)


def test_a_frame_whose_memory_is_gone_is_no_place_to_go_on_from() -> None:
    """The bank went back to frame 3, for a correction, and is thinned out by its last frame afterwards."""
    bank, note = MemoryBank(2, stride=2, policy=Motion()), FrameNote(0.9, 5.0, 1, (0, 0, 1, 1))
    bank.conditioning[0] = memory(0, None, False)
    for f in range(1, 9):
        bank.tracked[f] = memory(f, note, False)
        bank.prune(f, False)
    bank.tracked[3] = memory(3, note, False)
    bank.prune(3, False)
    assert bank.complete == (3, False)
    bank.stride = 64
    bank.tracked[8] = bank.tracked[8].pointer_only()
    bank.prune(8, False)
    assert bank.complete == (3, False)
    assert bank.complete_before(9, False) == 3
