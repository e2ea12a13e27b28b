"""Selection of tracks: what keeps still among others that move must be surer, as dirt on the glass does."""

import numpy as np
import pytest
from numpy.typing import NDArray
from seen import SHAPE, seen

from sam2_engine.frames import open_frames
from sam2_plugins.everything.linking import Track
from sam2_plugins.everything.selecting import objects_among
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
