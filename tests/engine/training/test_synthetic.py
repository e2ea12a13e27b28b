"""Synthetic scenes: seeded, exact, in range."""

import numpy as np
import pytest

from sam2_engine.errors import InputError
from sam2_engine.training.synthetic import moving_cells
from sam2_engine.training.synthetic.scenes import STYLES, random_scene


def test_moving_cells_are_repeatable_and_keep_their_ids() -> None:
    frames, labels = moving_cells(4, (96, 128), seed=3)
    again, _ = moving_cells(4, (96, 128), seed=3)
    other, _ = moving_cells(4, (96, 128), seed=4)
    assert frames.shape == labels.shape == (4, 96, 128)
    assert frames.dtype == labels.dtype == np.uint16
    assert np.array_equal(frames, again)
    assert not np.array_equal(frames, other)
    assert set(np.unique(labels[3])) <= set(np.unique(labels[0]))
    for value in np.unique(labels[0])[1:]:
        assert frames[0][labels[0] == value].mean() > frames[0][labels[0] == 0].mean() + 100


def test_moving_cells_refuses_an_empty_movie() -> None:
    with pytest.raises(InputError, match="at least 1 frame"):
        moving_cells(0, 64)


@pytest.mark.parametrize("style", STYLES)
def test_scenes_are_repeatable_and_labelled(style: str) -> None:
    clip = random_scene([5, 1], num_frames=3, size=96, style=style)
    again = random_scene([5, 1], num_frames=3, size=96, style=style)
    assert clip.frames.shape == (3, 96, 96, 3)
    assert np.isfinite(clip.frames).all()
    assert np.array_equal(clip.frames, again.frames)
    assert np.array_equal(clip.labels, again.labels)
    assert clip.labels[0].max() > 0


def test_things_move() -> None:
    clips = [random_scene(seed, num_frames=3, size=96, style="shapes") for seed in range(4)]
    assert all(not np.array_equal(clip.labels[0], clip.labels[2]) for clip in clips)
