"""Selection of tracks: what keeps still among others that move must be surer, as dirt on the glass does."""

import numpy as np
import pytest
from numpy.typing import NDArray
from seen import SHAPE, seen

from sam2_engine.frames import open_frames
from sam2_plugins.everything.linking import Track
from sam2_plugins.everything.selecting import objects_among
from sam2_plugins.everything.sharpness import sharpness
from sam2_plugins.everything.stillness import stillness

FRAMES = 6
CELLS = [(12.0, 10.0), (12.0, 30.0), (12.0, 50.0), (34.0, 14.0), (34.0, 44.0)]
DIRT = (66.0, 30.0)


def time_lapse(speed: float) -> NDArray[np.uint8]:
    """Cells that move to the right, and dirt that does not."""
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    frames = np.random.default_rng(4).integers(90, 110, (FRAMES, *SHAPE)).astype(np.uint8)
    for t, frame in enumerate(frames):
        for x, y in (*((x + speed * t, y) for x, y in CELLS), DIRT):
            distance = np.hypot(columns - x, rows - y)
            frame[distance < 6] = 220
            frame[distance < 3] = 30
    return frames


def tracks(speed: float, dirt_score: float) -> list[Track]:
    cells = [Track({t: seen(x + speed * t, y, 6, 0.6) for t in range(FRAMES)}) for x, y in CELLS]
    return [*cells, Track({t: seen(*DIRT, 6, dirt_score) for t in range(FRAMES)})]


@pytest.mark.parametrize(
    ("speed", "dirt_score", "expected"),
    [
        (3, 0.35, 5),  # a still thing of which the model is not sure
        (3, 0.6, 6),  # it is as sure as of the others
        (0, 0.35, 6),  # nothing moves
    ],
)
def test_what_keeps_still_among_moving_ones_must_be_surer(speed: float, dirt_score: float, expected: int):
    found = tracks(speed, dirt_score)
    still = stillness(found, open_frames(time_lapse(speed), axes="TYX"))
    assert still[-1] > 0.9
    assert len(objects_among(found, FRAMES, 0.3, still)) == expected
    assert len(objects_among(found, FRAMES, 0.3)) == 6


def test_stillness_is_not_known_of_what_was_found_once():
    once = Track({0: seen(30, 30), 1: seen(30, 30, found=False)})
    assert np.isnan(stillness([once], open_frames(time_lapse(0), axes="TYX"))).tolist() == [True]


@pytest.mark.parametrize("colored", [False, True], ids=["gray", "of one gray level"])
def test_a_part_of_an_even_ground_is_no_object(colored: bool):
    images = time_lapse(0)
    stack = np.stack([images, 310 - np.minimum(images, 255).astype(int), images], -1) if colored else images
    alike = [*tracks(0, 0.6), Track({t: seen(54, 16, 5, 0.6) for t in range(FRAMES)})]
    with open_frames(stack.clip(0, 255).astype(np.uint8), axes="TYXS" if colored else "TYX") as frames:
        sharp = sharpness(alike, frames)
    assert sharp[-1] < 1.1 < 2 < sharp[:-1].min()
    assert objects_among(alike, FRAMES, 0.3, None, sharp) == alike[:-1]
    assert objects_among(alike, FRAMES, 0.3) == alike


def test_where_nothing_has_an_outline_all_stay():
    noise = np.random.default_rng(4).integers(0, 200, (FRAMES, *SHAPE)).astype(np.uint8)
    alike = tracks(0, 0.6)
    with open_frames(noise, axes="TYX") as frames:
        assert objects_among(alike, FRAMES, 0.3, None, sharpness(alike, frames)) == alike
