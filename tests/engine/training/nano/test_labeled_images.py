"""Views of labeled images: image and labels move alike, and each object its own way."""

import numpy as np
import pytest

from sam2_engine.training.nano.labeled_images import LabeledImage, random_view
from sam2_engine.training.nano.object_motion import elastic_deformation, object_motion


def discs(side: int = 160) -> LabeledImage:
    """Nine discs whose brightness is their label."""
    y, x = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.int32)
    for i in range(9):
        center = (i // 3 * 50 + 30, i % 3 * 50 + 30)
        labels[(y - center[0]) ** 2 + (x - center[1]) ** 2 < 15**2] = i + 1
    return LabeledImage("discs", (labels * 25).astype(np.uint8)[..., None], labels, for_validation=False)


@pytest.mark.parametrize("num_frames", [1, 5])
def test_the_labels_lie_on_the_image_in_every_frame(num_frames: int) -> None:
    clip = random_view(np.random.default_rng(1), discs(), num_frames, 128, (0.3, 0.35))
    assert clip.frames.shape == (num_frames, 128, 128, 3)
    shown = np.rint(clip.frames[..., 0] * 255 / 25).astype(int)
    # Only where two brightnesses are mixed at an edge may they differ.
    assert (shown == clip.labels).mean() > 0.9
    assert len(np.unique(clip.labels)) > 2


def test_neighbors_do_not_keep_their_distance() -> None:
    labels = discs().labels
    moved = object_motion(np.random.default_rng(0), labels, 4, scale=1.0).numpy()
    assert np.abs(moved[0]).max() == 0
    centers = [moved[:, :, i // 3 * 50 + 30, i % 3 * 50 + 30] for i in range(9)]
    steps = np.array([center[3] for center in centers])
    assert np.linalg.norm(steps - steps[0], axis=1)[1:].min() > 0.1
    np.testing.assert_allclose(centers[4][2], 2 * centers[4][1], rtol=1e-5)


def test_bending_is_smooth_and_grows() -> None:
    walk = elastic_deformation(np.random.default_rng(3), 6, 128, scale=1.0).numpy()
    assert walk.shape == (6, 2, 128, 128)
    assert np.abs(np.diff(walk, axis=-1)).max() < 1.0
    assert np.abs(walk[5] - walk[0]).mean() > np.abs(walk[1] - walk[0]).mean()
