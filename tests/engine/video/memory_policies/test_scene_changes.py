"""Cuts and black frames: noticed, said, and not remembered."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sam2_engine import load_model
from sam2_engine.evaluation.metrics import mask_iou
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.tiled_session import TiledVideoSession
from sam2_engine.video.video_session import VideoSession

Y, X = np.mgrid[:128, :128]


@pytest.fixture(scope="module")
def nano() -> Sam2:
    return load_model("nano", device="cpu", image_size=256)


def disc(t: int) -> NDArray[np.bool_]:
    return np.hypot(X - 40 - 2 * t, Y - 60) < 16


@pytest.fixture(scope="module")
def frames() -> NDArray[np.uint8]:
    """A disc on waves; frames 4 and 5 are black, and from 10 on there is another shot."""
    random, pictures = np.random.default_rng(1), []
    for t in range(12):
        picture = np.where(disc(t), 220, 90 + 30 * np.sin(X / 9) * np.cos(Y / 13))
        if t in (4, 5):
            picture = np.zeros_like(picture)
        if t >= 10:
            picture = 60 + 150 * (np.hypot(X - 90, Y - 20) < 50) - 50 * (X % 32 < 6)
        pictures.append(np.clip(picture + random.normal(0, 2, picture.shape), 0, 255))
    return np.asarray(pictures, np.uint8)


@pytest.mark.parametrize("policy", ["recent", "motion"])
def test_they_are_noticed_and_not_remembered(nano: Sam2, frames: NDArray[np.uint8], policy: str) -> None:
    session = VideoSession(nano, frames, memory_policy=policy)
    session.add_mask(0, 1, disc(0))
    results = {result.frame: result for result in session.propagate()}
    assert {f: str(one.scene_change) for f, one in results.items() if one.scene_change} == {
        4: "blank",
        5: "blank",
        10: "cut",
    }
    memories = session._objects[1].bank.tracked
    assert (memories[10].features is None) == (policy == "motion")
    assert mask_iou(results[8].masks[0], disc(8)) > 0.8


def test_backwards_the_cut_is_on_its_other_side(nano: Sam2, frames: NDArray[np.uint8]) -> None:
    session = VideoSession(nano, frames, memory_policy="long_term")
    session.add_mask(11, 1, np.hypot(X - 90, Y - 20) < 50)
    changes = {r.frame: str(r.scene_change) for r in session.propagate(reverse=True) if r.scene_change}
    assert changes == {9: "cut", 5: "blank", 4: "blank"}


@pytest.mark.parametrize("overlapping", [True, False])
def test_a_large_plane_in_tiles_says_so_too(nano: Sam2, frames: NDArray[np.uint8], overlapping: bool) -> None:
    plane = np.tile(frames[3:11], (1, 4, 4))
    session = TiledVideoSession(nano, plane, memory_policy="motion", overlapping=overlapping)
    for object_id, (row, column) in enumerate(((0, 0), (3, 3)), 1):
        mask = np.zeros(plane.shape[1:], bool)
        mask[128 * row : 128 * row + 128, 128 * column : 128 * column + 128] = disc(3)
        session.add_mask(0, object_id, mask)
    assert len(session._tiles) == 2
    assert {r.frame: str(r.scene_change) for r in session.propagate() if r.scene_change} == {
        1: "blank",
        2: "blank",
        7: "cut",
    }


def test_what_changes_in_one_tile_alone_is_no_change_of_scene(nano: Sam2, frames: NDArray[np.uint8]) -> None:
    plane = np.tile(frames[2:6], (1, 4, 4))
    plane[:, :256, :256] = np.tile(frames[[2, 2, 3, 3]], (1, 2, 2))
    session = TiledVideoSession(nano, plane, memory_policy="motion")
    for object_id, (row, column) in enumerate(((0, 0), (3, 3)), 1):
        mask = np.zeros(plane.shape[1:], bool)
        mask[128 * row : 128 * row + 128, 128 * column : 128 * column + 128] = disc(2)
        session.add_mask(0, object_id, mask)
    assert not any(result.scene_change for result in session.propagate())
