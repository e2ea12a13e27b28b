"""Windows around objects: what they leave unchanged, when they are left, and what they cost."""

from copy import copy

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam2_engine import InputError, VideoSession, load_model
from sam2_engine.evaluation.metrics import mask_iou
from sam2_engine.modeling.approximations import APPROXIMATIONS, approximations_of
from sam2_engine.modeling.grid_window import GridWindow, crop_windows
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video import tracker
from sam2_engine.video.memory_policies.policy import MemoryPolicy
from sam2_engine.video.object_window import is_within, paste, window_around

SIDE, FRAMES = 384, 12


def discs(frame: int) -> NDArray[np.int64]:
    """Two small discs that wander, as labels; the second is not there on frames 5 to 7."""
    y, x = np.mgrid[:SIDE, :SIDE]
    labels = np.zeros((SIDE, SIDE), np.int64)
    labels[np.hypot(x - 60 - 3 * frame, y - 70 - 2 * frame) < 12] = 1
    if not 5 <= frame <= 7:
        labels[np.hypot(x - 190 + 2 * frame, y - 180) < 14] = 2
    return labels


@pytest.fixture(scope="module")
def frames() -> NDArray[np.uint8]:
    random = np.random.default_rng(3)
    levels = np.array([90, 220, 20])
    pictures = [levels[discs(t)] + random.normal(0, 6, (SIDE, SIDE)) for t in range(FRAMES)]
    return np.clip(pictures, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def nano() -> Sam2:
    return load_model("nano", device="cpu", image_size=SIDE)


def with_approximations(model: Sam2, names: str | None) -> Sam2:
    """Return a model of the same weights."""
    other = copy(model)
    other.approximations = approximations_of(names)
    return other


def session_of(
    model: Sam2,
    frames: NDArray[np.uint8],
    names: str | None,
    history: int | None = None,
    memory_policy: str | MemoryPolicy = "recent",
    overlapping: bool | None = None,
) -> VideoSession:
    session = VideoSession(
        with_approximations(model, names),
        frames,
        history=history,
        memory_policy=memory_policy,
        overlapping=overlapping,
    )
    for object_id in (1, 2):
        session.add_mask(0, object_id, discs(0) == object_id)
    return session


def masks_of(session: VideoSession) -> dict[int, NDArray[np.bool_]]:
    return {result.frame: result.masks for result in session.propagate()}


def windows_of(session: VideoSession, frame: int) -> list[GridWindow | None]:
    return [tracked.bank.tracked[frame].window for tracked in session._objects.values()]


def test_windows_of_whole_frames_change_nothing(
    nano: Sam2, frames: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same attention, decoding and memories, cut out and put together: exact to rounding."""
    expected = session_of(nano, frames, None)
    exact = [result.low_res_logits for result in expected.propagate(stop=3)]
    whole = GridWindow(0, 0, nano.grid, nano.grid)
    monkeypatch.setattr(tracker, "window_around", lambda logits, earlier=None: whole)
    session = session_of(nano, frames, "windows")
    for result, logits in zip(session.propagate(stop=3), exact, strict=True):
        np.testing.assert_allclose(result.low_res_logits, logits, atol=2e-3)
    assert windows_of(session, 3) == [whole, whole]


def test_small_objects_are_tracked_as_without(nano: Sam2, frames: NDArray[np.uint8]) -> None:
    exact, rough = masks_of(session_of(nano, frames, None)), masks_of(session_of(nano, frames, "fast"))
    for frame in range(FRAMES):
        assert mask_iou(exact[frame][0], rough[frame][0]) > 0.9, frame
        assert mask_iou(rough[frame][0], discs(frame) == 1) > 0.85, frame


class Noted(MemoryPolicy):
    """SAM 2's own rule, by way of notes."""

    takes_notes = True


def test_policies_look_in_windows_too(nano: Sam2, frames: NDArray[np.uint8]) -> None:
    """The rule of SAM 2 by way of notes gives the same, also where an object is gone and comes back."""
    plain = session_of(nano, frames, "windows")
    expected = {result.frame: result.low_res_logits for result in plain.propagate()}
    noted = session_of(nano, frames, "windows", memory_policy=Noted())
    for result in noted.propagate():
        np.testing.assert_allclose(result.low_res_logits, expected[result.frame], atol=2e-3)
        if result.frame == 3:
            assert windows_of(noted, 3) == windows_of(plain, 3)
            assert None not in windows_of(noted, 3)


@pytest.mark.parametrize("policy", ["motion+distractor_aware", "recent"])
def test_small_objects_are_tracked_as_without_by_other_policies(
    nano: Sam2, frames: NDArray[np.uint8], policy: str
) -> None:
    masks = masks_of(session_of(nano, frames, "fast", memory_policy=policy, overlapping=False))
    assert all(mask_iou(masks[frame][0], discs(frame) == 1) > 0.85 for frame in masks)


def test_an_object_that_is_gone_is_looked_for_everywhere(nano: Sam2, frames: NDArray[np.uint8]) -> None:
    session = session_of(nano, frames, "windows")
    masks = masks_of(session)
    assert not masks[6][1].any()
    assert mask_iou(masks[FRAMES - 1][1], discs(FRAMES - 1) == 2) > 0.8


def test_memories_show_windows(nano: Sam2, frames: NDArray[np.uint8]) -> None:
    session = session_of(nano, frames, "windows")
    for result in session.propagate(stop=3):
        if result.frame:
            for window, tracked in zip(windows_of(session, result.frame), session._objects.values()):
                assert window is not None
                features = tracked.bank.tracked[result.frame].features
                assert features is not None
                assert features.shape[1:] == window.size
    exact = session_of(nano, frames, None)
    list(exact.propagate(stop=3))
    assert session.num_bytes < 0.8 * exact.num_bytes


def test_a_jump_out_of_the_window_is_followed(nano: Sam2) -> None:
    """Farther in one frame than a window's margin: the whole frame is searched at once."""
    y, x = np.mgrid[:SIDE, :SIDE]
    random = np.random.default_rng(5)

    def at(column: int) -> NDArray[np.uint8]:
        picture = np.where(np.hypot(x - column, y - 128) < 14, 230, 60) + random.normal(0, 5, (SIDE, SIDE))
        return np.clip(picture, 0, 255).astype(np.uint8)

    session = VideoSession(with_approximations(nano, "windows"), np.stack([at(40), at(44), at(200)]))
    session.add_mask(0, 1, np.hypot(x - 40, y - 128) < 14)
    assert mask_iou(masks_of(session)[2][0], np.hypot(x - 200, y - 128) < 14) > 0.8


def test_a_part_that_comes_back_far_away_is_found_again(nano: Sam2) -> None:
    """Covered for a while, and outside of the window around the other part when it is back."""
    y, x = np.mgrid[:SIDE, :SIDE]
    random = np.random.default_rng(5)

    def there(frame: int) -> NDArray[np.bool_]:
        one, other = np.hypot(x - 60, y - 100) < 14, np.hypot(x - 320, y - 130) < 14
        return one if 3 <= frame <= 5 else one | other

    pictures = [np.where(there(t), 220, 90) + random.normal(0, 5, (SIDE, SIDE)) for t in range(10)]
    session = VideoSession(with_approximations(nano, "windows"), np.clip(pictures, 0, 255).astype(np.uint8))
    session.add_mask(0, 1, there(0))
    masks = masks_of(session)
    assert mask_iou(masks[5][0], there(5)) > 0.8
    assert mask_iou(masks[9][0], there(9)) > 0.8


def test_objects_that_look_alike_stay_two_while_they_approach() -> None:
    """With less of the surroundings in its window an object is taken for one with its neighbor."""
    y, x = np.mgrid[:512, :512]

    def disc(column: int) -> NDArray[np.bool_]:
        return np.hypot(x - column, y - 200) < 22

    pictures = []
    for t in range(8):
        picture = np.where(disc(360 - 14 * t), 150, np.where(disc(100 + 14 * t), 210, 90))
        pictures.append(picture + np.random.default_rng(t).normal(0, 5, picture.shape))
    model = load_model("nano", device="cpu", approximations="windows")
    session = VideoSession(model, np.clip(pictures, 0, 255).astype(np.uint8))
    session.add_mask(0, 1, disc(100))
    session.add_mask(0, 2, disc(360))
    masks = masks_of(session)
    assert mask_iou(masks[7][1], disc(360 - 14 * 7)) > 0.8


def test_corrections_and_history_go_on_as_after_a_fresh_start(nano: Sam2, frames: NDArray[np.uint8]) -> None:
    """A correction in the middle computes memories again: in the windows in which they were."""
    session, whole = (session_of(nano, frames, "windows", history=1 << 28) for _ in range(2))
    list(session.propagate())
    list(whole.propagate(stop=8))
    corrected = [each.add_points(8, 1, (60 + 24, 70 + 16)) for each in (session, whole)]
    np.testing.assert_allclose(corrected[0].low_res_logits, corrected[1].low_res_logits, atol=1e-3)
    assert windows_of(session, 7)[0] is not None
    for one, other in zip(session.propagate(start=8), whole.propagate(start=8), strict=True):
        np.testing.assert_array_equal(one.masks[0], other.masks[0])


def test_backwards_too(nano: Sam2, frames: NDArray[np.uint8]) -> None:
    session = VideoSession(with_approximations(nano, "windows"), frames)
    session.add_mask(FRAMES - 1, 1, discs(FRAMES - 1) == 1)
    masks = {result.frame: result.masks[0] for result in session.propagate(reverse=True)}
    assert mask_iou(masks[0], discs(0) == 1) > 0.85
    assert None not in windows_of(session, 2)


def test_names() -> None:
    assert approximations_of(None) == approximations_of(()) == frozenset()
    assert approximations_of("fast") == approximations_of(APPROXIMATIONS) == APPROXIMATIONS.keys()
    with pytest.raises(InputError, match="no approximation 'rough': give some of fast, windows"):
        approximations_of(["windows", "rough"])


def logits_with(rows: slice, columns: slice, side: int = 128) -> Tensor:
    logits = torch.full((side, side), -5.0)
    logits[rows, columns] = 5.0
    return logits


def test_a_window_has_a_margin_and_stays_on_the_frame() -> None:
    assert window_around(logits_with(slice(60, 68), slice(60, 68))) == GridWindow(8, 8, 16, 16)
    assert window_around(logits_with(slice(0, 4), slice(120, 128))) == GridWindow(0, 16, 16, 16)


def test_there_is_no_window_around_nothing_or_nearly_everything() -> None:
    assert window_around(torch.full((128, 128), -5.0)) is None
    assert window_around(logits_with(slice(20, 110), slice(20, 110))) is None


def test_a_window_keeps_its_size_unless_it_is_far_too_large() -> None:
    small = logits_with(slice(100, 108), slice(100, 108), 256)
    assert window_around(small) == GridWindow(18, 18, 16, 16)
    assert window_around(small, GridWindow(0, 0, 24, 24)) == GridWindow(14, 14, 24, 24)
    assert window_around(small, GridWindow(0, 0, 28, 28)) == GridWindow(18, 18, 16, 16)


EDGES = [
    (GridWindow(4, 4, 8, 8), slice(10, 20), slice(10, 20), True),
    (GridWindow(4, 4, 8, 8), slice(0, 20), slice(10, 20), False),
    (GridWindow(4, 4, 8, 8), slice(10, 20), slice(10, 31), False),
    (GridWindow(0, 4, 8, 8), slice(0, 20), slice(10, 20), True),
    (GridWindow(24, 24, 8, 8), slice(10, 32), slice(10, 32), True),
    (GridWindow(4, 4, 8, 8), slice(0, 0), slice(0, 0), False),
]


@pytest.mark.parametrize(("window", "rows", "columns", "within"), EDGES)
def test_a_mask_at_an_inner_edge_is_not_within(
    window: GridWindow, rows: slice, columns: slice, within: bool
) -> None:
    assert is_within(logits_with(rows, columns, 32), window, 32) is within


def test_what_is_cut_out_is_put_back() -> None:
    features = torch.arange(2 * 32 * 32.0).view(1, 2, 32, 32)
    windows = [GridWindow(1, 2, 3, 3), GridWindow(4, 5, 3, 3)]
    crops = crop_windows(features, windows, 4)
    assert crops.shape == (2, 2, 12, 12)
    full = paste(crops[1, 0], windows[1], 8)
    assert torch.equal(full[16:28, 20:32], features[0, 0, 16:28, 20:32])
    assert (full < 0).sum() == 32 * 32 - 144
    cells = windows[1].cells(8, features.device)
    assert torch.equal(features[0, 0, ::4, ::4].flatten()[cells].view(3, 3), features[0, 0, 16:28:4, 20:32:4])
