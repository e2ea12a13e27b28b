"""Two that were taken for each other while they met: noticed by their courses, and exchanged back."""

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video import choosing
from sam2_engine.video.crossings import Sighting
from sam2_engine.video.identities import watch
from sam2_engine.video.memory_bank import FrameMemory, MemoryBank
from sam2_engine.video.memory_policies.policy import Exchange, FrameNote
from sam2_engine.video.settlement import Overlapping
from sam2_engine.video.video_session import VideoSession

NOTE = FrameNote(0.9, 5.0, 50, (0, 0, 1, 1))
APART = Overlapping(False)
Place = float | None


def watched(
    places: Mapping[int, list[Place]],
    step: int = 1,
    overlapping: Overlapping = APART,
    prompted: tuple[int, int] | None = None,
) -> Iterator[tuple[int, dict[int, FrameNote]]]:
    """Notes of objects that move along a line, by frame; one may be prompted on a frame."""
    before: dict[int, FrameNote | None] = dict.fromkeys(places)
    length = len(next(iter(places.values())))
    for number in range(length):
        frame = number if step > 0 else length - 1 - number
        seen = {
            i: None if x[number] is None else Sighting(frame * step, x[number], 20.0, 50.0)
            for i, x in places.items()
        }
        notes = watch(dict.fromkeys(places, NOTE), before, seen, frame * step, step, overlapping)
        yield frame, notes
        before = {i: None if (i, number) == prompted else note for i, note in notes.items()}


def exchanges(places: Mapping[int, list[Place]], **options: object) -> dict[tuple[int, int], Exchange]:
    return {
        (frame, i): note.exchanged
        for frame, notes in watched(places, **options)  # type: ignore[arg-type]
        for i, note in notes.items()
        if note.exchanged is not None
    }


def crossing(exchanged: bool = True, hidden: bool = True) -> dict[int, list[Place]]:
    """Two pass each other; the one behind is not seen for some frames."""
    one: list[Place] = [10 + 2.0 * t for t in range(26)]
    other: list[Place] = [60 - 2.0 * t for t in range(26)]
    if hidden:
        other[11:15] = [None] * 4
    if exchanged:
        one[13:], other[13:] = other[13:], one[13:]
    return {1: one, 2: other, 3: [90.0] * 26}


@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize("step", [1, -1])
def test_it_is_noticed_both_ways_and_once(hidden: bool, step: int) -> None:
    found = exchanges(crossing(hidden=hidden), step=step)
    ((frame, first), (again, second)) = found
    assert (frame, first, second) == (again, 1, 2)
    since = found[frame, 1].since
    assert found[frame, 1] == Exchange(2, since)
    assert found[frame, 2] == Exchange(1, since)
    assert abs(since - (13 if step > 0 else 12)) <= 2
    assert (frame - since) * step > 0


def test_who_goes_straight_on_is_left_alone() -> None:
    assert not exchanges(crossing(exchanged=False))


def test_parts_of_each_other_and_who_is_prompted_meanwhile_are_left_alone() -> None:
    assert not exchanges(crossing(), overlapping=Overlapping.of([(1, 2)]))
    assert not exchanges(crossing(), prompted=(2, 16))


def test_what_is_noted_does_not_grow() -> None:
    """Twelve that wander among each other for long."""
    rng = np.random.default_rng(0)
    places = {i: list(np.cumsum(rng.normal(0, 2, 400)) + 15 * i) for i in range(12)}
    sizes = [
        (len(note.course), len(note.meetings)) for _, notes in watched(places) for note in notes.values()
    ]
    assert max(course for course, _ in sizes) == 6
    assert max(meetings for _, meetings in sizes) <= 11


def bank_of(name: float, anchors: tuple[int, ...]) -> MemoryBank:
    bank = MemoryBank(6)
    for frame in range(10):
        note = FrameNote(0.9, 5.0, 50, (0, 0, 1, 1), anchors=anchors)
        bank.tracked[frame] = FrameMemory(torch.full((1,), name), torch.full((1,), name), None, note=note)
    return bank


def test_memories_since_then_are_exchanged() -> None:
    one, other = bank_of(1.0, (2,)), bank_of(2.0, (3, 8))
    kept = one.tracked[9].pointer
    one.exchange(other, since=6, frame=8, reverse=False)
    assert [memory.pointer.item() for memory in one.tracked.values()] != [1.0] * 10
    assert {f for f, memory in one.tracked.items() if memory.pointer.item() == 2.0} == {6, 7, 8}
    assert {f for f, memory in other.tracked.items() if memory.pointer.item() == 1.0} == {6, 7, 8}
    assert one.tracked[9].pointer is kept
    notes = [one.tracked[8].note, other.tracked[8].note]
    assert [note and note.anchors for note in notes] == [(2,), (3, 8)]


@pytest.fixture
def exchanging(monkeypatch: pytest.MonkeyPatch) -> None:
    """On position 5 each of both objects has been the other one since 3."""

    def watching(notes: dict[int, FrameNote], *given: object) -> dict[int, FrameNote]:
        result = watch(notes, *given)  # type: ignore[arg-type]
        if given[2] != 5 or len(notes) < 2:
            return result
        pairs = {1: Exchange(2, 3), 2: Exchange(1, 3)}
        return {i: FrameNote(**{**vars(note), "exchanged": pairs[i]}) for i, note in result.items()}

    monkeypatch.setattr(choosing, "watch", watching)


def tracked(
    model: Sam2, frames: NDArray[np.uint8], stop: int
) -> tuple[VideoSession, list[NDArray[np.bool_]]]:
    session = VideoSession(model, frames, overlapping=False)
    session.add_points(0, 1, (20, 20))
    session.add_points(0, 2, (60, 40))
    return session, [result.masks for result in session.propagate(stop=stop)]


def test_a_session_goes_on_with_what_was_exchanged(
    small_model: Sam2, moving_discs: NDArray[np.uint8], request: pytest.FixtureRequest
) -> None:
    plain, before = tracked(small_model, moving_discs, 5)
    request.getfixturevalue("exchanging")
    session, after = tracked(small_model, moving_discs, 5)
    for frame in range(5):
        np.testing.assert_array_equal(before[frame], after[frame])
    np.testing.assert_array_equal(before[5][::-1], after[5])
    for frame in (3, 4, 5):
        for one, other in ((1, 2), (2, 1)):
            mine, theirs = session._objects[one].bank.tracked, plain._objects[other].bank.tracked
            assert torch.equal(mine[frame].pointer, theirs[frame].pointer)
    assert torch.equal(session._objects[1].bank.tracked[2].pointer, plain._objects[1].bank.tracked[2].pointer)
    (result,) = session.propagate(start=6, stop=6)
    assert not result.exchanges
