"""What holds in a session with every policy: corrections, directions, several objects, constant memory."""

import numpy as np
import pytest
from drawn_weights import draw_weights
from numpy.typing import NDArray
from small_model import LATENT

from sam2_engine.errors import InputError
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.memory_policies.policy import MemoryPolicy
from sam2_engine.video.memory_policies.registry import POLICIES
from sam2_engine.video.video_session import VideoSession

RED, GREEN = (30, 35), (95, 60)
NOTED = [name for name in POLICIES if name != "recent"]
Frames = NDArray[np.uint8]
Logits = dict[tuple[int, int], NDArray[np.float32]]


class Noted(MemoryPolicy):
    """SAM 2's own rule, by way of notes."""

    takes_notes = True


class Eager(POLICIES["motion+distractor_aware"]):  # type: ignore[misc]
    """Makes many anchors, so that a short video has some."""

    def anchors(self, position, candidates, note, before, start):  # type: ignore[no-untyped-def]
        earlier = () if before is None else before.anchors
        return (*earlier, position)[-4:] if position % 3 == 0 else earlier


def logits_of(session: VideoSession, **where: object) -> Logits:
    return {
        (result.frame, i): logits
        for result in session.propagate(**where)  # type: ignore[arg-type]
        for i, logits in zip(result.object_ids, result.low_res_logits, strict=True)
    }


def assert_same(one: Logits, other: Logits, atol: float = 2e-3) -> None:
    assert one.keys() == other.keys()
    for at, logits in one.items():
        assert np.isfinite(logits).all(), at
        np.testing.assert_allclose(logits, other[at], atol=atol, err_msg=str(at))


@pytest.mark.parametrize("reverse", [False, True])
def test_the_official_rule_by_notes_gives_the_official_masks(
    small_model: Sam2, moving_discs: Frames, reverse: bool
) -> None:
    runs = []
    for policy in ("recent", Noted()):
        session = VideoSession(small_model, moving_discs, memory_policy=policy)
        session.add_points(19 if reverse else 0, 1, RED)
        session.add_points(12 if reverse else 7, 2, GREEN)
        runs.append(logits_of(session, reverse=reverse))
    assert_same(*runs, atol=1e-4)


@pytest.mark.parametrize(
    ("policy", "reverse"), [*((name, False) for name in NOTED), (Eager(), False), (Eager(), True)], ids=str
)
def test_a_correction_carries_on_as_if_everything_had_been_stored(
    small_model: Sam2, moving_discs: Frames, policy: str | MemoryPolicy, reverse: bool
) -> None:
    runs = []
    for stores_all in (False, True):
        session = VideoSession(small_model, moving_discs, history=2**40, memory_policy=policy)
        if stores_all:
            session._stride = 1
        session.add_points(19 if reverse else 0, 1, RED)
        session.add_points(19 if reverse else 0, 2, GREEN)
        list(session.propagate(reverse=reverse))
        corrected = 6 if reverse else 13
        session.add_points(corrected, 1, [[60, 50], [10, 90]], [1, 0])
        runs.append(logits_of(session, reverse=reverse, start=corrected))
        # And on from a frame on which nothing was corrected.
        runs.append(logits_of(session, reverse=reverse, start=9 if reverse else 10))
    assert_same(runs[0], runs[2])
    assert_same(runs[1], runs[3])


@pytest.fixture(scope="module")
def latent_model() -> Sam2:
    """One as EdgeTAM: the memory of each frame is squeezed to a few latents."""
    return draw_weights(Sam2(LATENT))


@pytest.mark.parametrize("policy", ["distractor_aware", "motion+long_term", Eager()], ids=str)
def test_memories_of_latents_are_chosen_as_others(
    latent_model: Sam2, moving_discs: Frames, policy: str | MemoryPolicy
) -> None:
    """Corrected from a checkpoint as if all had been stored, forwards and back; without overlaps, too."""
    runs = []
    for stores_all in (False, True):
        session = VideoSession(
            latent_model, moving_discs[:13], history=2**40, memory_policy=policy, overlapping=[(1, 3)]
        )
        if stores_all:
            session._stride = 1
        session.add_points(0, 1, RED)
        session.add_points(2, 2, GREEN)
        before = logits_of(session)
        session.add_points(10, 1, [[60, 50], [10, 90]], [1, 0])
        runs.append((before, logits_of(session, start=10), logits_of(session, start=10, reverse=True)))
        shapes = {
            m.features.shape for m in session._objects[1].bank.tracked.values() if m.features is not None
        }
        assert shapes == {(32, 2, 16)}
    for one, other in zip(*runs, strict=True):
        assert_same(one, other)


def test_latents_by_notes_give_the_official_masks(latent_model: Sam2, moving_discs: Frames) -> None:
    runs = []
    for policy in ("recent", Noted()):
        session = VideoSession(latent_model, moving_discs[:10], memory_policy=policy)
        session.add_points(0, 1, RED)
        session.add_points(4, 2, GREEN)
        runs.append(logits_of(session))
    assert_same(*runs, atol=1e-4)


@pytest.mark.parametrize("policy", ["motion+distractor_aware", "long_term"])
def test_objects_are_tracked_together_as_alone(small_model: Sam2, moving_discs: Frames, policy: str) -> None:
    together = VideoSession(small_model, moving_discs, memory_policy=policy)
    together.add_points(0, 1, RED)
    together.add_points(4, 2, GREEN)
    found = logits_of(together)
    for object_id, frame, click in ((1, 0, RED), (2, 4, GREEN)):
        alone = VideoSession(small_model, moving_discs, memory_policy=policy)
        alone.add_points(frame, object_id, click)
        assert_same(logits_of(alone), {at: one for at, one in found.items() if at[1] == object_id})


@pytest.mark.parametrize("policy", ["distractor_aware", "motion+long_term", Eager()], ids=str)
def test_memory_is_constant(small_model: Sam2, moving_discs: Frames, policy: str | MemoryPolicy) -> None:
    session = VideoSession(small_model, np.tile(moving_discs, (3, 1, 1, 1)), memory_policy=policy)
    session.add_points(0, 1, RED)
    held = [session.num_bytes for _ in session.propagate()]
    per_frame = held[1]
    assert max(held) <= 16 * per_frame
    assert max(held[40:]) <= max(held[:40])


def test_what_cannot_work_is_refused_in_a_sentence(small_model: Sam2, moving_discs: Frames) -> None:
    with pytest.raises(InputError, match=r"no memory policy 'motoin' \(did you mean 'motion'\?\)"):
        VideoSession(small_model, moving_discs, memory_policy="motoin")
