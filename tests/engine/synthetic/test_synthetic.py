"""Sample data and nano's clips: seeded, exact, and unchanged by what is added to the generator."""

import numpy as np
import pytest

from sam2_engine.errors import InputError
from sam2_engine.synthetic import moving_cells
from sam2_engine.synthetic.scenes import (
    CLIP_WEIGHTS,
    IMAGE_WEIGHTS,
    STYLES,
    WIDE_CLIP_WEIGHTS,
    WIDE_IMAGE_WEIGHTS,
    random_scene,
)


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


def test_moving_cells_refuses_an_empty_video() -> None:
    with pytest.raises(InputError, match="at least 1 frame"):
        moving_cells(0, 64)


@pytest.mark.parametrize("style", STYLES)
def test_clips_are_repeatable_and_labeled(style: str) -> None:
    clip = random_scene([5, 1], num_frames=3, size=96, style=style)
    again = random_scene([5, 1], num_frames=3, size=96, style=style)
    assert clip.frames.shape == (3, 96, 96, 3)
    assert clip.labels.dtype == np.int32
    assert clip.frames.dtype == np.float32
    assert np.isfinite(clip.frames).all()
    assert np.array_equal(clip.frames, again.frames)
    assert np.array_equal(clip.labels, again.labels)
    assert clip.labels.max() > 0


def test_the_style_that_is_drawn_is_the_style_of_that_seed() -> None:
    """The mixture of a run decides only which style a seed gets, as numpy's choice does."""
    for weights, num_frames in ((IMAGE_WEIGHTS, 1), (CLIP_WEIGHTS, 2), (WIDE_CLIP_WEIGHTS, 2)):
        seed = [7, num_frames]
        # Weights are shares: their sum does not matter.
        doubled = {style: 2 * weight for style, weight in weights.items()}
        scene = random_scene(seed, num_frames, 64, weights=weights)
        assert np.array_equal(scene.frames, random_scene(seed, num_frames, 64, weights=doubled).frames)
    assert np.array_equal(random_scene(3, 1, 64).frames, random_scene(3, 1, 64, weights=IMAGE_WEIGHTS).frames)
    assert np.array_equal(random_scene(3, 2, 64).frames, random_scene(3, 2, 64, weights=CLIP_WEIGHTS).frames)


@pytest.mark.parametrize("weights", [WIDE_IMAGE_WEIGHTS, WIDE_CLIP_WEIGHTS])
def test_the_wide_mixtures_draw_every_style(weights: dict[str, float]) -> None:
    assert set(weights) == set(STYLES)
    assert min(weights.values()) > 0
    assert sum(weights.values()) == pytest.approx(1.0)


def test_an_unknown_style_is_named() -> None:
    with pytest.raises(InputError, match=r"no style 'clouds'.*shapes"):
        random_scene(0, style="clouds")


def test_things_move() -> None:
    clips = [random_scene(seed, num_frames=3, size=96, style="shapes") for seed in range(4)]
    assert all(not np.array_equal(clip.labels[0], clip.labels[2]) for clip in clips)
